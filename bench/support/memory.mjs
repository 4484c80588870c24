/**
 * Memory that the host of a virtual machine takes back while it is free (free page reporting: mm/page_reporting.c,
 * https://docs.kernel.org/mm/free_page_reporting.html) and gives again page by page when it is touched, which takes several
 * times as long as using it. Whoever gets what somebody has just left behind then looks faster than whoever does not:
 * docs/decisions/0009.
 *
 * Run as a program: touches as many MiB as its argument says, and ends.
 */
import { readFile } from "node:fs/promises";
import { run } from "./commands.mjs";

/** To be backed for each byte of a large file: it and what it is copied from or to; twice over, since it does not stay backed. */
export const BACKED_BYTES_PER_BYTE = 4;

const MIB = 1 << 20;
const PAGE_BYTES = 4096;
/** Stays free, or the kernel would begin to look for memory. */
const RESERVE_BYTES = 512 * MIB;
const BLOCK_MIB_MAX = 1024;
/** Nothing to a C library that is not glibc. */
const HUGE_PAGES = { GLIBC_TUNABLES: "glibc.malloc.hugetlb=1" };

/**
 * Has the host back free memory. It begins to take it again some two seconds later, a part at a time: to be called right before
 * what is timed, for each contestant alike. Where the host takes nothing back, it costs a little time and changes nothing.
 *
 * Memory in use is backed, the page cache's too, so it is left where it is.
 *
 * @param {number} bytes as much as a contestant and its server can use, and some more
 * @param {{ byHugePages?: boolean }} how  Measured, not understood (docs/decisions/0009): page by page, large writes to new files
 *   got memory that was not backed all the same; by huge pages, publishing took 0.7 s/GiB more in the kernel
 */
export async function backMemory(bytes, { byHugePages = false } = {}) {
  const mib = Math.floor(Math.min(bytes, (await freeBytes()) - RESERVE_BYTES) / MIB);
  const env = { ...process.env, ...(byHugePages ? HUGE_PAGES : {}) };
  if (mib > 0) await run(process.execPath, [import.meta.filename, String(mib)], { env });
}

async function freeBytes() {
  return Number(/^MemFree:\s+(\d+) kB/m.exec(await readFile("/proc/meminfo", "utf8"))?.[1]) * 1024;
}

/** Writes to each page, since a page that is only read need not be one of its own. */
function touch(mib) {
  const blocks = [];
  for (let left = mib; left > 0; left -= BLOCK_MIB_MAX) {
    const block = Buffer.allocUnsafeSlow(Math.min(left, BLOCK_MIB_MAX) * MIB);
    for (let at = 0; at < block.length; at += PAGE_BYTES) block[at] = 1;
    // All at once: what is given back in between would be touched twice.
    blocks.push(block);
  }
}

if (process.argv[1] === import.meta.filename) touch(Number(process.argv[2]));
