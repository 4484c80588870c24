import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadAddon, type StagingRing } from "../../src/native/index.js";
import { createIpcCopiers, type IpcClient, type IpcCopiers } from "../../src/staging/ipc/index.js";
import type { IpcPiece } from "../../src/staging/protocol.js";
import { type DeviceHandles, DeviceProcess } from "./support/device-process.js";
import { buildSimulatedDriver, simulatedDriverEnvironment } from "./support/simulated-driver.js";

const SLOT_BYTES = 2 << 20;
const SETTINGS = ["DELAY_MS", "DEVICES", "FAIL", "FAIL_LATE", "LOG"];
/** What is set for the child is not for trainers. */
const TRAINER = { DELAY_MS: "1", FAIL: "", FAIL_LATE: "", LOG: "" };

/** The child gets its environment from this process, whose own driver is what the machine has, or none. */
describe("copying out of other processes' device memory, with the simulated driver", () => {
  const addon = loadAddon();
  const notes: string[] = [];
  const trainers: DeviceProcess[] = [];
  let directory: string;
  let copiers: IpcCopiers;
  let ring: StagingRing;

  beforeEach(() => {
    process.env.LD_LIBRARY_PATH = buildSimulatedDriver();
    directory = mkdtempSync(join(tmpdir(), "podfs-ipc-"));
    copiers = createIpcCopiers((message) => notes.push(message));
    ring = addon.createRing({ slots: 4, slotBytes: SLOT_BYTES, numaNode: -1 });
  });
  afterEach(async () => {
    for (const name of SETTINGS) delete process.env[`SIMULATED_CUDA_${name}`];
    await copiers.close();
    ring.close();
    await Promise.all(trainers.splice(0).map((trainer) => trainer.end()));
    notes.length = 0;
    rmSync(directory, { recursive: true });
  });

  /** For the child; SIMULATED_CUDA_… of test/gpu/simulated-cuda/api.h. */
  function set(name: string, value: string): void {
    process.env[`SIMULATED_CUDA_${name}`] = value;
  }

  function startTrainer(more: NodeJS.ProcessEnv = {}): DeviceProcess {
    const trainer = new DeviceProcess({ ...simulatedDriverEnvironment(TRAINER), ...more });
    trainers.push(trainer);
    return trainer;
  }

  /** New device memory of the trainer's, as a piece of a slot. */
  async function upload(
    trainer: DeviceProcess,
    device: DeviceHandles,
    data: Uint8Array,
    slotOffset = 0,
  ): Promise<IpcPiece> {
    const address = await trainer.upload(device, data);
    const { handle } = await trainer.call<{ handle: Uint8Array }>("ipcHandle", device.copier, address);
    return {
      device: device.uuid,
      handle: Buffer.from(handle).toString("hex"),
      handleOffset: 0,
      bytes: data.length,
      slotOffset,
    };
  }

  async function oneTensor(data: Uint8Array): Promise<{ trainer: DeviceProcess; piece: IpcPiece }> {
    const trainer = startTrainer();
    return { trainer, piece: await upload(trainer, await trainer.openDevice(), data) };
  }

  function slotBytes(slot: number, offset: number, length: number): Buffer {
    return Buffer.from(ring.slot(slot).subarray(offset, offset + length));
  }

  async function until(condition: () => boolean): Promise<void> {
    while (!condition()) await sleep(10);
  }

  test("brings pieces of several allocations and devices together, by UUID", async () => {
    set("DEVICES", "2");
    // The trainer has the devices in another order than the child.
    const trainer = startTrainer({ CUDA_VISIBLE_DEVICES: "1,0" });
    const [first, second] = [await trainer.openDevice(0), await trainer.openDevice(1)];
    expect(first.uuid).not.toBe(second.uuid);
    const data = randomBytes(10_000);
    const pieces = [
      { ...(await upload(trainer, first, data, 0)), handleOffset: 1000, bytes: 500 },
      await upload(trainer, second, data.subarray(0, 3000), 500),
      await upload(trainer, first, data.subarray(3000, 7000), 3500),
    ];
    const client = await copiers.attach(ring);
    await client.beginSave().copy(2, pieces);
    const expected = [data.subarray(1000, 1500), data.subarray(0, 3000), data.subarray(3000, 7000)];
    expect(Buffer.compare(slotBytes(2, 0, 7500), Buffer.concat(expected))).toBe(0);
  });

  test("copies of several saves run at once; memory is opened once a save, and closed at its end", async () => {
    const log = join(directory, "calls");
    set("LOG", log);
    const calls = (symbol: string): number => readFileSync(log, "utf8").split(` ${symbol} `).length - 1;
    const data = randomBytes(4096);
    const { piece } = await oneTensor(data);
    const client = await copiers.attach(ring);
    const saves = [client.beginSave(), client.beginSave()];
    await Promise.all(saves.flatMap((save) => [0, 1, 2, 3].map((slot) => save.copy(slot, [piece]))));
    for (const slot of [0, 1, 2, 3]) expect(Buffer.compare(slotBytes(slot, 0, 4096), data)).toBe(0);
    expect(calls("cuIpcOpenMemHandle_v2")).toBe(2);
    expect(calls("cuMemHostRegister_v2")).toBe(1);
    await Promise.all(saves.map((save) => save.end()));
    expect(calls("cuIpcCloseMemHandle")).toBe(2);
    await saves[0]?.copy(0, [piece]);
    expect(calls("cuIpcOpenMemHandle_v2")).toBe(3);
    await client.detach();
    expect(calls("cuMemHostUnregister")).toBe(1);
  });

  test("the child lives as long as there are clients", async () => {
    const { piece } = await oneTensor(Buffer.from("tensor"));
    expect(copiers.pid).toBeUndefined();
    const [first, second] = await Promise.all([copiers.attach(ring), copiers.attach(ring)]);
    const pid = copiers.pid;
    await first.detach();
    await first.detach();
    expect(copiers.pid).toBe(pid);
    await second.detach();
    expect(copiers.pid).toBeUndefined();
    await expect(second.beginSave().copy(0, [piece])).rejects.toMatchObject({ kind: "closing" });
    const third = await copiers.attach(ring);
    expect(copiers.pid).not.toBe(pid);
    await third.beginSave().copy(0, [piece]);
    expect(slotBytes(0, 0, 6).toString()).toBe("tensor");
  });

  test("a child that is killed in the middle of copies fails them, and the next copy has a new one", async () => {
    set("DELAY_MS", "600000");
    const { piece } = await oneTensor(Buffer.from("tensor"));
    const client = await copiers.attach(ring);
    const save = client.beginSave();
    const copies = [save.copy(0, [piece]), save.copy(1, [piece])];
    const failures = Promise.allSettled(copies);
    // Poisoned: the copy is under way.
    await until(() => ring.slot(0)[0] === 0xa5);
    set("DELAY_MS", "1");
    const pid = copiers.pid ?? 0;
    process.kill(pid, "SIGKILL");
    for (const failure of await failures) {
      expect(failure).toMatchObject({
        reason: { kind: "device", message: "the process that copies device memory: it ended (SIGKILL)" },
      });
    }
    expect(notes).toEqual(["the process that copies device memory: it ended (SIGKILL)"]);
    await save.copy(3, [piece]);
    expect(slotBytes(3, 0, 6).toString()).toBe("tensor");
    expect(copiers.pid).not.toBe(pid);
    await save.end();
  });

  test("a driver that breaks fails what is under way with its words, and the next copy has a new child", async () => {
    set("FAIL_LATE", "cuMemcpyDtoHAsync_v2=719@2");
    const { piece } = await oneTensor(Buffer.from("tensor"));
    const client = await copiers.attach(ring);
    const save = client.beginSave();
    await save.copy(0, [piece]);
    set("FAIL_LATE", "");
    await expect(save.copy(1, [piece])).rejects.toMatchObject({
      kind: "device",
      message: "CUDA_ERROR_LAUNCH_FAILED (719): unspecified launch failure, cuEventSynchronize",
    });
    await save.copy(2, [piece]);
    expect(slotBytes(2, 0, 6).toString()).toBe("tensor");
  });

  test("what one client does wrong is not the others' failure", async () => {
    const { piece } = await oneTensor(Buffer.from("tensor"));
    const client = await copiers.attach(ring);
    const save = client.beginSave();
    const wrong: [Partial<IpcPiece>, object][] = [
      [{ bytes: SLOT_BYTES + 1 }, { kind: "protocol" }],
      [{ handle: "00" }, { kind: "protocol" }],
      [{ handle: "00".repeat(64) }, { kind: "device", message: /CUDA_ERROR_INVALID_VALUE .*, cuIpcOpenMemHandle$/ }],
      [{ device: "GPU-none" }, { kind: "device", message: /^GPU-none is not a device/ }],
      [{ handleOffset: 4 }, { kind: "device", message: /^a piece ends at 10 of an allocation of 6 bytes$/ }],
    ];
    const pid = copiers.pid;
    for (const [change, failure] of wrong) {
      const expected = Object.fromEntries(
        Object.entries(failure).map(([key, value]) => [
          key,
          value instanceof RegExp ? expect.stringMatching(value) : (value as unknown),
        ]),
      );
      await expect(save.copy(0, [piece, { ...piece, ...change }])).rejects.toMatchObject(expected);
    }
    await save.copy(1, [piece]);
    expect(slotBytes(1, 0, 6).toString()).toBe("tensor");
    expect(copiers.pid).toBe(pid);
  });

  test("a ring that cannot be pinned is copied into all the same, and that is noted", async () => {
    set("FAIL", "cuMemHostRegister_v2=2");
    const { piece } = await oneTensor(Buffer.from("tensor"));
    const client = await copiers.attach(ring);
    const save = client.beginSave();
    await Promise.all([save.copy(0, [piece]), save.copy(1, [piece])]);
    expect(slotBytes(1, 0, 6).toString()).toBe("tensor");
    expect(notes).toEqual([
      "a ring is not pinned, and copies into it are slow: CUDA_ERROR_OUT_OF_MEMORY (2): out of memory, cuMemHostRegister",
    ]);
  });

  test("a training process that is killed leaves nothing hanging", async () => {
    set("DELAY_MS", "300");
    const { trainer, piece } = await oneTensor(Buffer.from("tensor"));
    const client = await copiers.attach(ring);
    const save = client.beginSave();
    const copy = save.copy(0, [piece]);
    trainer.kill();
    await Promise.allSettled([copy]);
    await save.end();
    await client.detach();
    expect(copiers.pid).toBeUndefined();
  });

  test("without a driver a client is told why, and no child stays", async () => {
    set("FAIL", "cuInit=100");
    const attempts: Promise<IpcClient>[] = [copiers.attach(ring), copiers.attach(ring)];
    for (const attempt of attempts) {
      await expect(attempt).rejects.toMatchObject({
        kind: "device",
        message:
          "the CUDA driver does not start: CUDA_ERROR_NO_DEVICE (100): no CUDA-capable device is detected, cuInit",
      });
    }
    expect(copiers.pid).toBeUndefined();
  });

  test("closing ends a child that is copying", async () => {
    set("DELAY_MS", "600000");
    const { piece } = await oneTensor(Buffer.from("tensor"));
    const client = await copiers.attach(ring);
    const copy = client.beginSave().copy(0, [piece]);
    const failure = expect(copy).rejects.toMatchObject({ kind: "device" });
    await until(() => ring.slot(0)[0] === 0xa5);
    await copiers.close();
    await failure;
    expect(copiers.pid).toBeUndefined();
  });
});
