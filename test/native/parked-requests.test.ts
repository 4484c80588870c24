import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ContentFile, loadAddon } from "../../src/native/index.js";
import { MiniFilesystem } from "./support/mini-filesystem.js";

const MIB = 1 << 20;
const EIO = 5;
const hasFuse = existsSync("/dev/fuse") && process.getuid?.() === 0;

/** A partly cached file: what the test says it is, and a fetcher that the test drives. */
class PartialFile {
  readonly misses: Array<[number, number]> = [];
  onMiss: (first: number, count: number) => void = () => {};
  readonly triggers: number[] = [];
  readonly content: ContentFile;

  constructor(
    fs: MiniFilesystem,
    readonly path: string,
    readonly truth: Uint8Array,
    mode: "served" | "script" = "served",
  ) {
    writeFileSync(path, new Uint8Array(0));
    truncateSync(path, truth.length);
    this.content = fs.add("file", {
      path,
      mode,
      mapPath: `${path}.map`,
      events: {
        onMiss: (first, count) => {
          this.misses.push([first, count]);
          this.onMiss(first, count);
        },
        onTrigger: (block) => this.triggers.push(block),
      },
    }).content;
  }

  /** Brings every block of the range that nobody else brings. */
  async fetch(first: number, count: number): Promise<number[]> {
    const claimed = this.content.claim(first, count);
    const handle = await open(this.path, "r+");
    for (const block of claimed) {
      const bytes = this.truth.subarray(block * MIB, (block + 1) * MIB);
      await handle.write(bytes, 0, bytes.length, block * MIB);
      this.content.fill(block, 1);
    }
    await handle.close();
    return claimed;
  }
}

