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

const MIB = 1 << 20;
const PAGE_BYTES = 4096;
/** Stays free, or the kernel would begin to look for memory. */
const RESERVE_BYTES = 512 * MIB;
const BLOCK_MIB_MAX = 1024;

/**
 * Has the host back free memory. It begins to take it again some two seconds later, a part at a time: to be called right before
 * what is timed, for each contestant alike. Where the host takes nothing back, it costs a little time and changes nothing.
 *
 * Memory in use is backed, the page cache's too, so it is left where it is.
 *
 * @param {number} bytes as much as a contestant and its server can use, and some more
 */
export async function backMemory(bytes) {
  const mib = Math.floor(Math.min(bytes, (await freeBytes()) - RESERVE_BYTES) / MIB);
  if (mib > 0) await run(process.execPath, [import.meta.filename, String(mib)]);
}

async function freeBytes() {
  return Number(/^MemFree:\s+(\d+) kB/m.exec(await readFile("/proc/meminfo", "utf8"))?.[1]) * 1024;
}

/**
 * Writes to each page, since a page that is only read need not be one of its own. Not by huge pages: the page cache is given
 * others than those then, at least where memory is in pieces, and they cost publishing 0.7 s/GiB (docs/decisions/0009).
 */
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
