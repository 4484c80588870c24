import type { Measurement, Sample } from "./result.js";
import type { MeasurementHead, Reading } from "./site.js";

/** Collects samples by what they are of; those of a group stay together, in the order they are first seen. */
export class Recorder {
  readonly #byId = new Map<string, { readonly of: MeasurementHead; readonly samples: Sample[] }>();

  add(readings: readonly Reading[], place: Pick<Sample, "target" | "round">): void {
    for (const { of, ...reading } of readings) {
      const known = this.#byId.get(of.id) ?? { of, samples: [] };
      this.#byId.set(of.id, known);
      known.samples.push({ ...place, ...reading });
    }
  }

  measurements(): Measurement[] {
    const all = [...this.#byId.values()].map(({ of, samples }) => ({ ...of, samples }));
    const groups = [...new Set(all.map(({ group }) => group))];
    // One work's figures side by side, by one thread and by several.
    return groups.flatMap((group) => {
      const inGroup = all.filter((measurement) => measurement.group === group);
      const titles = [...new Set(inGroup.map(({ title }) => title))];
      return titles.flatMap((title) => inGroup.filter((measurement) => measurement.title === title));
    });
  }
}
