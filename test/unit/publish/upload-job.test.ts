import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Ino } from "../../../src/base/index.js";
import { loadAddon } from "../../../src/native/index.js";
import { uploadFiles } from "../../../src/publish/upload-job.js";
import type { Transfer } from "../../../src/transfer/index.js";
import { kindOf } from "../../support/fs-fixture.js";
import { CacheUnderTest, settled, WRITE } from "../cache/cache-under-test.js";

const addonProblem = kindOf(loadAddon);

describe.skipIf(addonProblem !== "none")("uploadFiles (needs the native addon)", () => {
  let under: CacheUnderTest;
  beforeEach(async () => {
    under = await CacheUnderTest.start();
  });
  afterEach(() => under.cleanUp());

  /** Uploads these files; `before` happens when it is settled what is read of them, and nothing is read yet. */
  async function upload(inodes: readonly Ino[], before: () => Promise<void>) {
    const { transfer, metadata, cache } = under;
    const delayed: Transfer = {
      counters: transfer.counters,
      uploadPack: async (...call) => {
        await before();
        return transfer.uploadPack(...call);
      },
      fetchChunks: (...call) => transfer.fetchChunks(...call),
      fetchWindow: (...call) => transfer.fetchWindow(...call),
      extractChunks: (...call) => transfer.extractChunks(...call),
      close: () => transfer.close(),
    };
    const files = inodes.map((ino) => {
      const source = cache.beginUpload(ino);
      if (source === undefined) throw new Error(`inode ${ino} is not dirty`);
      return { ino, source };
    });
    const outcome = await uploadFiles(
      { metadata, cache, transfer: delayed },
      files,
      "normal",
      new AbortController().signal,
    );
    for (const { ino, source } of files) if (!outcome.recorded.has(ino)) cache.failUpload(ino, source);
    await settled();
    return outcome;
  }

  it("does not give a file the bytes that were written to its equal meanwhile", async () => {
    const bytes = randomBytes(5000);
    const changed = await under.write(bytes);
    const still = await under.write(bytes);
    const { recorded, failed } = await upload([changed, still], async () => {
      const content = await under.cache.open(changed, WRITE);
      await content.file.write(Buffer.from("something else"), 0);
      under.cache.close(content, WRITE);
    });
    expect([...recorded]).toEqual([changed, still]);
    expect([...failed.keys()]).toEqual([]);
    await under.upload(changed);
    await under.cache.evictAll();
    expect(await under.read(still)).toEqual(bytes);
    expect((await under.read(changed)).subarray(0, 14).toString()).toBe("something else");
  });

  it("uploads what the volume has no second time, and records it", async () => {
    const bytes = randomBytes(5000);
    const first = await under.write(bytes);
    await upload([first], async () => {});
    const puts = under.transfer.counters.puts;
    const second = await under.write(bytes);
    const { recorded } = await upload([second], async () => {});
    expect([...recorded]).toEqual([second]);
    expect(under.transfer.counters.puts).toBe(puts);
    await under.cache.evictAll();
    expect(await under.read(second)).toEqual(bytes);
  });

  it("fails a file that is truncated meanwhile, and no other", async () => {
    const bytes = randomBytes(5000);
    const truncated = await under.write(randomBytes(5000));
    const other = await under.write(bytes);
    const { recorded, failed } = await upload([truncated, other], async () => {
      const content = await under.cache.open(truncated, WRITE);
      await content.file.truncate(100);
      under.cache.close(content, WRITE);
    });
    expect([...recorded]).toEqual([other]);
    expect([...failed.keys()]).toEqual([truncated]);
    expect(under.metadata.local(other)?.dirty).toBe(false);
    expect(under.metadata.local(truncated)?.dirty).toBe(true);
    await under.upload(truncated);
    expect(under.metadata.content(truncated)?.sizeBytes).toBe(100);
  });
});
