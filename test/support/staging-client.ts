import { Socket } from "node:net";
import { encodeJsonLine, JsonLineParser } from "../../src/base/index.js";
import { loadAddon, type StagingRing } from "../../src/native/index.js";
import type { ClientMessage, ServerMessage } from "../../src/staging/protocol.js";
import { waitUntil } from "./podfs.js";

const SLOT_BYTES = 2 << 20;
const TIMEOUT_MS = 120_000;

type Hello = Extract<ClientMessage, { type: "hello" }>;
type Begin = Extract<ClientMessage, { type: "begin" }>;
type Answer<Type extends ServerMessage["type"]> = Extract<ServerMessage, { type: Type }>;

/** What a file is to be, unless it is said otherwise. */
export const FILE = { replace: false, mode: 0o644 } as const;

/** A process that saves checkpoints, as small as it can be: over the real socket, through a real ring. */
export class StagingTestClient {
  readonly ring: StagingRing;
  readonly welcome: Answer<"welcome">;
  /** All that has come since the welcome. */
  readonly heard: ServerMessage[] = [];
  readonly #socket: Socket;
  readonly #free = new Set<number>();
  #closed = false;

  /** @throws what the server refused it with */
  static async connect(path: string, hello: Partial<Hello> = {}): Promise<StagingTestClient> {
    const message = encodeJsonLine({
      ...{ type: "hello", version: 1, pid: process.pid, client: "test", mode: "shm", pidNamespace: 0, reason: "" },
      ...{ slots: 4, slotBytes: SLOT_BYTES, ...hello },
    });
    const addon = loadAddon();
    const { socketFd, fd, line } = await addon.connectForDescriptor(path, Buffer.from(message), TIMEOUT_MS);
    const answer = JSON.parse(line) as ServerMessage;
    const socket = new Socket({ fd: socketFd, readable: true, writable: true });
    if (answer.type !== "welcome") {
      socket.destroy();
      throw Object.assign(new Error(JSON.stringify(answer)), answer);
    }
    return new StagingTestClient(socket, answer, addon.openRing(fd, answer));
  }

  private constructor(socket: Socket, welcome: Answer<"welcome">, ring: StagingRing) {
    this.#socket = socket;
    this.welcome = welcome;
    this.ring = ring;
    for (let slot = 0; slot < ring.slots; slot++) this.#free.add(slot);
    const parser = new JsonLineParser();
    socket.setEncoding("utf8");
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      this.#closed = true;
    });
    socket.on("data", (text: string) => {
      for (const message of parser.push(text) as ServerMessage[]) {
        if (message.type === "written") this.#free.add(message.slot);
        this.heard.push(message);
      }
    });
    socket.resume();
  }

  get closed(): boolean {
    return this.#closed;
  }

  send(message: ClientMessage): void {
    this.#socket.write(encodeJsonLine(message));
  }

  /** Anything at all. */
  sendText(text: string): void {
    this.#socket.write(text);
  }

  /** The next answer of this type, about this save; fails when it fails instead. */
  async answer<Type extends ServerMessage["type"]>(type: Type, save?: number): Promise<Answer<Type>> {
    let found: ServerMessage | undefined;
    await waitUntil(() => {
      const at = this.heard.findIndex(
        (message) =>
          (message.type === type || message.type === "failed" || message.type === "refused") &&
          (save === undefined || !("save" in message) || message.save === save),
      );
      if (at >= 0) [found] = this.heard.splice(at, 1);
      return at >= 0 || this.#closed;
    }, `the answer "${type}"`);
    if (found?.type === type) return found as Answer<Type>;
    throw Object.assign(new Error(`instead of "${type}": ${JSON.stringify(found)}`), found);
  }

  async begin(file: Omit<Begin, "type">): Promise<void> {
    this.send({ type: "begin", ...file });
    await this.answer("begun", file.save);
  }

  /** Hands in a piece of at most a slot, when there is a free one. */
  async put(save: number, offset: number, bytes: Uint8Array): Promise<void> {
    await waitUntil(() => this.#free.size > 0, "a free slot");
    const [slot = 0] = this.#free;
    this.#free.delete(slot);
    this.ring.slot(slot).set(bytes);
    this.send({ type: "write", save, slot, offset, length: bytes.length });
  }

  /** All of it, slot after slot. */
  async putAll(save: number, bytes: Uint8Array, pieceBytes = this.ring.slotBytes): Promise<void> {
    for (let at = 0; at < bytes.length; at += pieceBytes) await this.put(save, at, bytes.subarray(at, at + pieceBytes));
  }

  async commit(save: number, retire: readonly string[] = []): Promise<number> {
    this.send({ type: "commit", save, retire });
    return (await this.answer("committed", save)).ino;
  }

  async durable(save: number): Promise<void> {
    this.send({ type: "durable", save });
    await this.answer("published", save);
  }

  /** A whole file. */
  async save(
    file: Pick<Begin, "save" | "parent" | "name"> & Partial<Begin>,
    bytes: Uint8Array,
    retire: readonly string[] = [],
  ): Promise<number> {
    await this.begin({ ...FILE, sizeBytes: bytes.length, ...file });
    await this.putAll(file.save, bytes);
    return this.commit(file.save, retire);
  }

  /** Hangs up, as a process does that ends. */
  async close(): Promise<void> {
    this.#socket.destroy();
    await waitUntil(() => this.#closed, "the socket is closed");
    this.ring.close();
  }
}

/** Bytes that differ everywhere, and from those of other seeds. */
export function patternBytes(length: number, seed: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = (seed * 2_654_435_761 + 1) >>> 0;
  for (let at = 0; at < words.length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    words[at] = state;
  }
  return Buffer.from(words.buffer, 0, length);
}
