import { UserError } from "./errors.js";

const KIB = 1024;
const BYTES_BY_UNIT: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["b", 1],
  // As mount options and `ls -h` have it, the bare letter is binary; only "GB" and its like are decimal.
  ...["k", "m", "g", "t", "p"].flatMap((letter, index): [string, number][] => [
    [letter, KIB ** (index + 1)],
    [`${letter}ib`, KIB ** (index + 1)],
    [`${letter}b`, 1000 ** (index + 1)],
  ]),
]);

const MS_BY_UNIT: ReadonlyMap<string, number> = new Map([
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);

/**
 * Reads a size such as `200G`, `64MiB`, `1.5t` or `4096`, in bytes. `K M G T P` and `KiB MiB …` are powers of 1024,
 * `KB MB …` powers of 1000; upper and lower case are the same.
 * @param what What the size is for, named in the error (`--cache-size`).
 * @throws UserError
 */
export function parseSizeBytes(text: string, what: string): number {
  const bytes = parseQuantity(text, BYTES_BY_UNIT);
  if (bytes === undefined) throw new UserError(`${what}: "${text}" is not a size; write it like 200G, 64MiB or 4096`);
  return bytes;
}

/**
 * Reads a time such as `30s`, `10m`, `500ms`, `1.5h` or `2d`, in milliseconds. `0` needs no unit.
 * @param what What the time is for, named in the error (`--timeout`).
 * @throws UserError
 */
export function parseDurationMs(text: string, what: string): number {
  const ms = text.trim() === "0" ? 0 : parseQuantity(text, MS_BY_UNIT);
  if (ms === undefined) throw new UserError(`${what}: "${text}" is not a time; write it like 30s, 10m or 500ms`);
  return ms;
}

/** A size for people, to three digits: `0 B`, `1.5 GiB`, `200 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
  if (Math.abs(bytes) < KIB) return `${bytes} B`;
  let value = bytes;
  let unit = "B";
  for (const next of units) {
    // 1023.5 would be shown as 1024: it belongs to the next unit.
    if (Math.abs(value) < KIB - 0.5) break;
    value /= KIB;
    unit = next;
  }
  return `${threeDigits(value)} ${unit}`;
}

/** A time for people: `250 ms`, `4.2 s`, `3 min 20 s`, `5 h 12 min`, `2 d 3 h`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${threeDigits(ms / 1000)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return twoUnits(seconds, 60, "min", 1, "s");
  if (seconds < 86_400) return twoUnits(seconds, 3600, "h", 60, "min");
  return twoUnits(seconds, 86_400, "d", 3600, "h");
}

function parseQuantity(text: string, units: ReadonlyMap<string, number>): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  const unit = units.get(match?.[2]?.toLowerCase() ?? "");
  if (match === null || unit === undefined) return undefined;
  const value = Math.round(Number(match[1]) * unit);
  return Number.isSafeInteger(value) ? value : undefined;
}

function threeDigits(value: number): string {
  const decimals = Math.abs(value) >= 99.95 ? 0 : Math.abs(value) >= 9.995 ? 1 : 2;
  return String(Number(value.toFixed(decimals)));
}

function twoUnits(seconds: number, large: number, largeName: string, small: number, smallName: string): string {
  const smallCount = Math.floor((seconds % large) / small);
  const text = `${Math.floor(seconds / large)} ${largeName}`;
  return smallCount === 0 ? text : `${text} ${smallCount} ${smallName}`;
}
