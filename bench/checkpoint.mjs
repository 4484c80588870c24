// Measures how fast a checkpoint of a million files (three million records) is written, read and merged, and in how
// much memory. Needs the build: npm run build:ts
//
//   node bench/checkpoint.mjs [files]
import {
  chunkKey,
  contentKey,
  dentryKey,
  encodeCheckpoint,
  encodeContent,
  encodeDentry,
  encodeInode,
  hexHashOf,
  inodeKey,
  loadCompressor,
  mergeCheckpoint,
  readCheckpoint,
} from "../dist/format/index.js";

const files = Number(process.argv[2] ?? 1_000_000);
const FIRST_INO = 1000;
const FILES_PER_DIRECTORY = 200;
const records = 3 * files;
await loadCompressor();

const pieces = timed("encode", () => [...encodeCheckpoint({ epoch: 1, segmentSeq: 1, opSeq: records }, volume())]);
const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
console.log(`${records} records in ${(bytes / 1e6).toFixed(1)} MB, ${(bytes / records).toFixed(1)} bytes each`);
timed("decode", () => count(readCheckpoint(pieces).records));
const delta = [{ op: "delete", key: chunkKey("f".repeat(64)) }];
timed("decode and merge", () => count(mergeCheckpoint(readCheckpoint(pieces).records, delta)));
timed("decode, merge and encode", () => {
  const merged = mergeCheckpoint(readCheckpoint(pieces).records, delta);
  return count(encodeCheckpoint({ epoch: 1, segmentSeq: 2, opSeq: records }, merged));
});

function timed(what, work) {
  const start = performance.now();
  const result = work();
  const seconds = (performance.now() - start) / 1000;
  const rss = Math.round(process.memoryUsage.rss() / 1e6);
  console.log(`${what}: ${seconds.toFixed(2)} s, ${Math.round(records / seconds / 1000)} k records/s, RSS ${rss} MB`);
  return result;
}

function count(items) {
  let total = 0;
  for (const _ of items) total++;
  return total;
}

/** Contents, dentries and inodes of a tree of small files, in key order. */
function* volume() {
  const time = (file) => ({ sec: 1_790_000_000 + Math.floor(file / 50), nsec: (file * 7_654_321) % 1_000_000_000 });
  for (let file = 0; file < files; file++) {
    const chunks = [hexHashOf(Buffer.from(String(file)))];
    const sizeBytes = 1000 + (file % 8192);
    yield [
      contentKey(FIRST_INO + file),
      encodeContent({ sizeBytes, mtime: time(file), version: FIRST_INO + file, chunks }),
    ];
  }
  for (let file = 0; file < files; file++) {
    const directory = 1 + Math.floor(file / FILES_PER_DIRECTORY);
    const name = `image_${String(file).padStart(8, "0")}.jpeg`;
    yield [dentryKey(directory, name), encodeDentry({ ino: FIRST_INO + file, type: 0o100000 })];
  }
  for (let file = 0; file < files; file++) {
    const at = time(file);
    const inode = {
      mode: 0o100644,
      uid: 1000,
      gid: 1000,
      nlink: 1,
      rdev: 0,
      atime: at,
      mtime: at,
      ctime: at,
      btime: at,
      target: "",
    };
    yield [inodeKey(FIRST_INO + file), encodeInode(inode)];
  }
}
