import { execFile } from "node:child_process";
import { once } from "node:events";
import {
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { getHeapStatistics } from "node:v8";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type ContentFile, type ContentFileEvents, loadAddon } from "../../src/native/index.js";

const BLOCK = 4096;
const ADDON = fileURLToPath(new URL("../../build/Release/podfs.node", import.meta.url));
const CLOSED = /EBADF.*content file is closed/;

describe("a content file that is closed", () => {
  const addon = loadAddon();
  let directory: string;
  let path: string;

  beforeEach(() => {
    directory = mkdtempSync(join(realpathSync(tmpdir()), "podfs-close-"));
    path = join(directory, "file");
    writeFileSync(path, "");
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  function complete(): ContentFile {
    return addon.createContentFile({ fd: openSync(path, "r+"), blockSize: BLOCK });
  }

  /** Four blocks of which none is there. */
  function absent(events: Partial<ContentFileEvents> = {}): ContentFile {
    truncateSync(path, 4 * BLOCK);
    return addon.createContentFile(
      { fd: openSync(path, "r+"), blockSize: BLOCK, mapPath: `${path}.map` },
      { onMiss: () => {}, onTrigger: () => {}, ...events },
    );
  }

  /** Descriptors that this process has open in the directory of the test. */
  function descriptors(): string[] {
    return readdirSync("/proc/self/fd").filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(directory);
      } catch {
        return false; // Closed meanwhile: the one the list was read with.
      }
    });
  }

  function expectClosed(file: ContentFile): void {
    const bytes = new Uint8Array(1);
    const uses: Array<() => unknown> = [
      () => file.stat(new Float64Array(6)),
      () => file.claim(0, 1),
      () => file.fill(0, 1),
      () => file.fail(0, 1, 5),
      () => file.has(0),
      () => file.setTrigger(0),
      () => file.beginPublish(),
      () => file.endPublish(true),
      () => file.read(bytes, 0),
      () => file.write(bytes, 0),
      () => file.truncate(0),
      () => file.fallocate(0, 0, 1),
      () => file.seek(0, 3),
      () => file.copyRange(file, 0, 0, 1),
      () => file.setMtime(0, 0),
      () => file.sync(true),
    ];
    for (const use of uses) expect(use, String(use)).toThrow(CLOSED);
    expect([file.fd, file.complete]).toEqual([-1, false]);
    file.close();
  }

  test("has no descriptor, fails all methods, and can be closed again", () => {
    for (const file of [complete(), absent()]) {
      expect(descriptors()).toContain(String(file.fd));
      file.close();
      expectClosed(file);
    }
    expect(descriptors()).toEqual([]);
  });

  test("is refused where a content file is expected, as is what is none", () => {
    const session = addon.createFuseSession(
      {
        fd: openSync("/dev/null", "r+"),
        request: new Uint8Array(8192),
        reply: new Uint8Array(8192),
        passthrough: false,
        maxStackDepth: 1,
        dataThreads: 1,
        spinMicros: 0,
        maxWriteBytes: 4096,
        readOnly: false,
      },
      { onReady: () => {}, onRequest: () => 0, onKillPrivileges: () => {}, onEnd: () => {} },
    );
    const open = complete();
    const closed = complete();
    closed.close();
    const foreign = [{}, session, undefined, 1] as unknown as ContentFile[];
    expect(() => session.bind(1, closed)).toThrow(CLOSED);
    expect(() => session.openBacking(closed)).toThrow(CLOSED);
    expect(() => open.copyRange(closed, 0, 0, 1)).toThrow(CLOSED);
    for (const other of foreign) {
      expect(() => session.bind(1, other)).toThrow("not a ContentFile");
      expect(() => open.copyRange(other, 0, 0, 1)).toThrow("not a ContentFile");
      expect(() => open.has.call(other, 0)).toThrow(TypeError);
      expect(() => open.close.call(other)).toThrow(TypeError);
    }
    open.close();
  });

  test("is what an object is that the addon has not made", () => {
    const file = complete();
    const Class = file.constructor as new () => ContentFile;
    expectClosed(new Class());
    const inherits: ContentFile = Object.create(Class.prototype);
    expect([inherits.fd, inherits.complete]).toEqual([-1, false]);
    expect(() => file.copyRange(inherits, 0, 0, 1)).toThrow(CLOSED);
    file.close();
  });

  test("leaves nothing to the garbage collector, also while its object lives", () => {
    const count = 20_000;
    const closed: ContentFile[] = [];
    const before = getHeapStatistics().used_global_handles_size;
    for (let i = 0; i < count; i++) {
      const file = i % 100 === 0 ? absent() : complete();
      file.close();
      closed.push(file);
    }
    const grown = getHeapStatistics().used_global_handles_size - before;
    // Less than a byte for each; a handle has 32.
    expect(grown).toBeLessThan(count);
    expect(closed.every((file) => file.fd === -1)).toBe(true);
  });

  test("fails what waits for a block, and tells of nothing any more", async () => {
    const told: string[] = [];
    const file = absent({ onMiss: () => told.push("miss"), onTrigger: () => told.push("trigger") });
    file.setTrigger(1);
    const reading = file.read(new Uint8Array(2 * BLOCK), 0);
    // In this turn of the event loop nothing is told; the read, on its thread, most likely comes to wait.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    file.close();
    // Comes by the same way as the events, after them.
    await expect(reading).rejects.toThrow("EIO");
    expect(told).toEqual([]);
    await expect.poll(descriptors).toEqual([]);
  });

  test("may have been closed by one of its own events", async () => {
    const missed: number[][] = [];
    const file: ContentFile = absent({
      onMiss: (...range) => {
        file.close();
        missed.push(range);
      },
    });
    const reads = [0, 1, 2, 3].map((block) => file.read(new Uint8Array(1), block * BLOCK));
    for (const read of await Promise.allSettled(reads)) expect(read.status).toBe("rejected");
    expect(missed.length).toBe(1);
    expectClosed(file);
  });

  test("finishes the writes that are under way", async () => {
    const bytes = new Uint8Array(1 << 20).fill(7);
    const writing: Array<Promise<number>> = [];
    for (let i = 0; i < 32; i++) {
      const file = complete();
      writing.push(file.write(bytes, i * bytes.length).catch((error) => (String(error).includes("EIO") ? 0 : -1)));
      file.close();
    }
    const written = await Promise.all(writing);
    const content = readFileSync(path);
    // A write that had not begun fails; one that had is whole.
    written.forEach((count, i) => {
      expect([0, bytes.length]).toContain(count);
      if (count > 0) expect(content.subarray(i * count, (i + 1) * count).every((byte) => byte === 7)).toBe(true);
    });
    await expect.poll(descriptors).toEqual([]);
  });

  /** Files that are open, closed, collected, and waited for, and then what `end` does. */
  function program(end: string): string {
    return `
      const fs = require("node:fs"); const addon = require(${JSON.stringify(ADDON)});
      const path = ${JSON.stringify(path)};
      const open = (mapPath) => addon.createContentFile(
        { fd: fs.openSync(path, "r+"), blockSize: ${BLOCK}, ...(mapPath && { mapPath }) }, { onMiss() { ${end} }, onTrigger() {} });
      const kept = [];
      for (let i = 0; i < 100; i++) { const file = open(); if (i % 3 === 0) file.close(); if (i % 3 !== 1) kept.push(file); }
      fs.truncateSync(path, ${4 * BLOCK});
      const absent = open(path + ".map");
      for (let i = 0; i < 4; i++) absent.read(new Uint8Array(1), i * ${BLOCK}).catch(() => {});
      const closing = open(path + ".map");
      closing.read(new Uint8Array(1), 0).catch(() => {});
      closing.close();
      kept.push(absent, closing);`;
  }

  test("ends with its thread, as those do that are open, or waited for", async () => {
    for (let round = 0; round < 3; round++) {
      const code = program(`require("node:worker_threads").parentPort.postMessage("missed")`);
      // Else Node closes descriptors by number that content files own, and have closed.
      const worker = new Worker(code, { eval: true, trackUnmanagedFds: false });
      await once(worker, "message");
      await worker.terminate();
    }
    await expect.poll(descriptors).toEqual([]);
  });

  test("ends with its process, as those do that are open, or waited for", async () => {
    const child = execFile(process.execPath, ["-e", program("process.exit(7)")]);
    expect(await once(child, "exit")).toEqual([7, null]);
  });
});