describe.skipIf(!hasFuse)("requests for absent blocks (skipped without /dev/fuse and root)", () => {
  const addon = loadAddon();
  const children: ChildProcess[] = [];
  let directory: string;
  let fs: MiniFilesystem;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "podfs-content-"));
    fs = await MiniFilesystem.mount(addon, { passthrough: false });
  });
  afterEach(async () => {
    for (const child of children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exit = once(child, "exit");
      child.kill("SIGKILL");
      await exit;
    }
    await fs.unmount();
    rmSync(directory, { recursive: true });
  });

  function partial(bytes: number, mode?: "served" | "script"): PartialFile {
    return new PartialFile(fs, join(directory, "file"), randomBytes(bytes), mode);
  }

  async function until(condition: () => boolean): Promise<void> {
    while (!condition()) await sleep(1);
  }

  for (const mode of ["served", "script"] as const) {
    test(`a ${mode} read waits until its blocks are filled, and no longer`, async () => {
      const file = partial(5 * MIB + 100, mode);
      const handle = await open(fs.path("file"), "r");
      const into = Buffer.alloc(4096);
      const read = handle.read(into, 0, into.length, 2 * MIB + 5);
      await until(() => file.misses.length > 0);
      expect(file.misses[0]![0]).toBe(2);
      expect(file.content.has(2)).toBe(false);
      const [first, count] = file.misses[0]!;
      expect(await file.fetch(first, count)).toContain(2);
      expect((await read).bytesRead).toBe(4096);
      expect(Buffer.compare(into, file.truth.subarray(2 * MIB + 5, 2 * MIB + 5 + 4096))).toBe(0);
      expect(file.content.complete).toBe(false);
      await handle.close();
    });

    test(`a whole ${mode} file arrives block by block`, async () => {
      const file = partial(9 * MIB + 1234, mode);
      file.onMiss = (first, count) => void file.fetch(first, count);
      expect(Buffer.compare(await readFile(fs.path("file")), file.truth)).toBe(0);
      expect(file.content.complete).toBe(true);
    });
  }

  test("blocks that cannot be had fail the reads that wait for them, with the errno given", async () => {
    const file = partial(3 * MIB);
    file.onMiss = (first, count) => {
      for (const block of file.content.claim(first, count)) file.content.fail(block, 1, EIO);
    };
    const handle = await open(fs.path("file"), "r");
    await expect(handle.read(Buffer.alloc(10), 0, 10, MIB)).rejects.toThrow("EIO");
    file.onMiss = (first, count) => void file.fetch(first, count);
    expect((await handle.read(Buffer.alloc(10), 0, 10, MIB)).bytesRead).toBe(10);
    await handle.close();
  });

  test("a parked reader can be killed", async () => {
    const file = partial(3 * MIB);
    const child = spawn("dd", [`if=${fs.path("file")}`, "of=/dev/null", "bs=4096", "count=1", "skip=300"], {
      stdio: "ignore",
    });
    children.push(child);
    await until(() => file.misses.length > 0);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(await file.fetch(0, 3)).toHaveLength(3);
  });

  test("a parked read is interrupted by a signal that its process handles", async () => {
    const file = partial(3 * MIB);
    // O_DIRECT: such a read can be interrupted; one through the page cache waits for its page, unless killed.
    const script = `import os,signal,sys,mmap
def stop(*_): raise InterruptedError
signal.signal(signal.SIGUSR1, stop)
f=os.open(sys.argv[1],os.O_RDONLY|os.O_DIRECT); m=mmap.mmap(-1,4096)
try: os.preadv(f,[m],${MIB})
except InterruptedError: print("interrupted")`;
    const child = spawn("python3", ["-c", script, fs.path("file")], { stdio: ["ignore", "pipe", "inherit"] });
    children.push(child);
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    await until(() => file.misses.length > 0);
    child.kill("SIGUSR1");
    await once(child, "close");
    expect(output.trim()).toBe("interrupted");
  });

  test("closing a file ends what waits in it", async () => {
    const file = partial(3 * MIB);
    const handle = await open(fs.path("file"), "r");
    const read = handle.read(Buffer.alloc(10), 0, 10, MIB);
    await until(() => file.misses.length > 0);
    file.content.close();
    await expect(read).rejects.toThrow("EIO");
    fs.files.delete("file");
    await handle.close();
  });

  test("a write over all of an absent block needs no fetch; one over a part of it waits", async () => {
    const file = partial(4 * MIB + 10);
    const handle = await open(fs.path("file"), "r+");
    const whole = randomBytes(MIB);
    await handle.write(whole, 0, MIB, MIB);
    expect(file.misses).toEqual([]);
    expect(file.content.has(1)).toBe(true);
    // From the start of the last block to the end of the file, and beyond.
    await handle.write(Buffer.from("twelve bytes"), 0, 12, 4 * MIB);
    expect(file.misses).toEqual([]);

    const part = handle.write(Buffer.from("part"), 0, 4, 2 * MIB + 100);
    await until(() => file.misses.length > 0);
    expect(file.misses).toEqual([[2, 1]]);
    await file.fetch(2, 1);
    await part;
    await handle.close();
    expect(file.content.beginPublish()).toEqual([1, 2, 4]);
    file.content.endPublish(true);
    const stored = await readFile(file.path);
    expect(Buffer.compare(stored.subarray(MIB, 2 * MIB), whole)).toBe(0);
    expect(
      stored
        .subarray(2 * MIB + 99, 2 * MIB + 104)
        .subarray(1)
        .toString(),
    ).toBe("part");
    expect(stored[2 * MIB + 99]).toBe(file.truth[2 * MIB + 99]);
    expect(stored.subarray(4 * MIB).toString()).toBe("twelve bytes");
  });

  test("a write over a block that is being fetched waits for the fetch", async () => {
    const file = partial(2 * MIB);
    expect(file.content.claim(0, 1)).toEqual([0]);
    const handle = await open(fs.path("file"), "r+");
    const bytes = randomBytes(MIB);
    let written = false;
    const write = handle.write(bytes, 0, MIB, 0).then(() => {
      written = true;
    });
    await until(() => file.misses.length > 0);
    await sleep(20);
    expect(written).toBe(false);
    file.content.fill(0, 1);
    await write;
    await handle.close();
    expect(Buffer.compare((await readFile(file.path)).subarray(0, MIB), bytes)).toBe(0);
  });

  test("truncation through the mount keeps the map in step", async () => {
    const file = partial(3 * MIB + 500);
    const handle = await open(fs.path("file"), "r+");
    await handle.truncate(MIB);
    expect(file.misses).toEqual([]);
    await handle.truncate(5 * MIB);
    expect([0, 1, 2, 3, 4].map((block) => file.content.has(block))).toEqual([false, true, true, true, true]);
    const zeros = Buffer.alloc(MIB, 1);
    await handle.read(zeros, 0, MIB, 3 * MIB);
    expect(zeros.every((byte) => byte === 0)).toBe(true);
    file.onMiss = (first, count) => void file.fetch(first, count);
    // Cuts an absent block: it is fetched first, and changes.
    await handle.truncate(1000);
    await handle.close();
    expect(Buffer.compare(await readFile(fs.path("file")), file.truth.subarray(0, 1000))).toBe(0);
    expect(file.content.beginPublish()).toEqual([0]);
    file.content.endPublish(true);
  });

  test("reaching the trigger says so once", async () => {
    const file = partial(4 * MIB);
    await file.fetch(0, 4);
    file.content.setTrigger(2);
    const handle = await open(fs.path("file"), "r");
    for (const block of [0, 2, 3, 2]) await handle.read(Buffer.alloc(10), 0, 10, block * MIB + 5 * 4096 * block);
    await handle.close();
    await until(() => file.triggers.length > 0);
    expect(file.triggers).toEqual([2]);
  });

  test("a gone file object does not take a mount's requests with it", async () => {
    const file = partial(2 * MIB);
    const handle = await open(fs.path("file"), "r");
    const read = handle.read(Buffer.alloc(10), 0, 10, MIB);
    await until(() => file.misses.length > 0);
    fs.session.stop();
    await expect(read).rejects.toThrow();
    await fs.ended;
    file.content.fill(0, 2);
    await handle.close().catch(() => {});
  });
});
