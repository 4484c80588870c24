/**
 * A large file in and out of the bucket, against the SDK moving the same bytes from and to memory; and beside them the SDK
 * that also hashes and has a disk at its other end, which says how much of the distance no cache can avoid.
 */
import { randomBytes } from "node:crypto";
import { copyFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run, timed } from "../support/commands.mjs";
import { inTurn } from "../support/context.mjs";
import { EventLoopRow } from "../support/event-loop.mjs";
import { settle } from "../support/files.mjs";
import { BACKED_BYTES_PER_BYTE, backMemory } from "../support/memory.mjs";
import { OURS, Row } from "../support/row.mjs";
import { BenchStore } from "../support/s3.mjs";
import { OBJECT_BYTES, PARALLEL_GETS, SdkMover } from "../support/sdk-mover.mjs";
import { Workspace } from "../support/workspace.mjs";

const SDK = "SDK";
const WITH_DISK = "SDK, hashes, disk";
const FIRST_BYTES = 1 << 20;

export const family = {
  id: "link",
  title: "large files to and from the bucket",
  needs: ["root", "fuse"],
  minutes: 6,
  measure,
};

async function* measure(context) {
  const workspace = await Workspace.create();
  try {
    const store = await BenchStore.start(workspace);
    const objects = context.pick(16, 2);
    const { publish, read } = describe(store);
    const loop = await EventLoopRow.start(workspace, family);
    for (let round = 0; round < context.rounds(7); round++) {
      const bodies = Array.from({ length: objects }, () => randomBytes(OBJECT_BYTES));
      const sdk = new SdkMover(store, `sdk-${round}`, bodies);
      const ours = new PodfsMover(workspace, store, `podfs-${round}`, loop);
      await ours.prepare(bodies);
      context.progress(`publish, round ${round + 1}`);
      publish.add(
        await speeds(round, objects, {
          [SDK]: { run: () => timed(() => sdk.put()) },
          [WITH_DISK]: { run: () => timed(() => sdk.putFromDisk(ours.source)) },
          [OURS]: { run: () => ours.put() },
        }),
      );
      context.progress(`cold read, round ${round + 1}`);
      const target = join(workspace.directory, `sdk-${round}.target`);
      read.add(
        await speeds(round, objects, {
          [SDK]: { run: () => timed(() => sdk.get()) },
          [WITH_DISK]: { run: () => timed(() => sdk.getToDisk(target)) },
          [OURS]: { before: () => ours.mountCold(), run: () => ours.get() },
        }),
      );
      await rm(target);
      await ours.finish();
    }
    yield publish.finish();
    yield read.finish();
    yield loop.finish();
  } finally {
    await workspace.dispose();
  }
}

/** Bytes per second of each. @param contestants how long it takes each, and what has to be done before */
async function speeds(round, objects, contestants) {
  const bytes = objects * OBJECT_BYTES;
  const figures = {};
  for (const name of inTurn(Object.keys(contestants), round)) {
    const { before = async () => {}, run: seconds } = contestants[name];
    await settle();
    await before();
    await backMemory(bytes * BACKED_BYTES_PER_BYTE);
    figures[name] = bytes / (await seconds());
  }
  return figures;
}

/** The same bytes as one file of a mount. */
class PodfsMover {
  #mount;
  #cold;

  constructor(workspace, store, name, loop) {
    Object.assign(this, { workspace, name, loop });
    this.url = store.volumeUrl(name);
    this.source = join(workspace.directory, `${name}.source`);
  }

  async prepare(bodies) {
    await writeFile(this.source, bodies);
    this.#mount = await this.workspace.mount(this.url, this.name, "--create");
    // The SDK has put objects before, too: the threads have loaded theirs.
    await writeFile(join(this.#mount.directory, "first"), randomBytes(FIRST_BYTES));
    await this.#mount.flush();
  }

  /**
   * From close(2), before which nothing of the file is uploaded, until everything is in the bucket. The copy comes after memory
   * is backed, not before: 0.3 s after close(2) the upload begins.
   */
  async put() {
    await copyFile(this.source, join(this.#mount.directory, "file"));
    return await this.loop.during(this.#mount, "publishing", () => timed(() => this.#mount.flush()));
  }

  async mountCold() {
    const options = ["--read-only", "--cache-dir", await this.workspace.path(`${this.name}-cold-cache`)];
    this.#cold = await this.workspace.mount(this.url, `${this.name}-cold`, ...options);
  }

  async get() {
    const file = join(this.#cold.directory, "file");
    const read = () => run("dd", [`if=${file}`, "of=/dev/null", "bs=1M", "status=none"]);
    const seconds = await this.loop.during(this.#cold, "reading cold", () => timed(read));
    await this.#cold.unmount();
    return seconds;
  }

  async finish() {
    await this.#mount.unmount();
    await rm(this.source);
  }
}

function describe(store) {
  const common = {
    group: "link",
    unit: "B/s",
    better: "higher",
    yardstick: SDK,
    target: { of: "ratio", atLeast: 0.9 },
  };
  return {
    publish: new Row({
      ...common,
      id: "publish",
      title: "publish of a large file",
      conditions: `${store.name}; memory backed before each turn; a mount that has published before; from close(2) to flushed, incompressible; SDK: parallel PUTs of 64 MiB from memory, all signed, where podfs signs those before the server has told a checksum; “hashes, disk”: read from a file and BLAKE3 twice before`,
    }),
    read: new Row({
      ...common,
      id: "cold-sequential-read",
      title: "cold sequential read",
      conditions: `${store.name}; memory backed before each turn; new cache directory; SDK: ${PARALLEL_GETS} parallel ranged GETs of 8 MiB to memory; “hashes, disk”: then BLAKE3 and into a new file`,
    }),
  };
}
