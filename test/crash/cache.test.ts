import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, test, vi } from "vitest";
import type { ContentId, Ino } from "../../src/base/index.js";
import { CacheUnderTest, PATIENTLY } from "../unit/cache/cache-under-test.js";

const CHILD = fileURLToPath(new URL("cache-writer.mjs", import.meta.url));
const WORKER =
  process.env.PODFS_TEST_WORKER_FILE ?? fileURLToPath(new URL("../../dist/transfer/worker-entry.cjs", import.meta.url));
const DIST = dirname(dirname(WORKER));
const MIB = 1 << 20;

interface Written {
  readonly files: Map<Ino, number>;
  readonly blocks: Set<number>;
}

/** Runs the writer until it has said `lines` lines, and kills it. */
async function writeUntilKilled(root: string, large: Ino, lines: number): Promise<Written> {
  const child = spawn(process.execPath, [CHILD, DIST, root, String(large)], { stdio: ["ignore", "pipe", "inherit"] });
  const written: Written = { files: new Map(), blocks: new Set() };
  let count = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const [what, first, second] = line.split(" ");
    if (what === "file") written.files.set(Number(first) as Ino, Number(second));
    else written.blocks.add(Number(first));
    if (++count === lines) child.kill("SIGKILL");
  }
  return written;
}

test.each([15, 120, 400])(
  "kill -9 after %i steps loses nothing that was written, and leaves no garbage",
  async (lines) => {
    let under = await CacheUnderTest.start();
    try {
      const bytes = randomBytes(16 * MIB);
      const [large = 0 as Ino] = await under.publish(bytes);
      await under.cache.evict(large);
      await under.end();

      const { files, blocks } = await writeUntilKilled(under.root, large, lines);
      under = await CacheUnderTest.start({}, under.root);
      expect(files.size).toBeGreaterThan(lines / 3);
      for (const [ino, size] of files) {
        expect(under.metadata.local(ino)).toMatchObject({ dirty: true, sizeBytes: size });
        expect((await under.read(ino)).equals(Buffer.alloc(size, `${ino};`))).toBe(true);
      }
      const source = under.cache.beginUpload(large);
      expect(source?.chunks).toEqual(expect.arrayContaining([...blocks].sort((a, b) => a - b)));
      if (source !== undefined) under.cache.failUpload(large, source);
      for (const block of blocks) bytes.write(`block ${block}`, block * MIB + 100);

      await under.upload(large, ...files.keys());
      await under.cache.evictAll();
      for (const [ino, size] of files) expect((await under.read(ino)).equals(Buffer.alloc(size, `${ino};`))).toBe(true);
      const read = await under.read(large);
      // What it said, and perhaps one block more.
      const different = Array.from({ length: 16 }, (_, i) => i).filter((block) => {
        const [from, to] = [block * MIB, (block + 1) * MIB];
        return !read.subarray(from, to).equals(bytes.subarray(from, to));
      });
      expect(different.length).toBeLessThanOrEqual(1);
      await expectNoStrangers(under);
    } finally {
      await under.cleanUp();
    }
  },
);

/** Every content file is somebody's, or marked as garbage. */
async function expectNoStrangers(under: CacheUnderTest): Promise<void> {
  await vi.waitFor(() => {
    const known = new Set<ContentId>(under.metadata.garbage(100_000));
    for (const [, local] of under.metadata.localFiles(undefined, 100_000)) known.add(local.contentId);
    for (const directory of readdirSync(under.directory.contentRoot)) {
      for (const name of readdirSync(join(under.directory.contentRoot, directory))) {
        expect(known.has(Number.parseInt(name, 16) as ContentId), name).toBe(true);
      }
    }
  }, PATIENTLY);
}
