import { type InodeRecord, isSameTime, type Time } from "../format/index.js";

const NSEC_PER_SEC = 1_000_000_000;
/** The kernel stamps writes with the time of its last clock tick: at 100 Hz up to this long ago. */
const KERNEL_TICK_NSEC = 10_000_000;

/** Negative when `a` is earlier than `b`, 0 when equal. */
export function compareTimes(a: Time, b: Time): number {
  return a.sec === b.sec ? a.nsec - b.nsec : a.sec - b.sec;
}

/**
 * mtime and ctime of a regular file whose content says `contentMtime`.
 *
 * A write reaches the content file inside the kernel and changes its mtime, but not the inode record. So that record's mtime
 * is the last that was *set* (at creation, by utimens): while the content still says the same, nobody has written
 * since, and ctime is the record's; otherwise the write moved ctime too. The same holds for published content, so that
 * every machine computes the same times.
 */
export function fileTimes(inode: InodeRecord, contentMtime: Time): { readonly mtime: Time; readonly ctime: Time } {
  if (isSameTime(contentMtime, inode.mtime)) return { mtime: inode.mtime, ctime: inode.ctime };
  const ctime = compareTimes(contentMtime, inode.ctime) > 0 ? contentMtime : inode.ctime;
  // A write within the tick of the creation would seem to be older than that.
  return { mtime: precedesByTick(contentMtime, inode.mtime) ? inode.mtime : contentMtime, ctime };
}

function precedesByTick(time: Time, reference: Time): boolean {
  const aheadNsec = (reference.sec - time.sec) * NSEC_PER_SEC + reference.nsec - time.nsec;
  return aheadNsec > 0 && aheadNsec <= KERNEL_TICK_NSEC;
}
