#!/usr/bin/env node
/**
 * How fast a checkpoint of many files (four records each) is written, read and merged, and in how much memory.
 *
 *   node bench/checkpoint.mjs [FILES]     default a million
 */
import { chunkKey, encodeCheckpoint, loadCompressor, mergeCheckpoint, readCheckpoint } from "../dist/format/index.js";
import { checkpointHeader, syntheticRecords } from "./support/synthetic-volume.mjs";

const files = Number(process.argv[2] ?? 1_000_000);
const header = checkpointHeader(files);
await loadCompressor();

const records = timed("make the records", () => count(syntheticRecords(files)));
const pieces = timed("make and encode", () => [...encodeCheckpoint(header, syntheticRecords(files))]);
const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
console.log(`${records} records in ${(bytes / 1e6).toFixed(1)} MB, ${(bytes / records).toFixed(1)} bytes each`);
timed("decode", () => count(readCheckpoint(pieces).records));
const delta = [{ op: "delete", key: chunkKey("f".repeat(64)) }];
timed("decode and merge", () => count(mergeCheckpoint(readCheckpoint(pieces).records, delta)));
timed("decode, merge and encode", () => {
  const merged = mergeCheckpoint(readCheckpoint(pieces).records, delta);
  return count(encodeCheckpoint({ ...header, segmentSeq: 2 }, merged));
});

function timed(what, work) {
  const start = performance.now();
  const result = work();
  const seconds = (performance.now() - start) / 1000;
  const rss = Math.round(process.memoryUsage.rss() / 1e6);
  console.log(
    `${what}: ${seconds.toFixed(2)} s, ${Math.round((4 * files) / seconds / 1000)} k records/s, RSS ${rss} MB`,
  );
  return result;
}

function count(items) {
  let total = 0;
  for (const _ of items) total++;
  return total;
}
