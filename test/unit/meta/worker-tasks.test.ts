import { mkdirSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type BackendConfig, createObjectStore, type ObjectStore } from "../../../src/backend/index.js";
import { ROOT_INO, systemClock } from "../../../src/base/index.js";
import { checkpointObjectKey } from "../../../src/format/index.js";
import { createVolume, type LoadProgress, MetaError, WorkerTasks } from "../../../src/meta/index.js";
import { readLease } from "../../../src/meta/lease/lease-object.js";
import { createFile, keysOf, MetaFixture, makeDirectory, shipAll, treeOf } from "../../support/meta-fixture.js";

let fixture: MetaFixture;
let config: BackendConfig;
let store: ObjectStore;
let tasks: WorkerTasks;

/** Worker threads need compiled code: that in `dist/`, or, while several people share a checkout, a build elsewhere. */
const transferWorker = process.env.PODFS_TEST_WORKER_FILE;
const workerFile = transferWorker && join(transferWorker, "../../meta/worker/worker-entry.cjs");

beforeEach(async () => {
  fixture = new MetaFixture();
  config = { kind: "directory", path: join(fixture.folder, "backend") };
  mkdirSync(config.path);
  store = await createObjectStore(config);
  await createVolume(store, systemClock);
  tasks = workerFile ? new WorkerTasks(config, workerFile) : new WorkerTasks(config);
});

afterEach(async () => {
  await fixture.close();
  await tasks.close();
});

it("ship, checkpoint and load in worker threads as they do inline", async () => {
  const a = await fixture.writer("a", { store, tasks });
  const home = makeDirectory(a.metadata, ROOT_INO, "home");
  for (let file = 0; file < 3000; file++) createFile(a.metadata, home, `file-${file}`);
  await shipAll(a);
  const beginsAt = (await readLease(store))?.lease.beginsAt ?? [];
  const { segment } = (a.metadata as unknown as { position(): { segment: never } }).position();
  const built = await tasks.buildCheckpoint({ segment, beginsAt, folder: fixture.cache("a") });
  expect(built).toEqual({ segment, sizeBytes: (await store.head(checkpointObjectKey(segment)))?.sizeBytes });
  expect(await tasks.buildCheckpoint({ segment, beginsAt, folder: fixture.cache("a") })).toBeUndefined();
  expect((await readdir(fixture.cache("a"))).filter((file) => file.endsWith(".tmp"))).toEqual([]);
  const tree = treeOf(a.metadata);
  await a.close();
  for (const key of await keysOf(store, "meta/log/")) await store.delete(key);

  const progress: LoadProgress[] = [];
  const b = await fixture.writer("b", { store, tasks, onProgress: (step) => progress.push(step) });
  expect(treeOf(b.metadata)).toEqual(tree);
  expect(b.metadata.totals().inodes).toBe(3002);
  expect(progress.at(-1)?.records).toBe(3002 * 2 + 1 + 3000);
});

it("report their errors as what they are", async () => {
  await store.put(checkpointObjectKey(1 as never), Buffer.from("not a checkpoint at all"));
  const error = await fixture.writer("a", { store, tasks }).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(MetaError);
  expect(error).toMatchObject({ kind: "corrupt", message: expect.stringContaining("meta/snapshot/") });
});
