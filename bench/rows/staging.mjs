/** Checkpoints of CPU tensors, against what PyTorch and safetensors do with the same tensors on the same disk. */
import { join } from "node:path";
import { CheckpointClient, pythonObstacle } from "../support/checkpoint-client.mjs";
import { inTurn } from "../support/context.mjs";
import { settle } from "../support/files.mjs";
import { fio } from "../support/fio.mjs";
import { BACKED_BYTES_PER_BYTE, backMemory } from "../support/memory.mjs";
import { OURS, Row, skippedRow } from "../support/row.mjs";
import { writeThroughRing } from "../support/staging-ring.mjs";
import { Workspace } from "../support/workspace.mjs";

const MIB = 1 << 20;
const SYNCED = "torch.save + fsync";
const UNSYNCED = "torch.save";
const STOCK = "safetensors";
const FIO = "fio";
const SLOTS = 32;
const SLOT_BYTES = 16 * MIB;

export const family = {
  id: "staging",
  title: "checkpoints of CPU tensors",
  needs: ["root", "fuse", "fio"],
  minutes: 6,
  measure,
};

async function* measure(context) {
  const workspace = await Workspace.create();
  try {
    yield await ringToDisk(context, workspace);
    const reason = await pythonObstacle();
    if (reason !== undefined) {
      yield skippedRow({ id: "staging-python", group: family.title, title: "saves and restores" }, reason);
      return;
    }
    // What is measured is the way to the local disk; the volume is a directory on the same one.
    const store = await workspace.path("store");
    const mount = await workspace.mount(store, "workspace", "--create", "--durability", "local");
    const client = await CheckpointClient.start(workspace);
    const { bytes } = await client.ask("make", { size: context.pick(1024, 64) * MIB });
    const places = { [OURS]: mount.directory, native: await workspace.path("native") };
    const { mode, reason: fallback } = await client.ask("connect", { directory: mount.directory });
    if (mode !== "shm") throw new Error(`the client saves in mode ${mode}: ${fallback}`);
    yield* saves({ context, client, mount, places, bytes });
    yield* restores({ context, client, mount, places, bytes, workspace });
  } finally {
    await workspace.dispose();
  }
}

/** The addon alone: from the ring to the disk, as the daemon does it, and as much by fio. */
async function ringToDisk(context, workspace) {
  const row = new Row(rowDescriptions().ring);
  const sizeMiB = context.pick(2048, 128);
  const job = { rw: "write", blockSize: "1M", engine: "io_uring", inFlight: 32, direct: true, isSynced: true };
  const contestants = {
    [FIO]: (path) => fio(path, { ...job, sizeMiB, figure: "bytesPerSecond" }),
    [OURS]: (path) => writeThroughRing(path, { bytes: sizeMiB * MIB, slots: SLOTS, slotBytes: SLOT_BYTES }),
  };
  for (let round = 0; round < context.rounds(5); round++) {
    context.progress(`ring → disk, round ${round + 1}`);
    const figures = {};
    for (const name of inTurn(Object.keys(contestants), round)) {
      await settle();
      figures[name] = await contestants[name](join(workspace.directory, `ring-${name}-${round}`));
    }
    row.add(figures);
  }
  return row.finish();
}

/** save() and wait(), each round with other bytes; how long save() itself takes; and what memory the daemon takes. */
async function* saves({ context, client, mount, places, bytes }) {
  const { save, unsynced, blocked, memory } = mapValues(rowDescriptions(), (description) => new Row(description));
  // The memory of hashing, packing and uploading is not staging's.
  await client.ask("save", { how: UNSYNCED, directory: places[OURS], name: "warm-up" });
  await settle(mount);
  const before = await mount.memory("RssAnon");
  for (let round = 0; round < context.rounds(5); round++) {
    context.progress(`save, round ${round + 1}`);
    await client.ask("train", {});
    const took = {};
    for (const how of inTurn([SYNCED, OURS, UNSYNCED], round)) {
      await settle(mount);
      await backMemory(bytes * BACKED_BYTES_PER_BYTE, { byHugePages: true });
      const directory = how === OURS ? places[OURS] : places.native;
      took[how] = await client.ask("save", { how, directory, name: `${how.replaceAll(" ", "")}-${round}` });
    }
    const rate = (how) => bytes / took[how].seconds;
    save.add({ [OURS]: rate(OURS), [SYNCED]: rate(SYNCED) });
    unsynced.add({ [OURS]: rate(OURS), [UNSYNCED]: rate(UNSYNCED) });
    blocked.add({ [OURS]: took[OURS].blocked, [SYNCED]: took[SYNCED].blocked, [UNSYNCED]: took[UNSYNCED].blocked });
    memory.add({ [OURS]: (await mount.memory("RssAnon")) - before });
  }
  for (const row of [save, unsynced, blocked, memory]) yield row.finish();
}

