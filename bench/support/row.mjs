/**
 * A row of results: samples of podfs and of what it is held against, taken in turn, round by round.
 *
 * @typedef {object} Target
 * @property {"ratio" | "value"} of   the ratio podfs : yardstick, or the figure itself
 * @property {number} [atMost]
 * @property {number} [atLeast]
 * @property {string} [text]          when the number would not be recognized
 *
 * @typedef {object} RowDescription
 * @property {string} id              stable, for the gate: "tar-x"
 * @property {string} group           what stands together in the report
 * @property {string} title           for people
 * @property {string} unit            of dist/benchmark: "B/s", "operations/s", "s", "requests", "B", "count"
 * @property {"higher" | "lower"} better
 * @property {string} conditions      caches warm or cold, what is counted
 * @property {string} [yardstick]     the contestant that podfs is divided by
 * @property {Target} [target]        of DESIGN section 10
 * @property {"median" | "max"} [judgedBy]  which of the samples is held against the target; default the median
 * @property {number} [tolerance]     how much worse the gate lets the ratio become: 0.2 is a fifth, the default;
 *                                    null keeps the gate away
 * @property {string} [note]
 */
import { summarize } from "./statistics.mjs";

/** The contestant that everything is about. */
export const OURS = "podfs";

export class Row {
  #samples = [];
  #missing = {};

  /** @param {RowDescription} description */
  constructor(description) {
    this.description = description;
  }

  /**
   * @param figures of one round by contestant: `{ podfs: 0.3, ext4: 0.1 }`
   * @param details whatever else explains them
   */
  add(figures, details) {
    this.#samples.push(details === undefined ? { figures } : { figures, details });
  }

  /** A contestant that cannot take part, and why. */
  skip(name, reason) {
    this.#missing[name] ??= reason;
  }

  /** Plain data, as it is written to the results. */
  finish() {
    const { judgedBy = "median", ...description } = this.description;
    const contestants = [...new Set(this.#samples.flatMap((sample) => Object.keys(sample.figures)))];
    const values = (name) =>
      this.#samples.flatMap(({ figures }) => (figures[name] === undefined ? [] : [figures[name]]));
    const figures = Object.fromEntries(contestants.map((name) => [name, summarize(values(name))]));
    const ratio = this.#ratio();
    const judged = description.target?.of === "ratio" ? ratio : figures[OURS];
    return {
      ...description,
      judgedBy,
      figures,
      ...(ratio === undefined ? {} : { ratio }),
      ...(description.target === undefined || judged === undefined
        ? {}
        : { met: meets(description.target, judged[judgedBy]) }),
      ...(Object.keys(this.#missing).length === 0 ? {} : { missing: this.#missing }),
      samples: this.#samples,
    };
  }

  /** Of each round by itself, since only what was measured side by side can be compared. */
  #ratio() {
    const { yardstick } = this.description;
    const ratios = this.#samples.flatMap(({ figures }) =>
      figures[yardstick] > 0 && figures[OURS] !== undefined ? [figures[OURS] / figures[yardstick]] : [],
    );
    return ratios.length === 0 ? undefined : summarize(ratios);
  }
}

/** A row that this machine cannot measure, and why. */
export function skippedRow({ id, group, title }, reason) {
  return { id, group, title, skipped: reason };
}

function meets({ atMost = Number.POSITIVE_INFINITY, atLeast = Number.NEGATIVE_INFINITY }, value) {
  return value <= atMost && value >= atLeast;
}
