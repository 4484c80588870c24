/** Volumes of any size, written as podfs would have left them, without creating each file. Needs the build. */
import { randomUUID } from "node:crypto";
import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  checkpointObjectKey,
  chunkKey,
  contentKey,
  DESCRIPTOR_OBJECT_KEY,
  dentryKey,
  directoryTimesKey,
  encodeCheckpoint,
  encodeChunkRecord,
  encodeContent,
  encodeDentry,
  encodeDescriptor,
  encodeDirectoryTimes,
  encodeInode,
  encodePackRecord,
  hexHashOf,
  inodeKey,
  loadCompressor,
  newDescriptor,
  packKey,
} from "../../dist/format/index.js";

const ROOT_INO = 1;
const FIRST_DIRECTORY_INO = 2;
export const FILES_PER_DIRECTORY = 1000;
const FILES_PER_PACK = 2000;
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const SECOND = 1_790_000_000;

/**
 * Writes a volume of `files` small files into a directory: the descriptor and one checkpoint, with a content, a chunk, a
 * dentry and an inode record for every file. There are no packs: everything but the files' bytes can be read.
 */
export async function writeSyntheticVolume(directory, files) {
  await loadCompressor();
  const write = (key, pieces) => {
    const path = join(directory, key);
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const fd = openSync(path, "w", 0o600);
    for (const piece of pieces) writeSync(fd, piece);
    closeSync(fd);
  };
  write(DESCRIPTOR_OBJECT_KEY, [encodeDescriptor(newDescriptor({ uuid: randomUUID(), createdAt: new Date() }))]);
  write(checkpointObjectKey(1), encodeCheckpoint(checkpointHeader(files), syntheticRecords(files)));
}

export function checkpointHeader(files) {
  return { epoch: 1, segmentSeq: 1, opSeq: firstFileIno(files) + files };
}

/** Everything a volume of that many small files records, in order of keys. */
export function* syntheticRecords(files) {
  yield* records(files, (ino, file) => [contentKey(ino), contentOf(ino, file)]);
  yield* dentries(files);
  yield* inodes(files);
  yield* chunks(files);
  for (let pack = 1; pack <= Math.ceil(files / FILES_PER_PACK); pack++)
    yield [
      packKey(pack),
      encodePackRecord({ id: hexHashOf(Buffer.from(`pack ${pack}`)), sizeBytes: 4096 * FILES_PER_PACK }),
    ];
  yield [directoryTimesKey(ROOT_INO), directoryTimes(2 + directoryCount(files))];
  for (let directory = 0; directory < directoryCount(files); directory++)
    yield [directoryTimesKey(FIRST_DIRECTORY_INO + directory), directoryTimes(2)];
}

function directoryCount(files) {
  return Math.ceil(files / FILES_PER_DIRECTORY);
}

function firstFileIno(files) {
  return FIRST_DIRECTORY_INO + directoryCount(files);
}

function* records(files, record) {
  for (let file = 0; file < files; file++) yield record(firstFileIno(files) + file, file);
}

function* dentries(files) {
  for (let directory = 0; directory < directoryCount(files); directory++) {
    const dentry = encodeDentry({ ino: FIRST_DIRECTORY_INO + directory, type: S_IFDIR });
    yield [dentryKey(ROOT_INO, `class_${String(directory).padStart(6, "0")}`), dentry];
  }
  yield* records(files, (ino, file) => {
    const parent = FIRST_DIRECTORY_INO + Math.floor(file / FILES_PER_DIRECTORY);
    return [dentryKey(parent, `image_${String(file).padStart(8, "0")}.jpeg`), encodeDentry({ ino, type: S_IFREG })];
  });
}

function* inodes(files) {
  for (let ino = ROOT_INO; ino < firstFileIno(files); ino++) yield [inodeKey(ino), inodeOf(S_IFDIR | 0o755, 0)];
  yield* records(files, (ino, file) => [inodeKey(ino), inodeOf(S_IFREG | 0o644, file)]);
}

function* chunks(files) {
  // Hashes come in no order of files, as they do.
  const hashes = Array.from({ length: files }, (_, file) => hashOfFile(file)).sort();
  for (const [index, hash] of hashes.entries()) {
    const place = { pack: 1 + Math.floor(index / FILES_PER_PACK), offset: (index % FILES_PER_PACK) * 4096 };
    yield [chunkKey(hash), encodeChunkRecord({ ...place, storedLength: 4000, rawLength: 8000, codec: 1 })];
  }
}

function hashOfFile(file) {
  return hexHashOf(Buffer.from(String(file)));
}

function contentOf(ino, file) {
  return encodeContent({
    sizeBytes: 1000 + (file % 8192),
    mtime: timeOf(file),
    version: ino,
    chunks: [hashOfFile(file)],
  });
}

function inodeOf(mode, file) {
  const at = timeOf(file);
  return encodeInode({
    ...{ mode, uid: 0, gid: 0, nlink: 1, rdev: 0, target: "" },
    ...{ atime: at, mtime: at, ctime: at, btime: at },
  });
}

function directoryTimes(nlink) {
  return encodeDirectoryTimes({ mtime: timeOf(0), ctime: timeOf(0), nlink, seq: 1 });
}

/** As files come when they are unpacked: some dozens a second. */
function timeOf(file) {
  return { sec: SECOND + Math.floor(file / 50), nsec: (file * 7_654_321) % 1_000_000_000 };
}
