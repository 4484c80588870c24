import { execFileSync } from "node:child_process";
import { closeSync, existsSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Worker } from "node:worker_threads";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { loadAddon, type StagedFile, type StagingRing } from "../../src/native/index.js";

const ADDON = fileURLToPath(new URL("../../build/Release/podfs.node", import.meta.url));
const MIB = 1 << 20;
const SHAPE = { slots: 3, slotBytes: 2 * MIB };

const addon = loadAddon();
setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "podfs-staging-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

function bytes(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8) * seed + seed) & 0xff);
}

describe("a staging ring", () => {
  test("is the same memory for all who map it", async () => {
    const ring = addon.createRing({ ...SHAPE, numaNode: 0 });
    expect(ring).toMatchObject(SHAPE);
    expect(ring.slot(1)).toHaveLength(SHAPE.slotBytes);
    ring.slot(1).set([1, 2, 3], 5);
    expect(ring.slot(0).subarray(5, 8)).toEqual(Uint8Array.of(0, 0, 0));
    const copy = openSync(`/proc/self/fd/${ring.fd}`, "r+");
    const other = addon.openRing(copy, SHAPE);
    expect(other.fd).toBe(copy);
    expect(other.slot(1).subarray(5, 8)).toEqual(Uint8Array.of(1, 2, 3));
    ring.close();
    expect(other.slot(1)[6]).toBe(2);
    other.close();
    // With the last slot, which is the garbage collector's.
    await vi.waitFor(
      () => {
        collectGarbage();
        expect(() => fstatSync(copy)).toThrow(/EBADF/);
      },
      { timeout: 60_000 },
    );
  });

  test("takes its memory along when it is closed", () => {
    const ring = addon.createRing({ ...SHAPE, numaNode: -1 });
    const slot = ring.slot(2);
    ring.close();
    expect(slot).toHaveLength(0);
    expect(ring.fd).toBe(-1);
    expect(() => ring.slot(0)).toThrow(/^EBADF/);
    ring.close();
  });

  test("takes what it was not made for as an error", () => {
    const ring = addon.createRing({ ...SHAPE, numaNode: -1 });
    expect(() => ring.slot(3)).toThrow(/^EINVAL/);
    expect(() => addon.createRing({ slots: 2, slotBytes: 4096, numaNode: -1 })).toThrow(/^EINVAL/);
    writeFileSync(join(directory, "file"), "");
    const file = openSync(join(directory, "file"), "r+");
    expect(() => addon.openRing(file, SHAPE)).toThrow(/^EINVAL/);
    // Taken over all the same.
    expect(() => fstatSync(file)).toThrow(/EBADF/);
    ring.close();
  });

  test("stays as long as somebody has a slot of it", async () => {
    const slot = addon.createRing({ ...SHAPE, numaNode: -1 }).slot(0);
    slot.fill(7);
    collectGarbage();
    await new Promise((resume) => setImmediate(resume));
    expect(slot.at(-1)).toBe(7);
  });
});

