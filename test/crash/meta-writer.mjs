// Child process of meta.test.ts: creates files in a volume and publishes some of them, until it is killed.
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [dist, root] = process.argv.slice(2);
const load = (file) => import(pathToFileURL(join(dist, file)).href);
const [{ openWriter, WorkerTasks }, { createObjectStore }, { systemClock }] = await Promise.all(
  ["meta/index.js", "backend/index.js", "base/index.js"].map(load),
);

const backend = { kind: "directory", path: join(root, "backend") };
const { metadata, log } = await openWriter({
  store: await createObjectStore(backend),
  tasks: new WorkerTasks(backend),
  clock: systemClock,
  folder: join(root, "cache"),
  holder: { id: "a", host: "host", pid: process.pid, mountpoint: "/workspace" },
  root: { mode: 0o755, uid: 0, gid: 0 },
  contentExists: () => true,
  onError: (error) => console.error(error),
});

const time = { sec: 1, nsec: 0 };
const times = { atime: time, mtime: time, ctime: time, btime: time };

function create(name) {
  metadata.update((tx) => {
    tx.putInode(tx.seq, { mode: 0o100644, uid: 0, gid: 0, nlink: 1, rdev: 0, target: "", ...times });
    tx.putContent(tx.seq, { sizeBytes: 3, mtime: time }, [null]);
    tx.putDentry(1, name, { ino: tx.seq, type: 0o100000 });
    tx.touch(1, time, 0);
    tx.dependsOn({ directories: [1] });
  });
}

let isShipping = false;
for (let index = 0; ; index++) {
  create(`file-${String(index).padStart(6, "0")}`);
  if (index % 100 === 99) process.stdout.write(`${index + 1}\n`);
  if (index % 250 !== 0) continue;
  await new Promise(setImmediate);
  if (isShipping) continue;
  isShipping = true;
  log.ship(Array.from(metadata.pendingOperations(), ({ seq }) => seq)).finally(() => {
    isShipping = false;
  });
}
