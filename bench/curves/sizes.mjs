/** From a megabyte to a hundred gigabytes: one file, published, and looked into on a new machine. */

import { randomFillSync } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { timed } from "../support/commands.mjs";
import { Curve } from "../support/curve.mjs";
import { OURS } from "../support/row.mjs";
import { Workspace } from "../support/workspace.mjs";

const MIB = 1 << 20;
const GIB = 1 << 30;
const SIZES = [MIB, 16 * MIB, 256 * MIB, GIB, 10 * GIB, 100 * GIB];
/** Larger files are sparse: this much data, spread evenly. */
const DATA_BYTES_MAX = GIB;
const PIECE_BYTES = MIB;
const READ_BYTES = 4096;
const PROBES = 8;

export const family = {
  id: "sizes",
  title: "size of a file",
  needs: ["root", "fuse"],
  minutes: 4,
  measure,
};

async function* measure(context) {
  const curves = describe();
  for (const bytes of context.pick(SIZES, [MIB, 8 * MIB, GIB])) {
    const dataBytes = Math.min(bytes, context.pick(DATA_BYTES_MAX, 8 * MIB));
    await measureSize(context, bytes, dataBytes, curves);
  }
  for (const curve of Object.values(curves)) yield curve.finish();
}

async function measureSize(context, bytes, dataBytes, curves) {
  const workspace = await Workspace.create();
  try {
    context.progress(`a file of ${bytes / MIB} MiB`);
    const store = await workspace.path("store");
    const mount = await workspace.mount(store, "workspace", "--create");
    await writeSpread(join(mount.directory, "file"), bytes, dataBytes);
    curves.publish.add(OURS, bytes, await timed(() => mount.flush()));
    await mount.unmount();
    const cold = await workspace.mount(store, "cold", "--read-only", "--cache-dir", await workspace.path("cold-cache"));
    await readPlaces(join(cold.directory, "file"), bytes, dataBytes, curves);
    curves.memory.add(OURS, bytes, await cold.memory());
  } finally {
    await workspace.dispose();
  }
}

/** Pieces of random bytes at equal distances, holes between them. */
async function writeSpread(path, bytes, dataBytes) {
  const pieces = Math.ceil(dataBytes / PIECE_BYTES);
  const file = await open(path, "w");
  const piece = Buffer.alloc(PIECE_BYTES);
  for (let i = 0; i < pieces; i++) {
    const at = placeOf(i, pieces, bytes);
    await file.write(randomFillSync(piece), 0, Math.min(PIECE_BYTES, bytes - at), at);
  }
  await file.truncate(bytes);
  await file.close();
}

/** The first read of a file that nobody has read here, then reads elsewhere in it: each fetches. */
async function readPlaces(path, bytes, dataBytes, curves) {
  const pieces = Math.ceil(dataBytes / PIECE_BYTES);
  const buffer = Buffer.alloc(READ_BYTES);
  let file;
  const first = await timed(async () => {
    file = await open(path, "r");
    await file.read(buffer, 0, READ_BYTES, 0);
  });
  curves.read.add("open and first read", bytes, first);
  const probes = Math.min(PROBES, pieces - 1);
  const more = await timed(async () => {
    // From behind, so that it does not look like a sequential reader.
    for (let i = probes; i > 0; i--)
      await file.read(buffer, 0, READ_BYTES, placeOf(Math.floor((i * (pieces - 1)) / PROBES), pieces, bytes));
  });
  if (probes > 0) curves.read.add("4 KiB elsewhere", bytes, more / probes);
  await file.close();
}

/** Whole MiB, as chunks are. */
function placeOf(index, pieces, bytes) {
  return Math.floor((index * (bytes / pieces)) / PIECE_BYTES) * PIECE_BYTES;
}

function describe() {
  const curve = (id, title, unit, conditions) =>
    new Curve({
      ...{ id: `sizes-${id}`, group: "size of a file", title, unit, conditions },
      ...{ xLabel: "bytes", xUnit: "B", yLabel: title },
    });
  const sparse = "above 1 GiB: sparse, 1 GiB of data";
  return {
    publish: curve("publish", "publishing it", "s", `from close(2) to flushed, to a directory; ${sparse}`),
    read: curve("read", "4 KiB, cold", "s", `new cache directory, backend in a directory; ${sparse}`),
    memory: curve("memory", "resident memory of the daemon", "B", "after those reads"),
  };
}
