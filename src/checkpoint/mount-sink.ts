import { closeSync } from "node:fs";
import { stat } from "node:fs/promises";
import { Socket } from "node:net";
import { Deferred, encodeJsonLine, JsonLineParser } from "../base/index.js";
import type { StagingAddon, StagingRing } from "../native/index.js";
import { type ClientMessage, PROTOCOL_VERSION, type ServerMessage, type StagingMode } from "../staging/protocol.js";
import { CheckpointError } from "./errors.js";
import { asBytes, type MountLink, MountSave } from "./mount-save.js";
import type { NewFile, Sink } from "./sink.js";
import { SlotPool } from "./slot-pool.js";

export type Hello = Extract<ClientMessage, { readonly type: "hello" }>;
type Welcome = Extract<ServerMessage, { readonly type: "welcome" }>;

/** What the mount has answered; and its device number, by which its files can be told from those of others. */
interface Agreement extends Pick<Welcome, "mode" | "reason"> {
  readonly device: number;
}

/** How long a mount may take to make a ring. */
const WELCOME_TIMEOUT_MS = 30_000;
const FILE_MODE = 0o666;

/** A connection to the mount that writes the files; its ring is the mount's. It ends with the process, whatever happens. */
export class MountSink implements Sink, MountLink {
  readonly mode: StagingMode;
  readonly reason: string;
  readonly ring: StagingRing;
  readonly slots: SlotPool;
  readonly #socket: Socket;
  readonly #device: number;
  readonly #saves = new Map<number, MountSave>();
  // Slots that the mount has not given back yet.
  readonly #writing = new Map<number, Deferred>();
  readonly #parser = new JsonLineParser();
  #nextSave = 1;
  #failure: CheckpointError | undefined;

  private constructor(agreed: Agreement, ring: StagingRing, socket: Socket) {
    this.mode = agreed.mode;
    this.reason = agreed.reason;
    this.#device = agreed.device;
    this.ring = ring;
    this.#socket = socket;
    this.slots = new SlotPool(ring.slots);
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => this.#receive(text));
    socket.on("error", (error) => this.#end(`the connection to the mount broke: ${error.message}`));
    socket.on("close", () => this.#end("the mount has ended"));
    // A program that waits for nothing of ours may end.
    socket.unref();
  }

  /** @throws CheckpointError what the mount refuses with; no-mount: nobody answers. */
  static async connect(
    addon: StagingAddon,
    { socketPath, directory }: { readonly socketPath: string; readonly directory: string },
    hello: Omit<Hello, "type" | "version">,
  ): Promise<MountSink> {
    const { dev } = await stat(directory);
    const message: Hello = { type: "hello", version: PROTOCOL_VERSION, ...hello };
    const answer = await addon
      .connectForDescriptor(socketPath, Buffer.from(encodeJsonLine(message)), WELCOME_TIMEOUT_MS)
      .catch((cause: unknown) => {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw new CheckpointError("no-mount", `the mount does not answer: ${why}`, { cause });
      });
    const socket = new Socket({ fd: answer.socketFd });
    try {
      const { mode, reason, slots, slotBytes } = welcomeOf(answer);
      return new MountSink({ mode, reason, device: dev }, addon.openRing(answer.fd, { slots, slotBytes }), socket);
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  get failure(): unknown {
    return this.#failure;
  }

  async begin({ directory, fileName, sizeBytes, replace }: NewFile): Promise<MountSave> {
    const { dev, ino } = await stat(directory);
    if (dev !== this.#device) throw new CheckpointError("no-mount", `${directory} is not in its mount any more`);
    if (this.#failure !== undefined) throw this.#failure;
    const save = new MountSave(this.#nextSave++, fileName, this);
    this.listen(save);
    const mode = FILE_MODE & ~process.umask();
    const name = asBytes(fileName);
    this.send({ type: "begin", save: save.number, parent: ino, name, sizeBytes, replace, mode });
    await save.begun.promise;
    return save;
  }

  abandon(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    this.#end(message, error instanceof CheckpointError ? error.kind : "device");
  }

  close(): Promise<void> {
    this.#end("the stager was closed");
    this.ring.close();
    return Promise.resolve();
  }

  send(message: ClientMessage): void {
    if (this.#failure === undefined) this.#socket.write(encodeJsonLine(message));
  }

  written(slot: number): Promise<void> {
    const written = new Deferred();
    this.#writing.set(slot, written);
    return written.promise;
  }

  listen(save: MountSave): void {
    if (this.#failure !== undefined) {
      save.fail(this.#failure);
      return;
    }
    this.#saves.set(save.number, save);
    this.#socket.ref();
  }

  quiet(save: MountSave): void {
    this.#saves.delete(save.number);
    if (this.#saves.size === 0) this.#socket.unref();
  }

  #receive(text: string): void {
    try {
      for (const message of this.#parser.push(text)) this.#dispatch(message as ServerMessage);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      this.#end(`the mount's answer cannot be read: ${error.message}`, "protocol");
    }
  }

  /** What is not known is ignored: newer mounts may say more. */
  #dispatch(message: ServerMessage): void {
    if (message.type === "refused") this.#end(message.message, message.kind);
    else if (message.type === "written") this.#free(message.slot);
    else if (message.type !== "welcome") this.#saves.get(message.save)?.receive(message);
  }

  #free(slot: number): void {
    const written = this.#writing.get(slot);
    this.#writing.delete(slot);
    written?.resolve();
  }

  /** Nothing comes any more: whatever waits is told, once. */
  #end(why: string, kind: CheckpointError["kind"] = "disconnected"): void {
    if (this.#failure !== undefined) return;
    this.#failure = new CheckpointError(kind, why);
    this.#socket.destroy();
    this.slots.fail(this.#failure);
    for (const save of [...this.#saves.values()]) save.fail(this.#failure);
    for (const slot of [...this.#writing.keys()]) this.#free(slot);
  }
}

function welcomeOf({ line, fd }: { readonly line: string; readonly fd: number }): Welcome {
  const [message] = new JsonLineParser().push(`${line}\n`) as [ServerMessage | undefined];
  if (message?.type === "welcome" && fd >= 0) return message;
  if (fd >= 0) closeSync(fd);
  if (message?.type === "refused") throw new CheckpointError(message.kind, message.message);
  throw new CheckpointError("protocol", "the mount's answer makes no sense: one of the two is too old");
}
