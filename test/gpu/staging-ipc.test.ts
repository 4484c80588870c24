import { statSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { IpcPiece } from "../../src/staging/protocol.js";
import { waitUntil } from "../support/podfs.js";
import { FILE, patternBytes, type StagingTestClient } from "../support/staging-client.js";
import { StagingUnderTest } from "../unit/staging/staging-under-test.js";
import { type DeviceHandles, DeviceProcess } from "./support/device-process.js";
import { buildSimulatedDriver, simulatedDriverEnvironment } from "./support/simulated-driver.js";

const MIB = 1 << 20;
const ROOT = 1;
const IPC = { mode: "ipc", pidNamespace: statSync("/proc/self/ns/pid").ino } as const;
/** What is set for the mount's child is not for trainers. */
const TRAINER = { FAIL: "" };

/** The child gets its environment from this process, whose own driver is what the machine has, or none. */
describe("checkpoints out of other processes' device memory, with the simulated driver", () => {
  let under: StagingUnderTest;
  let trainer: DeviceProcess;
  let device: DeviceHandles;
  const libraries = process.env.LD_LIBRARY_PATH;
  beforeEach(async () => {
    process.env.LD_LIBRARY_PATH = buildSimulatedDriver();
    under = await StagingUnderTest.start();
    trainer = new DeviceProcess(simulatedDriverEnvironment(TRAINER));
    device = await trainer.openDevice();
  });
  afterEach(async () => {
    await trainer.end();
    for (const client of under.clients) if (!client.closed) await client.close();
    await waitUntil(() => under.server.status().usedBytes === 0, "all rings are free");
    await waitUntil(() => under.leftovers().length === 0, "no content file is left");
    await under.dispose();
    delete process.env.SIMULATED_CUDA_FAIL;
    if (libraries === undefined) delete process.env.LD_LIBRARY_PATH;
    else process.env.LD_LIBRARY_PATH = libraries;
  });

  /** New device memory, as a piece at `slotOffset`. */
  async function tensor(bytes: Uint8Array, slotOffset: number): Promise<{ piece: IpcPiece; address: bigint }> {
    const address = await trainer.upload(device, bytes);
    const { handle } = await trainer.call<{ handle: Uint8Array }>("ipcHandle", device.copier, address);
    const hex = Buffer.from(handle).toString("hex");
    const piece = { device: device.uuid, handle: hex, handleOffset: 0, bytes: bytes.length, slotOffset };
    return { piece, address };
  }

  function fill(client: StagingTestClient, slot: number, offset: number, pieces: readonly IpcPiece[]): void {
    const length = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
    client.send({ type: "fill", save: 1, slot, offset, length, pieces });
  }

  test("are whole, and say when the memory may change", async () => {
    const client = await under.client(IPC);
    expect(client.welcome).toMatchObject({ mode: "ipc", reason: "" });
    const bytes = patternBytes(3 * MIB + 100, 1);
    const [a, b, c] = [
      await tensor(bytes.subarray(0, MIB + 8), 0),
      await tensor(bytes.subarray(MIB + 8, 2 * MIB), MIB + 8),
      await tensor(bytes.subarray(2 * MIB), 0),
    ];
    await client.begin({ ...FILE, save: 1, parent: ROOT, name: "a", sizeBytes: bytes.length });
    fill(client, 0, 0, [a.piece, b.piece]);
    fill(client, 1, 2 * MIB, [c.piece]);
    await waitUntil(() => client.heard.some((said) => said.type === "copied" && said.fills === 2), "all is copied");
    await trainer.call("free", device.copier, a.address);
    await client.commit(1);
    expect((await under.bytes("a")).equals(bytes)).toBe(true);
    expect(under.server.status().clients).toMatchObject([{ mode: "ipc" }]);
  });

  test("wait at the commit for what is still being copied", async () => {
    const client = await under.client(IPC);
    const bytes = patternBytes(MIB, 1);
    const { piece } = await tensor(bytes, 0);
    await client.begin({ ...FILE, save: 1, parent: ROOT, name: "a", sizeBytes: bytes.length });
    fill(client, 0, 0, [piece]);
    await client.commit(1);
    expect((await under.bytes("a")).equals(bytes)).toBe(true);
  });

  test("fail where the driver does, give the slot back, and leave nothing", async () => {
    process.env.SIMULATED_CUDA_FAIL = "cuIpcOpenMemHandle_v2=201";
    const client = await under.client(IPC);
    const { piece } = await tensor(patternBytes(4096, 1), 0);
    await client.begin({ ...FILE, save: 1, parent: ROOT, name: "a", sizeBytes: 4096 });
    fill(client, 3, 0, [piece]);
    await expect(client.answer("copied", 1)).rejects.toMatchObject({ type: "failed", kind: "device" });
    expect(await client.answer("written")).toMatchObject({ slot: 3 });
    expect(under.names()).toEqual([]);
  });

  test("are undone when the client goes in the middle", async () => {
    const client = await under.client(IPC);
    const { piece } = await tensor(patternBytes(2 * MIB, 1), 0);
    await client.begin({ ...FILE, save: 1, parent: ROOT, name: "a", sizeBytes: 8 * MIB });
    for (let slot = 0; slot < 4; slot++) fill(client, slot, slot * 2 * MIB, [piece]);
    await client.close();
    await waitUntil(() => under.server.status().usedBytes === 0, "its ring is free");
    expect(under.names()).toEqual([]);
  });
});
