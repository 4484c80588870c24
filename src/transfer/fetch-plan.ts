/** Where one chunk lies in its pack. */
export interface StoredSpan {
  readonly offset: number;
  readonly storedLength: number;
}

/** One ranged GET and the targets it serves. */
export interface PlannedRange<T extends StoredSpan> {
  readonly offset: number;
  readonly length: number;
  readonly targets: readonly T[];
}

/** Bytes nobody wants are read through rather than paying for another request: 64 KiB take less than a round trip. */
const GAP_BYTES_MAX = 64 << 10;
/** A longer range would delay its first chunk more than a second request costs. */
const RANGE_BYTES_MAX = 8 << 20;

/** Gathers chunks of one pack into few ranges, in the order of their offsets. */
export function planRanges<T extends StoredSpan>(targets: readonly T[]): PlannedRange<T>[] {
  const sorted = [...targets].sort((a, b) => a.offset - b.offset);
  const ranges: { offset: number; end: number; targets: T[] }[] = [];
  for (const target of sorted) {
    const end = target.offset + target.storedLength;
    const last = ranges.at(-1);
    if (last !== undefined && target.offset - last.end <= GAP_BYTES_MAX && end - last.offset <= RANGE_BYTES_MAX) {
      last.end = Math.max(last.end, end);
      last.targets.push(target);
    } else {
      ranges.push({ offset: target.offset, end, targets: [target] });
    }
  }
  return ranges.map((range) => ({ offset: range.offset, length: range.end - range.offset, targets: range.targets }));
}
