import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Deferred } from "../../../src/base/index.js";
import type { CudaDevice, DevicePiece } from "../../../src/native/index.js";
import { simulatedDriverEnvironment } from "./simulated-driver.js";

const PROGRAM = fileURLToPath(new URL("./device-process.mjs", import.meta.url));
const SLOT_BYTES = 2 << 20;

/** A system error, or one of the driver, as it was thrown in the process. */
export class DeviceProcessError extends Error {
  constructor(
    message: string,
    readonly code: string | undefined,
    readonly cuda: number | undefined,
  ) {
    super(message);
  }
}

type Reply =
  | { readonly id: number; readonly value: unknown }
  | {
      readonly id: number;
      readonly error: { readonly message: string; readonly code?: string; readonly cuda?: number };
    };

/**
 * A process that has a CUDA driver, as a training process does: this one has none, since a process looks for libraries
 * where LD_LIBRARY_PATH was when it started.
 */
export class DeviceProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Deferred<unknown>>();
  #nextId = 1;

  /** @param environment where there is no driver at all, one without the simulated one's directory */
  constructor(environment: NodeJS.ProcessEnv = simulatedDriverEnvironment()) {
    this.#child = fork(PROGRAM, [], { env: environment, execArgv: [], serialization: "advanced" });
    this.#child.on("message", (reply: Reply) => this.#take(reply));
    this.#child.on("exit", () => {
      for (const waiting of this.#waiting.values()) waiting.reject(new Error("the process has ended"));
    });
  }

  /** @param method of device-process.mjs; a copier or a ring is the number that opening it has returned. */
  call<T>(method: string, ...args: unknown[]): Promise<T> {
    const id = this.#nextId++;
    const waiting = new Deferred<unknown>();
    this.#waiting.set(id, waiting);
    this.#child.send({ id, method, args });
    return waiting.promise as Promise<T>;
  }

  load(): Promise<{ version: number; devices: CudaDevice[] } | { unavailable: string }> {
    return this.call("load");
  }

  /** Loads the driver and opens a copier with a ring of two slots of 2 MiB. */
  async openDevice(ordinal = 0): Promise<DeviceHandles> {
    const driver = await this.load();
    if ("unavailable" in driver) throw new Error(driver.unavailable);
    const copier = await this.call<number>("openCopier", ordinal);
    const ring = await this.call<number>("createRing", 2, SLOT_BYTES);
    return { copier, ring, uuid: driver.devices[ordinal]?.uuid ?? "" };
  }

  /** Copies up to 2 MiB to new device memory, through the first slot. */
  async upload({ copier, ring }: DeviceHandles, data: Uint8Array): Promise<bigint> {
    const address = await this.call<bigint>("allocate", copier, data.length);
    await this.call("writeSlot", ring, 0, 0, data);
    const piece: DevicePiece = { address, bytes: data.length, slotOffset: 0 };
    await this.call("fromSlot", copier, ring, 0, [piece]);
    return address;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    if (this.#child.connected) this.#child.disconnect();
    await ended;
  }

  #take(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if ("error" in reply) {
      waiting?.reject(new DeviceProcessError(reply.error.message, reply.error.code, reply.error.cuda));
    } else {
      waiting?.resolve(reply.value);
    }
  }
}

export interface DeviceHandles {
  readonly copier: number;
  readonly ring: number;
  readonly uuid: string;
}
