import { type ChildProcess, fork } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Deferred, InvariantError, ignore, systemClock } from "../../base/index.js";
import { StagingError } from "../errors.js";
import type { ChildMessage, IpcRequest, ParentMessage } from "./messages.js";

/** A driver needs seconds on a machine with many GPUs. */
const START_TIMEOUT_MS = 60_000;
/** For a process that is killed: the kernel waits for the device. */
const EXIT_TIMEOUT_MS = 10_000;
const STDERR = 2;

/** One life of the child: from its start to its end, whoever ends it. */
export class IpcProcess {
  readonly #child: ChildProcess;
  readonly #note: (message: string) => void;
  readonly #started = new Deferred();
  readonly #ended = new Deferred();
  readonly #waiting = new Map<number, Deferred>();
  #nextId = 1;
  /** Until the process is gone. */
  #alive = true;
  #ending = false;
  /** What it said before it ended. */
  #lastWords: string | undefined;

  constructor(note: (message: string) => void) {
    this.#note = note;
    // Not with this process's own options, which may be a debugger's.
    this.#child = fork(childFile(), [], {
      execArgv: [],
      env: childEnvironment(),
      stdio: ["ignore", STDERR, STDERR, "ipc"],
    });
    this.#child.on("message", (message: ChildMessage) => this.#take(message));
    this.#child.on("error", (error) => this.#end(`it cannot be started: ${error.message}`));
    // Not "close": Node 20 never emits that once this side has disconnected.
    this.#child.on("exit", (code, signal) => this.#end(`it ended (${signal ?? `exit code ${code}`})`));
    const timer = systemClock.setTimer(START_TIMEOUT_MS, () => this.kill());
    // It is looked at when something waits for it, too.
    this.#started.promise.then(
      () => timer.cancel(),
      () => timer.cancel(),
    );
  }

  /** It is there, and nothing is known that will end it. */
  get usable(): boolean {
    return this.#alive && !this.#ending && this.#lastWords === undefined;
  }

  get pid(): number | undefined {
    return this.#alive ? this.#child.pid : undefined;
  }

  /** Resolves when it can copy. @throws StagingError "device" that says why it cannot. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  /**
   * Resolves when it is done.
   * @throws StagingError "device": it failed, or the process has ended; nothing of it is under way any more.
   */
  async request(request: IpcRequest): Promise<void> {
    await this.#started.promise;
    if (!this.#alive) throw this.#failure("it has ended");
    const id = this.#nextId++;
    const waiting = new Deferred();
    this.#waiting.set(id, waiting);
    const message: ParentMessage = { id, request };
    // If it cannot be sent, the process is ending, and its end settles all that waits.
    this.#child.send(message, ignore);
    await waiting.promise;
  }

  /** Resolves when the process is gone, or does not go however it is told: then the driver holds it. */
  async end(): Promise<void> {
    this.#ending = true;
    if (this.#child.connected) this.#child.disconnect();
    const timeout = new Deferred();
    const timer = systemClock.setTimer(EXIT_TIMEOUT_MS, () => timeout.resolve());
    await Promise.race([this.#ended.promise, timeout.promise]);
    timer.cancel();
    this.#child.unref();
  }

  /** All that is under way fails, when the process is gone. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  #take(message: ChildMessage): void {
    switch (message.type) {
      case "started":
        if (message.unavailable === "") this.#started.resolve();
        else this.#started.reject(new StagingError("device", message.unavailable));
        break;
      case "note":
        this.#note(message.message);
        break;
      case "broken":
        this.#lastWords = message.message;
        break;
      case "done":
        this.#settle(message.id)?.resolve();
        break;
      case "failed":
        this.#settle(message.id)?.reject(new StagingError("device", message.message));
        break;
    }
  }

  #settle(id: number): Deferred | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  #end(how: string): void {
    if (!this.#alive) return;
    this.#alive = false;
    const failure = this.#failure(how);
    if (!this.#ending) this.#note(failure.message);
    this.#started.reject(failure);
    for (const waiting of this.#waiting.values()) waiting.reject(failure);
    this.#waiting.clear();
    this.#ended.resolve();
  }

  #failure(how: string): StagingError {
    return new StagingError("device", this.#lastWords ?? `the process that copies device memory: ${how}`);
  }
}

/**
 * It must see every device: programs may be given others than the mount was started with. Only a part of a device (MIG) is
 * seen by nobody who does not name it.
 */
function childEnvironment(): NodeJS.ProcessEnv {
  const { CUDA_VISIBLE_DEVICES: visible, ...others } = process.env;
  return visible?.includes("MIG-") === true ? process.env : others;
}

/** Compiled, beside this file or, where the tests run from the sources, in the build. */
function childFile(): string {
  const beside = fileURLToPath(new URL("./ipc-child.js", import.meta.url));
  const built = fileURLToPath(new URL("../../../dist/staging/ipc/ipc-child.js", import.meta.url));
  const found = [beside, built].find((path) => existsSync(path));
  if (found === undefined) throw new InvariantError(`${built} is not there: build first`);
  return found;
}
