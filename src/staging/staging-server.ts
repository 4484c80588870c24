import { chmod, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { formatBytes } from "../base/index.js";
import type { StagingAddon, StagingIo } from "../native/index.js";
import { ClientSocket } from "./client-socket.js";
import type { ClientStatus, ClientTools, StagingCounters } from "./client-tools.js";
import { StagingError } from "./errors.js";
import type { IpcCopiers } from "./ipc/index.js";
import type { PublicationTools } from "./publication.js";
import { RingBudget } from "./ring-budget.js";
import type { SaveTools } from "./staged-save.js";
import { StagingClient } from "./staging-client.js";

type Parts = Pick<PublicationTools, "publisher"> & Omit<SaveTools, "io" | "caller" | "groups">;

export interface StagingOptions extends Parts {
  readonly addon: Pick<StagingAddon, "createRing" | "createStagingIo" | "sendDescriptor">;
  readonly copiers: IpcCopiers;
  /** In a private directory. */
  readonly socketPath: string;
  /** That all rings may take together. */
  readonly memoryBytes: number;
  readonly log: StagingLog;
}

export interface StagingLog {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
}

export interface StagingStatus extends Readonly<StagingCounters> {
  readonly socket: string;
  readonly memoryBytes: number;
  readonly usedBytes: number;
  /** How files are written; null before the first client. */
  readonly io: Pick<StagingIo, "engine" | "reason"> | null;
  readonly clients: readonly ClientStatus[];
}

/** Takes checkpoints from the processes that train, while the mount runs: `protocol.ts`. */
export class StagingServer {
  readonly #options: StagingOptions;
  readonly #server: Server;
  readonly #budget: RingBudget;
  readonly #closing = new AbortController();
  readonly #counters: StagingCounters = { committed: 0, failed: 0, committedBytes: 0 };
  readonly #clients = new Map<StagingClient, ClientSocket>();
  /** Clients that have hung up, while their last writes end. */
  readonly #leaving = new Set<Promise<void>>();
  #io: StagingIo | undefined;
  #lastLane = 0;
  #closed: Promise<void> | undefined;

  private constructor(options: StagingOptions) {
    this.#options = options;
    this.#budget = new RingBudget(options.memoryBytes);
    this.#server = createServer((socket) => this.#serve(socket));
  }

  /** A socket that a killed mount left behind is replaced. @throws a system error when nobody can listen there */
  static async listen(options: StagingOptions): Promise<StagingServer> {
    const { socketPath } = options;
    const staging = new StagingServer(options);
    await rm(socketPath, { force: true });
    await new Promise<void>((resolve, reject) => {
      staging.#server.once("error", reject);
      staging.#server.listen(socketPath, resolve);
    });
    await chmod(socketPath, 0o600);
    return staging;
  }

  status(): StagingStatus {
    const { socketPath: socket, memoryBytes } = this.#options;
    const clients = Array.from(this.#clients.keys(), (client) => client.status()).filter(
      (status) => status !== undefined,
    );
    const io = this.#io === undefined ? null : { engine: this.#io.engine, reason: this.#io.reason };
    return { socket, memoryBytes, usedBytes: this.#budget.usedBytes, io, clients, ...this.#counters };
  }

  /**
   * Takes no more saves: those whose commit has been asked for are finished, the others undone. Resolves when no ring and no
   * file is open any more. Idempotent.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    this.#server.close();
    this.#server.unref();
    const reason = new StagingError("closing", "the mount is being ended");
    for (const [client, socket] of [...this.#clients]) {
      void this.#leave(client, reason).finally(() => socket.close());
    }
    while (this.#leaving.size > 0) await Promise.all(this.#leaving);
    await this.#options.copiers.close();
    this.#io?.close();
    await rm(this.#options.socketPath, { force: true });
  }

  #serve(socket: Socket): void {
    if (this.#closing.signal.aborted) {
      socket.destroy();
      return;
    }
    const { addon, log } = this.#options;
    const connection = new ClientSocket(socket, addon, {
      onMessage: (message) => {
        client.receive(message);
        if (message.type === "hello") log.info({ ...client.status() }, "a checkpoint client has come");
      },
      onEnd: (error) => {
        const pid = client.status()?.pid;
        if (error !== undefined)
          log.warn({ pid, kind: error.kind }, `a checkpoint client was sent away: ${error.message}`);
        void this.#leave(client, error ?? new StagingError("closing", "the client has gone"));
      },
    });
    const client = new StagingClient(this.#clientTools(), connection, ++this.#lastLane);
    this.#clients.set(client, connection);
  }

  #leave(client: StagingClient, reason: StagingError): Promise<void> {
    this.#clients.delete(client);
    const leaving = client
      .leave(reason)
      .catch((error: unknown) =>
        this.#options.log.warn({ err: error }, "a checkpoint client's ring could not be freed"),
      )
      .finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
    return leaving;
  }

  #clientTools(): ClientTools {
    const uid = process.getuid?.() ?? 0;
    const gid = process.getgid?.() ?? 0;
    return {
      ...this.#options,
      caller: { uid, gid, pid: process.pid },
      groups: [gid, ...(process.getgroups?.() ?? [])],
      budget: this.#budget,
      counters: this.#counters,
      closing: this.#closing.signal,
      io: { open: (path, access, lane) => this.#openIo().open(path, access, lane) },
    };
  }

  /** Its threads come with the first save: most mounts never see one. */
  #openIo(): StagingIo {
    if (this.#io !== undefined) return this.#io;
    this.#io = this.#options.addon.createStagingIo();
    const { engine, reason } = this.#io;
    const limit = formatBytes(this.#options.memoryBytes);
    this.#options.log.info({ engine, reason }, `checkpoints are written with ${engine}; rings take up to ${limit}`);
    return this.#io;
  }
}
