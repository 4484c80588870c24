import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ROOT_INO, type SegmentSeq, systemClock } from "../../../src/base/index.js";
import { parseSegmentObjectKey, readCheckpoint } from "../../../src/format/index.js";
import { isCheckpointDue } from "../../../src/meta/checkpoint/checkpoint-writer.js";
import { deleteCovered } from "../../../src/meta/checkpoint/delete-covered.js";
import { InlineTasks, MetaError, openFollower, type WriterVolume } from "../../../src/meta/index.js";
import { readLease } from "../../../src/meta/lease/lease-object.js";
import { emptyPosition } from "../../../src/meta/volume-position.js";
import {
  createFile,
  keysOf,
  MetaFixture,
  makeDirectory,
  removeFile,
  shipAll,
  treeOf,
} from "../../support/meta-fixture.js";

describe("checkpoints", () => {
  let fixture: MetaFixture;
  let writer: WriterVolume;

  beforeEach(async () => {
    fixture = new MetaFixture();
    await fixture.create();
    writer = await fixture.writer("a");
  });

  afterEach(() => fixture.close());

  const tasks = () => new InlineTasks(fixture.backend);

  /** Works in `directory`, ships, and returns the segment. */
  async function work(directory: string, segments: number): Promise<SegmentSeq> {
    const { metadata } = writer;
    const ino = makeDirectory(metadata, ROOT_INO, directory);
    for (let segment = 0; segment < segments; segment++) {
      for (let file = 0; file < 20; file++) createFile(metadata, ino, `${segment}-${file}`);
      if (segment > 0) removeFile(metadata, ino, `${segment - 1}-7`);
      await shipAll(writer);
    }
    const last = (await keysOf(fixture.backend, "meta/log/")).map(parseSegmentObjectKey).at(-1);
    return last?.seq ?? (0 as SegmentSeq);
  }

  async function checkpoint(segment: SegmentSeq): Promise<void> {
    const beginsAt = (await readLease(fixture.backend))?.lease.beginsAt ?? [];
    const built = await tasks().buildCheckpoint({ segment, beginsAt, folder: fixture.cache("a") });
    expect(built?.segment).toBe(segment);
  }

  it("hold what the segments add up to, and loading them gives the same as loading the log", async () => {
    await checkpoint(await work("one", 5));
    await checkpoint(await work("two", 5));
    await work("three", 3);
    const tree = treeOf(writer.metadata);
    await writer.close();
    for (const key of (await keysOf(fixture.backend, "meta/log/")).slice(0, 10)) await fixture.backend.delete(key);
    const b = await fixture.writer("b");
    expect(treeOf(b.metadata)).toEqual(tree);
    expect(b.metadata.totals()).toEqual({ inodes: 1 + 3 + 13 * 20 - 10, contentBytes: 0 });
  });

  it("are deleted when two newer ones are there, with the segments nobody needs any more", async () => {
    const segments = [await work("one", 3), await work("two", 3), await work("three", 3)];
    for (const segment of segments) await checkpoint(segment);
    expect(await deleteCovered(fixture.backend)).toBe(segments[1]);
    expect(await keysOf(fixture.backend, "meta/snapshot/")).toHaveLength(2);
    expect(await keysOf(fixture.backend, "meta/log/")).toHaveLength(3);
    const tree = treeOf(writer.metadata);
    await writer.close();
    const b = await fixture.writer("b");
    expect(treeOf(b.metadata)).toEqual(tree);
  });

  it("bring a machine up to date that the log does not reach back to", async () => {
    const follower = await openFollower({
      clock: systemClock,
      store: fixture.backend,
      tasks: tasks(),
      folder: fixture.cache("old"),
    });
    const segments = [await work("one", 3), await work("two", 3)];
    await follower.refresh();
    removeFile(writer.metadata, writer.metadata.dentry(ROOT_INO, "one" as never)?.ino ?? ROOT_INO, "2-3");
    segments.push(await work("three", 3), await work("four", 3), await work("five", 1));
    for (const segment of segments.slice(2)) await checkpoint(segment);
    await deleteCovered(fixture.backend);
    const { names } = await follower.refresh();
    expect(treeOf(follower.metadata)).toEqual(treeOf(writer.metadata));
    expect(follower.metadata.totals()).toEqual(writer.metadata.totals());
    expect(names.get(ROOT_INO)).toEqual(new Set(["three", "four", "five"]));
    await follower.close();
  });

  it("are written by themselves when the log has many segments, while work goes on", async () => {
    for (let segment = 0; segment < 520; segment++) {
      createFile(writer.metadata, ROOT_INO, `file-${segment}`);
      await shipAll(writer);
    }
    await writer.close();
    expect(await keysOf(fixture.backend, "meta/snapshot/")).toHaveLength(1);
    const lease = (await readLease(fixture.backend))?.lease;
    expect(lease?.checkpointSeq).toBe(513);
    const b = await fixture.writer("b");
    expect(b.metadata.totals().inodes).toBe(521);
  });

  it("that are damaged are named in the error", async () => {
    await checkpoint(await work("one", 2));
    await writer.close();
    const [key = ""] = await keysOf(fixture.backend, "meta/snapshot/");
    const body = Buffer.from((await fixture.backend.get(key)).body);
    expect(() => [...readCheckpoint([body]).records]).not.toThrow();
    body[body.length - 100] = (body[body.length - 100] ?? 0) ^ 1;
    await fixture.backend.put(key, body);
    const error = await fixture.writer("b").catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(MetaError);
    expect(error).toMatchObject({ kind: "corrupt", message: expect.stringContaining(key) });
  });

  it("are due when the log has grown, in bytes or segments", () => {
    const position = emptyPosition("x");
    expect(isCheckpointDue({ ...position, logBytes: 8 << 20 })).toBe(false);
    expect(isCheckpointDue({ ...position, logBytes: (8 << 20) + 1 })).toBe(true);
    expect(isCheckpointDue({ ...position, logBytes: 40 << 20, checkpointBytes: 100 << 20 })).toBe(false);
    expect(isCheckpointDue({ ...position, segment: 513 as SegmentSeq })).toBe(true);
  });
});