/** The same tensors for both, in the mount and on the disk: into new tensors and into given ones, warm and cold. */
async function* restores({ context, client, mount, places, bytes, workspace }) {
  const rows = mapValues(rowDescriptions(), (description) => new Row(description));
  const name = "restored";
  await client.ask("save", { how: OURS, directory: places[OURS], name });
  await client.ask("prepare", { directory: places.native, name });
  await settle(mount);
  for (const { action, row, isCold } of [
    { action: "load", row: rows.loadCold, isCold: true },
    { action: "load", row: rows.loadWarm, isCold: false },
    { action: "load_mapped", row: rows.mapCold, isCold: true },
    { action: "load_mapped", row: rows.mapWarm, isCold: false },
    { action: "restore", row: rows.restoreCold, isCold: true },
    { action: "restore", row: rows.restoreWarm, isCold: false },
  ]) {
    for (let round = 0; round < context.rounds(5); round++) {
      context.progress(`${row.description.title}, round ${round + 1}`);
      const figures = {};
      for (const how of inTurn([STOCK, OURS], round)) {
        const directory = how === OURS ? places[OURS] : places.native;
        const request = { how, directory, name };
        // Once more, for the page cache to have it.
        if (isCold) {
          await client.ask("drop", { directories: [workspace.directory] });
          await backMemory(bytes * BACKED_BYTES_PER_BYTE, { byHugePages: true });
        } else await client.ask(action, request);
        const { seconds, isSame } = await client.ask(action, request);
        if (!isSame) throw new Error(`${how} gave back other tensors`);
        figures[how] = bytes / seconds;
      }
      // Where the disk is the limit, nobody can be twice as fast as it.
      if (isCold) figures[FIO] = await readByFio(join(places.native, `${name}.safetensors`), bytes);
      row.add(figures);
    }
    yield row.finish();
  }
}

async function readByFio(path, bytes) {
  const job = { rw: "read", blockSize: "1M", engine: "io_uring", inFlight: 32, direct: true };
  return await fio(path, { ...job, sizeMiB: Math.floor(bytes / MIB), figure: "bytesPerSecond" });
}

function rowDescriptions() {
  const common = { group: family.title, unit: "B/s", better: "higher" };
  const atLeast = (factor) => ({ target: { of: "ratio", atLeast: factor } });
  return {
    ring: {
      ...common,
      ...{ id: "staging-ring", title: "ring → disk", yardstick: FIO, ...atLeast(0.9) },
      conditions: `room made first, fsync counts; ${SLOTS} slots of 16 MiB; fio: O_DIRECT, io_uring, 1 MiB × 32`,
    },
    save: {
      ...common,
      ...{ id: "staging-save", title: "save() + wait()", yardstick: SYNCED, ...atLeast(3) },
      conditions:
        "through a mount, on the local disk and fsynced at the end; other bytes each round; memory backed before each turn",
    },
    unsynced: {
      ...common,
      ...{ id: "staging-save-unsynced", title: "save() + wait(), against the page cache", yardstick: UNSYNCED },
      conditions: "as above; torch.save leaves the bytes in memory",
      tolerance: 0.5,
    },
    blocked: {
      ...common,
      ...{ id: "staging-blocked", title: "how long save() takes", unit: "s", better: "lower", yardstick: SYNCED },
      conditions: `a ring of ${(SLOTS * SLOT_BYTES) / MIB} MiB; then the tensors may be changed`,
    },
    memory: {
      ...common,
      ...{ id: "staging-memory", title: "the daemon's memory beside the ring", unit: "B", better: "lower" },
      ...{ target: { of: "value", atMost: 64 * MIB }, judgedBy: "max", tolerance: null },
      conditions: "anonymous memory after each save less that after as large a file was written through the mount",
    },
    loadCold: {
      ...common,
      ...{ id: "staging-load-cold", title: "load(), pages dropped", yardstick: STOCK, ...atLeast(2) },
      conditions:
        "cached on the disk, not in memory; memory backed before each turn; until a byte of every page has been looked at; load_file on the local filesystem; fio: O_DIRECT, 1 MiB × 32",
    },
    loadWarm: {
      ...common,
      ...{ id: "staging-load-warm", title: "load(), page cache warm", yardstick: STOCK, ...atLeast(2) },
      conditions:
        "as above, but memory is left as it is; load_file maps the page cache's own pages, load() copies them",
    },
    mapCold: {
      ...common,
      ...{ id: "staging-map-cold", title: "load(mmap=True), pages dropped", yardstick: STOCK, ...atLeast(2) },
      conditions: "as load(), pages dropped; both map the file",
    },
    mapWarm: {
      ...common,
      ...{ id: "staging-map-warm", title: "load(mmap=True), page cache warm", yardstick: STOCK, ...atLeast(2) },
      conditions: "as above; what is left is to fill page tables, which podfs does beforehand on a few threads",
    },
    restoreCold: {
      ...common,
      ...{ id: "staging-restore-cold", title: "load(into=model), pages dropped", yardstick: STOCK, ...atLeast(2) },
      conditions:
        "cached on the disk, not in memory; memory backed before each turn; load_file and copy_, as load_state_dict does",
    },
    restoreWarm: {
      ...common,
      ...{ id: "staging-restore-warm", title: "load(into=model), page cache warm", yardstick: STOCK, ...atLeast(2) },
      conditions: "as above, but memory is left as it is",
    },
  };
}

function mapValues(object, change) {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));
}
