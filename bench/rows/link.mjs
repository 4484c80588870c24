/** A large file in and out of the bucket, against the SDK moving the same bytes from and to memory. */
import { randomBytes } from "node:crypto";
import { copyFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run, timed } from "../support/commands.mjs";
import { inTurn } from "../support/context.mjs";
import { EventLoopRow } from "../support/event-loop.mjs";
import { settle } from "../support/files.mjs";
import { OURS, Row } from "../support/row.mjs";
import { BenchStore } from "../support/s3.mjs";
import { Workspace } from "../support/workspace.mjs";

const SDK = "SDK";
const MIB = 1 << 20;
const OBJECT_BYTES = 64 * MIB;
/** What downloaders commonly ask for at once, and how often. */
const RANGE_BYTES = 8 * MIB;
const PARALLEL = 16;

export const family = {
  id: "link",
  title: "large files to and from the bucket",
  needs: ["root", "fuse"],
  minutes: 3,
  measure,
};

async function* measure(context) {
  const workspace = await Workspace.create();
  try {
    const store = await BenchStore.start(workspace);
    const objects = context.pick(16, 2);
    const { publish, read } = describe(store);
    const loop = await EventLoopRow.start(workspace, family);
    for (let round = 0; round < context.rounds(5); round++) {
      const bodies = Array.from({ length: objects }, () => randomBytes(OBJECT_BYTES));
      const sdk = new SdkMover(store, `sdk-${round}`, bodies);
      const ours = new PodfsMover(workspace, store, `podfs-${round}`, loop);
      await ours.prepare(bodies);
      context.progress(`publish, round ${round + 1}`);
      publish.add(await bothWays(round, objects, { [SDK]: () => sdk.put(), [OURS]: () => ours.put() }));
      context.progress(`cold read, round ${round + 1}`);
      read.add(await bothWays(round, objects, { [SDK]: () => sdk.get(), [OURS]: () => ours.get() }));
      await ours.finish();
    }
    yield publish.finish();
    yield read.finish();
    yield loop.finish();
  } finally {
    await workspace.dispose();
  }
}

/** Bytes per second of each. */
async function bothWays(round, objects, contestants) {
  const figures = {};
  for (const name of inTurn(Object.keys(contestants), round)) {
    await settle();
    figures[name] = (objects * OBJECT_BYTES) / (await contestants[name]());
  }
  return figures;
}

/** Objects of 64 MiB from memory, ranges of 8 MiB to memory. */
class SdkMover {
  constructor(store, prefix, bodies) {
    Object.assign(this, { store, prefix, bodies });
  }

  async put() {
    return await timed(() => Promise.all(this.bodies.map((body, i) => this.store.put(`${this.prefix}/${i}`, body))));
  }

  async get() {
    const ranges = this.bodies.flatMap((body, i) =>
      Array.from({ length: body.length / RANGE_BYTES }, (_, part) => ({ key: `${this.prefix}/${i}`, part })),
    );
    const next = ranges.values();
    const worker = async () => {
      for (const { key, part } of next) await this.store.get(key, [part * RANGE_BYTES, (part + 1) * RANGE_BYTES - 1]);
    };
    return await timed(() => Promise.all(Array.from({ length: PARALLEL }, worker)));
  }
}

/** The same bytes as one file of a mount. */
class PodfsMover {
  #mount;

  constructor(workspace, store, name, loop) {
    Object.assign(this, { workspace, name, loop });
    this.url = store.volumeUrl(name);
    this.source = join(workspace.directory, `${name}.source`);
  }

  async prepare(bodies) {
    await writeFile(this.source, bodies);
    this.#mount = await this.workspace.mount(this.url, this.name, "--create");
  }

  /** From close(2), before which nothing of the file is uploaded, until everything is in the bucket. */
  async put() {
    await copyFile(this.source, join(this.#mount.directory, "file"));
    await this.loop.ignore(this.#mount);
    const seconds = await timed(() => this.#mount.flush());
    await this.loop.take(this.#mount, "publishing");
    return seconds;
  }

  async get() {
    const options = ["--read-only", "--cache-dir", await this.workspace.path(`${this.name}-cold-cache`)];
    const cold = await this.workspace.mount(this.url, `${this.name}-cold`, ...options);
    await this.loop.ignore(cold);
    const file = join(cold.directory, "file");
    const seconds = await timed(() => run("dd", [`if=${file}`, "of=/dev/null", "bs=1M", "status=none"]));
    await this.loop.take(cold, "reading cold");
    await cold.unmount();
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
      conditions: `${store.name}; from close(2) to flushed, incompressible; SDK: parallel PUTs of 64 MiB from memory`,
    }),
    read: new Row({
      ...common,
      id: "cold-sequential-read",
      title: "cold sequential read",
      conditions: `${store.name}; new cache directory; SDK: ${PARALLEL} parallel ranged GETs of 8 MiB to memory`,
    }),
  };
}
