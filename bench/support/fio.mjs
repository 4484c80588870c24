import { run } from "./commands.mjs";

/**
 * @typedef {object} FioJob
 * @property {"read" | "write" | "randread" | "randwrite"} rw
 * @property {string} blockSize        "1M"
 * @property {number} [seconds]        ends it early
 * @property {"psync" | "mmap" | "io_uring"} [engine]
 * @property {number} [inFlight]       requests at once (io_uring)
 * @property {boolean} [isSynced]      room is made first, and fsync counts
 * @property {boolean} [direct]        O_DIRECT: every block is a request
 * @property {boolean} [dropPages]     the file's pages are dropped before it begins
 * @property {"bytesPerSecond" | "operationsPerSecond"} figure
 */

/**
 * One fio job on one file, one process: what most programs are. Files grow as they are written.
 *
 * @param {string} file
 * @param {FioJob & { sizeMiB: number }} job
 * @returns the job's figure. Options: https://fio.readthedocs.io/en/latest/fio_doc.html
 */
export async function fio(file, { rw, blockSize, sizeMiB, seconds, figure, ...rest }) {
  const { engine = "psync", inFlight = 1, isSynced = false, direct = false, dropPages = false } = rest;
  const output = await run("fio", [
    "--name=job",
    `--filename=${file}`,
    `--rw=${rw}`,
    `--bs=${blockSize}`,
    `--size=${sizeMiB}M`,
    `--ioengine=${engine}`,
    `--direct=${direct ? 1 : 0}`,
    `--invalidate=${dropPages ? 1 : 0}`,
    `--iodepth=${inFlight}`,
    // Begins with a page. malloc's begins 16 bytes later, and copying there from the page cache takes some processors four
    // times as long (docs/decisions/0009): that would be all that is measured.
    "--iomem=mmap",
    ...(isSynced ? ["--fallocate=posix", "--end_fsync=1"] : ["--fallocate=none"]),
    // Else fio deletes and sizes files before it writes them; the bare loop's one file cannot be deleted.
    ...(rw.includes("write") ? ["--create_on_open=1"] : []),
    // The same blocks in the same order for everybody.
    "--randseed=7",
    "--output-format=json",
    ...(seconds === undefined ? [] : [`--runtime=${seconds}`]),
  ]);
  const [{ read, write }] = JSON.parse(output.slice(output.indexOf("{"))).jobs;
  const side = rw.includes("read") ? read : write;
  return figure === "bytesPerSecond" ? side.bw_bytes : side.iops;
}
