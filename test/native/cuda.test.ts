import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { DevicePiece, IpcMemory } from "../../src/native/index.js";
import { DeviceProcess } from "../gpu/support/device-process.js";
import { simulatedDriverEnvironment } from "../gpu/support/simulated-driver.js";

const MIB = 1 << 20;

describe("the CUDA driver, simulated", () => {
  const processes: DeviceProcess[] = [];
  const directories: string[] = [];

  afterEach(async () => {
    await Promise.all(processes.splice(0).map((process) => process.end()));
    for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
  });

  function start(settings: Readonly<Record<string, string>> = {}, more: NodeJS.ProcessEnv = {}): DeviceProcess {
    const process = new DeviceProcess({ ...simulatedDriverEnvironment(settings), ...more });
    processes.push(process);
    return process;
  }

  /** A file that gets a line for every call of the driver. */
  function logFile(): string {
    const directory = mkdtempSync(join(tmpdir(), "podfs-cuda-"));
    directories.push(directory);
    return join(directory, "calls");
  }

  function callsOf(log: string, symbol: string): number {
    return readFileSync(log, "utf8")
      .split("\n")
      .filter((line) => line.includes(` ${symbol} `)).length;
  }

  test("is loaded at run time, and names its devices", async () => {
    expect(await start({ DEVICES: "2" }).load()).toEqual({
      version: 13000,
      devices: [
        {
          ordinal: 0,
          uuid: "GPU-73696d75-6c61-7465-6420-475055200000",
          name: "Simulated GPU 0 (no hardware)",
          totalBytes: 1024 * MIB,
          numaNode: -1,
        },
        {
          ordinal: 1,
          uuid: "GPU-73696d75-6c61-7465-6420-475055200001",
          name: "Simulated GPU 1 (no hardware)",
          totalBytes: 1024 * MIB,
          numaNode: -1,
        },
      ],
    });
  });

  test("where there is none, the reason is one line", async () => {
    const nowhere = new DeviceProcess({ ...process.env, LD_LIBRARY_PATH: "/nonexistent" });
    processes.push(nowhere);
    const loaded = await nowhere.load();
    // A machine that has a driver finds its own.
    if ("unavailable" in loaded) expect(loaded.unavailable).toMatch(/^no CUDA driver: libcuda\.so\.1: .*$/);
    expect(await start({ FAIL: "cuInit=999" }).load()).toEqual({
      unavailable: "the CUDA driver does not start: CUDA_ERROR_UNKNOWN (999): unknown error, cuInit",
    });
    expect(await start({ DEVICES: "0" }).load()).toEqual({
      unavailable:
        "the CUDA driver does not start: CUDA_ERROR_NO_DEVICE (100): no CUDA-capable device is detected, cuInit",
    });
  });

  test("a copy is there when its promise resolves, byte for byte, pinned or not", async () => {
    const process = start({ DELAY_MS: "30" });
    const device = await process.openDevice();
    const data = randomBytes(2 * MIB);
    for (const pinned of [false, true]) {
      if (pinned) await process.call("register", device.copier, device.ring);
      const address = await process.upload(device, data);
      const pieces: DevicePiece[] = [
        { address: address + 5n, bytes: MIB, slotOffset: 0 },
        { address, bytes: 5, slotOffset: MIB },
        { address: address + BigInt(MIB) + 5n, bytes: MIB - 5, slotOffset: MIB + 5 },
      ];
      await process.call("toSlot", device.copier, device.ring, 1, pieces);
      const read = await process.call<Uint8Array>("readSlot", device.ring, 1, 0, 2 * MIB);
      const expected = [data.subarray(5, MIB + 5), data.subarray(0, 5), data.subarray(MIB + 5)];
      expect(Buffer.compare(read, Buffer.concat(expected))).toBe(0);
      await process.call("free", device.copier, address);
    }
  });

  test("many copies at once are done in order, and a ring is pinned once for several copiers", async () => {
    const log = logFile();
    const process = start({ LOG: log, DELAY_MS: "1" });
    const device = await process.openDevice();
    const second = await process.call<number>("openCopier", 0);
    await Promise.all([
      process.call("register", device.copier, device.ring),
      process.call("register", second, device.ring),
    ]);
    expect(callsOf(log, "cuMemHostRegister_v2")).toBe(1);
    const data = randomBytes(64);
    const address = await process.upload(device, data);
    const order: number[] = [];
    const copies = Array.from({ length: 32 }, async (_, index) => {
      const piece = { address: address + BigInt(index), bytes: 1, slotOffset: index };
      await process.call("toSlot", device.copier, device.ring, 1, [piece]);
      order.push(index);
    });
    await Promise.all(copies);
    expect(order).toEqual(Array.from({ length: 32 }, (_, index) => index));
    const read = await process.call<Uint8Array>("readSlot", device.ring, 1, 0, 32);
    expect(Buffer.compare(read, data.subarray(0, 32))).toBe(0);
    await process.call("unregister", device.copier, device.ring);
    expect(callsOf(log, "cuMemHostUnregister")).toBe(0);
    await process.call("unregister", second, device.ring);
    expect(callsOf(log, "cuMemHostUnregister")).toBe(1);
  });

  test("failures carry the driver's own words, and the copier goes on", async () => {
    const process = start({ FAIL: "cuMemHostRegister_v2=2,cuMemcpyDtoHAsync_v2=1@2,cuMemAlloc_v2=2@3" });
    const device = await process.openDevice();
    await expect(process.call("register", device.copier, device.ring)).rejects.toMatchObject({
      code: "ECUDA",
      cuda: 2,
      message: "CUDA_ERROR_OUT_OF_MEMORY (2): out of memory, cuMemHostRegister",
    });
    const address = await process.upload(device, Buffer.from("hello"));
    const copy = (): Promise<void> =>
      process.call("toSlot", device.copier, device.ring, 1, [{ address, bytes: 5, slotOffset: 0 }]);
    await copy();
    await expect(copy()).rejects.toMatchObject({ code: "ECUDA", cuda: 1 });
    await copy();
    await process.call("allocate", device.copier, 100);
    await expect(process.call("allocate", device.copier, 100)).rejects.toMatchObject({ cuda: 2 });
    await expect(process.call("openCopier", 7)).rejects.toMatchObject({ code: "ECUDA", cuda: 101 });
  });

  test("a context that breaks in the middle of a copy fails it, and all after it", async () => {
    const process = start({ FAIL_LATE: "cuMemcpyDtoHAsync_v2=700@2" });
    const device = await process.openDevice();
    const address = await process.upload(device, Buffer.from("hello"));
    const copy = (): Promise<void> =>
      process.call("toSlot", device.copier, device.ring, 1, [{ address, bytes: 5, slotOffset: 0 }]);
    await copy();
    await expect(copy()).rejects.toMatchObject({
      cuda: 700,
      message: "CUDA_ERROR_ILLEGAL_ADDRESS (700): an illegal memory access was encountered, cuEventSynchronize",
    });
    await expect(copy()).rejects.toMatchObject({ cuda: 700 });
  });

  test("memory of another process can be opened, one's own cannot", async () => {
    const owner = start();
    const device = await owner.openDevice();
    const data = randomBytes(4096);
    const address = await owner.upload(device, data);
    const exported = await owner.call<{ handle: Uint8Array; offset: number }>(
      "ipcHandle",
      device.copier,
      address + 100n,
    );
    expect(exported.handle.length).toBe(64);
    expect(exported.offset).toBe(100);
    await expect(owner.call("openIpc", device.copier, exported.handle)).rejects.toMatchObject({ cuda: 201 });

    const other = start();
    const opener = await other.openDevice();
    const memory = await other.call<IpcMemory>("openIpc", opener.copier, exported.handle);
    expect(memory.bytes).toBe(4096);
    expect(await other.call("openIpc", opener.copier, exported.handle)).toEqual(memory);
    const { address: opened } = memory;
    await other.call("closeIpc", opener.copier, opened);
    await other.call("toSlot", opener.copier, opener.ring, 0, [{ address: opened, bytes: 4096, slotOffset: 0 }]);
    const read = await other.call<Uint8Array>("readSlot", opener.ring, 0, 0, 4096);
    expect(Buffer.compare(read, data)).toBe(0);
    // Freed while it is open: a real driver says nothing of what is read then.
    await owner.call("free", device.copier, address);
    await other.call("toSlot", opener.copier, opener.ring, 0, [{ address: opened, bytes: 4096, slotOffset: 0 }]);
    const freed = await other.call<Uint8Array>("readSlot", opener.ring, 0, 0, 4096);
    expect(Buffer.compare(freed, Buffer.alloc(4096, 0xdd))).toBe(0);
    await other.call("closeIpc", opener.copier, opened);
    await expect(other.call("closeIpc", opener.copier, opened)).rejects.toMatchObject({ code: "EINVAL" });
  });

  test("wrong arguments throw, and a closed copier refuses", async () => {
    const process = start();
    const { copier, ring } = await process.openDevice();
    const outside = [{ address: 1n, bytes: 1, slotOffset: 2 * MIB }];
    await expect(process.call("toSlot", copier, ring, 0, outside)).rejects.toMatchObject({ code: "EINVAL" });
    await expect(process.call("toSlot", copier, ring, 2, [])).rejects.toMatchObject({ code: "EINVAL" });
    await expect(process.call("openIpc", copier, new Uint8Array(3))).rejects.toMatchObject({ code: "EINVAL" });
    await process.call("closeCopier", copier);
    await expect(process.call("toSlot", copier, ring, 0, [])).rejects.toMatchObject({ code: "EBADF" });
    await process.call("closeRing", ring);
    await expect(process.call("toSlot", copier, ring, 0, [])).rejects.toMatchObject({ code: "EBADF" });
  });

  test("a process with an open copier, and copies under way, ends by itself", async () => {
    const process = start({ DELAY_MS: "50" });
    const device = await process.openDevice();
    const address = await process.upload(device, Buffer.from("hello"));
    void process.call("toSlot", device.copier, device.ring, 1, [{ address, bytes: 5, slotOffset: 0 }]).catch(() => {});
    await process.end();
  });
});
