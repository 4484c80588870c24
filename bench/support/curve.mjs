/**
 * How a figure grows: points of one or more series over a quantity.
 *
 * @typedef {object} CurveDescription
 * @property {string} id
 * @property {string} group
 * @property {string} title
 * @property {string} xLabel    "files", "threads"
 * @property {string} xUnit     as for rows; "count"
 * @property {string} yLabel
 * @property {string} unit
 * @property {string} conditions
 */
export class Curve {
  #series = new Map();

  /** @param {CurveDescription} description */
  constructor(description) {
    this.description = description;
  }

  /** Points of a series come in order of x. */
  add(series, x, y) {
    if (!this.#series.has(series)) this.#series.set(series, []);
    this.#series.get(series).push([x, y]);
  }

  /** Plain data, as it is written to the results. */
  finish() {
    return { ...this.description, series: [...this.#series].map(([label, points]) => ({ label, points })) };
  }
}