describe.each(["io_uring", "threads"] as const)("staging I/O by %s", (engine) => {
  const io = engine === "threads" ? addon.createStagingIo({ engine }) : addon.createStagingIo();
  let ring: StagingRing;

  beforeEach(() => {
    ring = addon.createRing({ ...SHAPE, numaNode: -1 });
  });
  afterEach(() => ring.close());
  afterAll(() => io.close());

  async function create(lane: number): Promise<{ path: string; file: StagedFile }> {
    const path = join(directory, `file${lane}`);
    writeFileSync(path, "");
    return { path, file: await io.open(path, "write", lane) };
  }

  test("says which engine it has, or why not", () => {
    expect(io.engine === "io_uring").toBe(io.reason === "");
    if (engine === "threads") expect(io).toMatchObject({ engine, reason: "threads were asked for" });
  });

  test("writes a file slot by slot, whole and of its exact size", async () => {
    const { path, file } = await create(1);
    const whole = bytes(2 * SHAPE.slotBytes + 1001, 3);
    await file.allocate(whole.length);
    await Promise.all(
      [2, 0, 1].map(async (slot) => {
        const part = whole.subarray(slot * SHAPE.slotBytes, (slot + 1) * SHAPE.slotBytes);
        ring.slot(slot).set(part);
        await file.write(ring, slot, slot * SHAPE.slotBytes, part.length);
      }),
    );
    await file.finish(whole.length);
    file.close();
    expect(Buffer.compare(readFileSync(path), whole)).toBe(0);

    const reader = await io.open(path, "read", 1);
    expect(await reader.read(ring, 0, 2 * SHAPE.slotBytes, SHAPE.slotBytes)).toBe(1001);
    expect(Buffer.compare(ring.slot(0).subarray(0, 1001), whole.subarray(-1001))).toBe(0);
    expect(await reader.read(ring, 1, SHAPE.slotBytes, 5000)).toBe(5000);
    expect(await reader.read(ring, 1, 4 * SHAPE.slotBytes, 1)).toBe(0);
    reader.close();
  });

  test("ends what has begun when file and ring are closed", async () => {
    const { path, file } = await create(2);
    ring.slot(0).fill(9);
    const written = file.write(ring, 0, 0, SHAPE.slotBytes);
    file.close();
    ring.close();
    await written;
    expect(readFileSync(path).every((byte) => byte === 9)).toBe(true);
    expect(() => file.write(ring, 0, 0, 1)).toThrow(/^EBADF/);
    expect(file.direct).toBe(false);
  });

  test("refuses what is not inside a slot, not aligned, or not a ring", async () => {
    const { file } = await create(3);
    for (const [slot, position, length] of [
      [3, 0, 1],
      [-1, 0, 1],
      [0, 512, 1],
      [0, 0, SHAPE.slotBytes + 1],
      [0, 0, -1],
    ] as const) {
      expect(() => file.write(ring, slot, position, length)).toThrow(/^EINVAL/);
    }
    expect(() => file.read({} as StagingRing, 0, 0, 1)).toThrow(TypeError);
    file.close();
  });

  test("says what failed, and with which file", async () => {
    const missing = join(directory, "missing");
    await expect(io.open(missing, "read", 0)).rejects.toMatchObject({
      code: "ENOENT",
      message: `ENOENT: no such file or directory, open '${missing}'`,
    });
    const { path, file } = await create(4);
    await expect(file.read(ring, 0, 0, 4096)).rejects.toThrow(`EBADF: bad file descriptor, read '${path}'`);
    await expect(file.allocate(2 ** 52)).rejects.toThrow(/^(ENOSPC|EFBIG): .*, fallocate '.*file4'/);
    file.close();
  });
});

describe("staging I/O", () => {
  test("takes nothing more when it is closed", async () => {
    const io = addon.createStagingIo();
    const path = join(directory, "file");
    writeFileSync(path, "");
    const file = await io.open(path, "write", 0);
    const ring = addon.createRing({ ...SHAPE, numaNode: -1 });
    const written = file.write(ring, 0, 0, SHAPE.slotBytes);
    io.close();
    io.close();
    await expect(written.catch((error: Error) => error.message)).resolves.toSatisfy(
      (outcome) => outcome === undefined || /^ECANCELED/.test(String(outcome)),
    );
    await expect(io.open(path, "read", 0)).rejects.toThrow(/^ECANCELED/);
    file.close();
    ring.close();
  });

  test("ends with the environment it runs in, and does not keep it", async () => {
    const path = join(directory, "file");
    writeFileSync(path, "");
    const code = `const { parentPort, workerData } = require("node:worker_threads");
      const addon = require(workerData.addon);
      const ring = addon.createRing({ slots: 2, slotBytes: 2 << 20, numaNode: -1 });
      const io = addon.createStagingIo();
      io.open(workerData.path, "write", 0).then(async (file) => {
        ring.slot(0).fill(1);
        await file.write(ring, 0, 0, 2 << 20);
        if (workerData.busy) for (;;) await file.write(ring, 0, 0, 2 << 20);
      }).finally(() => parentPort.postMessage("done"));
      if (workerData.busy) setTimeout(() => parentPort.postMessage("busy"), 50);`;
    const worker = (busy: boolean) => new Worker(code, { eval: true, workerData: { addon: ADDON, path, busy } });
    // Nobody closes it: it ends by itself.
    expect(await new Promise((resolve) => worker(false).once("exit", resolve))).toBe(0);
    const busy = worker(true);
    await new Promise((resolve) => busy.once("message", resolve));
    expect(await busy.terminate()).toBe(1);
  });
});

