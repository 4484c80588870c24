/** Figures as people read them; the same in tables and in plots. */
import { formatValue } from "../../dist/benchmark/report/index.js";

export function formatFigure(value, unit) {
  if (value === undefined) return "–";
  // 6 objects, not 6.00.
  if (unit === "count" || unit === "requests") return Number(value.toPrecision(3)).toLocaleString("en-US");
  return formatValue(value, unit);
}

/** `0.94`, `3.1`, and small ones as a fraction: `1/41`. */
export function formatRatio(ratio) {
  if (ratio === undefined) return "";
  return ratio < 0.1 ? `1/${threeDigits(1 / ratio)}` : threeDigits(ratio);
}

/** `≥ 0.9 × ext4`, `≤ 1/30 × one request per file`, `≤ 10 s`. */
export function formatTarget({ target, unit, yardstick }) {
  if (target === undefined) return "";
  if (target.text !== undefined) return target.text;
  const sign = target.atMost === undefined ? "≥" : "≤";
  const bound = target.atMost ?? target.atLeast;
  return target.of === "ratio"
    ? `${sign} ${formatRatio(bound)} × ${yardstick}`
    : `${sign} ${formatFigure(bound, unit)}`;
}

function threeDigits(value) {
  return String(value >= 100 ? Math.round(value) : Number(value.toPrecision(3)));
}
