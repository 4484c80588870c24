import { formatBytes } from "../base/index.js";
import type { CheckpointInfo } from "../checkpoint/index.js";

const HEAD = ["NAME", "SIZE", "TENSORS", "RANKS", "SAVED", "STATE"];
/** Numbers are easier to compare when their ends are below each other. */
const ALIGNED_RIGHT: ReadonlySet<string> = new Set(["SIZE", "TENSORS", "RANKS"]);

/** A table, a line for each. Ends with a newline. */
export function renderCheckpoints(checkpoints: readonly CheckpointInfo[]): string {
  if (checkpoints.length === 0) return "no checkpoints here\n";
  const rows = [HEAD, ...checkpoints.map(cells)];
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => row.map((cell, column) => padded(cell, column, widths[column] ?? 0)).join("  "));
  return `${lines.map((line) => line.trimEnd()).join("\n")}\n`;
}

function cells(checkpoint: CheckpointInfo): string[] {
  const { name, sizeBytes, tensors, ranks, savedMs } = checkpoint;
  return [
    name,
    formatBytes(sizeBytes),
    tensors.toLocaleString("en-US"),
    String(ranks),
    dateOf(savedMs),
    state(checkpoint),
  ];
}

function state({ state, reason, savedBy }: CheckpointInfo): string {
  if (state !== "complete") return `${state}: ${reason}`;
  return savedBy === "podfs" ? state : `${state}, not saved by podfs`;
}

/** `2026-01-31 14:05:09`, of this machine's time zone, as `ls` has it. */
function dateOf(ms: number): string {
  const date = new Date(ms);
  const two = (number: number): string => String(number).padStart(2, "0");
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":")}`;
}

function padded(cell: string, column: number, width: number): string {
  return ALIGNED_RIGHT.has(HEAD[column] ?? "") ? cell.padStart(width) : cell.padEnd(width);
}
