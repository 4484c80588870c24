/** Reading small files for the first time on a new machine, from an object store that takes 30 ms for each request. */
import { join } from "node:path";
import { bash, timed } from "../support/commands.mjs";
import { EventLoopRow } from "../support/event-loop.mjs";
import { makeFiles } from "../support/files.mjs";
import { OURS, Row } from "../support/row.mjs";
import { BenchStore } from "../support/s3.mjs";
import { Workspace } from "../support/workspace.mjs";
import { SMALL_FILES, unpack } from "./tar.mjs";

const LATENCY_MS = 30;
const ONE_BY_ONE = "one request per file";
/** Measured one by one; the yardstick is this scaled up. */
const REQUESTS = 100;
const OBJECT_BYTES = 8192;

export const family = {
  id: "cold",
  title: "cold small files",
  needs: ["root", "fuse", "python3"],
  minutes: 1,
  measure,
};

async function* measure(context) {
  const workspace = await Workspace.create();
  try {
    const store = await BenchStore.start(workspace);
    const rounds = context.rounds(5);
    await fill(workspace, store, rounds);
    const far = await store.farAway(workspace, LATENCY_MS);
    const row = new Row({
      id: "cold-small-files",
      group: "cold",
      title: "cold read of 2,000 small files",
      unit: "s",
      better: "lower",
      conditions: `new cache directory, ${LATENCY_MS} ms per request; yardstick: ${REQUESTS} GETs one by one, scaled`,
      yardstick: ONE_BY_ONE,
      target: { of: "ratio", atMost: 1 / 30 },
    });
    const requests = new Row({
      id: "cold-small-files-requests",
      group: "cold",
      title: "GETs for that",
      unit: "requests",
      better: "lower",
      conditions: "reading only, without mounting",
    });
    const loop = await EventLoopRow.start(workspace, family);
    for (let round = 0; round < rounds; round++) {
      context.progress(`cold small files, round ${round + 1}`);
      const oneByOne = (await secondsOneByOne(store, far)) * (SMALL_FILES / REQUESTS);
      const cacheDirectory = await workspace.path(`cold-cache-${round}`);
      const options = ["--read-only", "--cache-dir", cacheDirectory];
      const cold = await workspace.mount(store.volumeUrl("cold", far.endpoint), `cold-${round}`, ...options);
      await loop.ignore(cold);
      await far.requests();
      const script = `find ${join(cold.directory, `round-${round}`)} -type f -exec cat {} + | wc -c`;
      row.add({ [OURS]: await timed(() => bash(script)), [ONE_BY_ONE]: oneByOne });
      requests.add({ [OURS]: (await far.requests()).GET ?? 0 });
      await loop.take(cold, "reading cold");
      await cold.unmount();
    }
    yield row.finish();
    yield requests.finish();
    yield loop.finish();
  } finally {
    await workspace.dispose();
  }
}

/** A volume with the small files of every round, each in its directory: a round reads what none has read before. */
async function fill(workspace, store, rounds) {
  const source = await workspace.mount(store.volumeUrl("cold"), "source", "--create");
  for (let round = 0; round < rounds; round++) {
    const archive = join(workspace.directory, `${round}.tar`);
    await makeFiles("archive", archive, SMALL_FILES, round);
    await unpack(archive, join(source.directory, `round-${round}`));
    await source.flush();
  }
  await source.unmount();
  await store.put("one-by-one", Buffer.alloc(OBJECT_BYTES));
}

async function secondsOneByOne(store, far) {
  return await timed(async () => {
    for (let i = 0; i < REQUESTS; i++) await store.get("one-by-one", undefined, far.client);
  });
}