describe("descriptors", () => {
  function listen(path: string, serve: (socket: Socket) => void): Promise<Server> {
    const server = createServer(serve);
    return new Promise((resolve) => server.listen(path, () => resolve(server)));
  }

  test("go with their line, before all others, from process to process", async () => {
    const path = join(directory, "socket");
    const ring = addon.createRing({ ...SHAPE, numaNode: -1 });
    ring.slot(0)[0] = 42;
    const server = await listen(path, (socket) => {
      socket.once("data", (hello) => {
        const { _handle: handle } = socket as unknown as { _handle: { fd: number } };
        addon.sendDescriptor(handle.fd, Buffer.from(`welcome ${hello}`), ring.fd);
        socket.write("second\n");
      });
    });
    const answer = await addon.connectForDescriptor(path, Buffer.from("hello\n"), 60_000);
    expect(answer.line).toBe("welcome hello");
    const received = addon.openRing(answer.fd, SHAPE);
    expect(received.slot(0)[0]).toBe(42);
    const socket = new Socket({ fd: answer.socketFd });
    expect(String(await new Promise((resolve) => socket.once("data", resolve)))).toBe("second\n");
    socket.destroy();
    for (const one of [ring, received]) one.close();
    await new Promise((resolve) => server.close(resolve));
  });

  test("may be absent; a connection that fails says why", async () => {
    const path = join(directory, "socket");
    const server = await listen(path, (socket) => socket.resume().end("refused\n"));
    const answer = await addon.connectForDescriptor(path, Buffer.from("hello\n"), 60_000);
    expect(answer).toMatchObject({ fd: -1, line: "refused" });
    closeSync(answer.socketFd);
    await new Promise((resolve) => server.close(resolve));
    await expect(addon.connectForDescriptor(path, Buffer.from("hello\n"), 60_000)).rejects.toMatchObject({
      code: "ENOENT",
      message: `ENOENT: no such file or directory, connect '${path}'`,
    });
    const silent = await listen(path, (socket) => socket.resume());
    await expect(addon.connectForDescriptor(path, Buffer.from("hello\n"), 20)).rejects.toThrow(/^ETIMEDOUT/);
    silent.close();
    expect(() => addon.sendDescriptor(-1, Buffer.from("x"), 0)).toThrow(/^EBADF/);
  });
});

describe("extended attributes", () => {
  test("are read, or undefined where there are none", async (context) => {
    const path = join(directory, "file");
    writeFileSync(path, "");
    expect(await addon.getXattr(path, "user.podfs.none")).toBeUndefined();
    const missing = join(directory, "missing");
    await expect(addon.getXattr(missing, "user.x")).rejects.toThrow(
      `ENOENT: no such file or directory, getxattr '${missing}'`,
    );
    if (!existsSync("/usr/bin/setfattr")) return context.skip("there is no setfattr");
    execFileSync("setfattr", ["-n", "user.podfs.some", "-v", "/a/sockèt", path]);
    expect(await addon.getXattr(path, "user.podfs.some")).toBe("/a/sockèt");
  });
});
