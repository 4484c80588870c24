// Child process of cache.test.ts: works in a cache until it is killed, and says what it has written.
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [dist, root] = process.argv.slice(2);
const load = (file) => import(pathToFileURL(join(dist, file)).href);
const [{ CacheDirectory, openContentCache }, { LmdbStore, VolumeMetadata }, { loadAddon }, { WorkerTransfer }] =
  await Promise.all(["cache/index.js", "meta/index.js", "native/index.js", "transfer/index.js"].map(load));

const metadata = new VolumeMetadata({ store: new LmdbStore(join(root, "meta.lmdb")) });
const directory = CacheDirectory.open(join(root, "cache"), loadAddon());
const transfer = new WorkerTransfer({ backend: { kind: "directory", path: join(root, "backend") }, threads: 1 });
const options = { directory, metadata, transfer, addon: loadAddon(), limitBytes: 2 ** 40, freeSpaceBytes: 0 };
const cache = await openContentCache({ ...options, onProblem: (message) => console.error(message) });

const time = { sec: 1, nsec: 0 };
const record = { mode: 0o100644, uid: 0, gid: 0, nlink: 1, rdev: 0, target: "" };

async function create() {
  for (;;) {
    const content = metadata.update((tx) => {
      tx.putInode(tx.seq, { ...record, atime: time, mtime: time, ctime: time, btime: time });
      tx.putContent(tx.seq, { sizeBytes: 0, mtime: time }, []);
      return cache.create(tx, tx.seq, time, true);
    });
    if (content !== undefined) return content;
    await cache.spareReady();
  }
}

// The file named on the command line is clean, large and absent: it is written into here and there.
const large = Number(process.argv[4]);
const intent = { write: true, truncate: false, passthroughAllowed: true };
const content = await cache.open(large, intent);
for (let n = 0; ; n++) {
  const file = await create();
  const size = 1 + ((n * 7919) % 300_000);
  await file.file.write(Buffer.alloc(size, `${file.ino};`), 0);
  const isOpen = n % 5 === 0;
  if (!isOpen) cache.close(file, { write: true });
  if (n % 3 === 0) {
    const block = n % 16;
    await content.file.write(Buffer.from(`block ${block}`), block * (1 << 20) + 100);
    console.log(`large ${block}`);
  }
  if (n % 7 === 6) {
    metadata.update((tx) => {
      cache.remove(tx, file.ino);
      tx.deleteContent(file.ino);
      tx.deleteInode(file.ino);
    });
  } else console.log(`file ${file.ino} ${size}`);
}
