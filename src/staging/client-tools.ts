import type { StagingAddon } from "../native/index.js";
import type { IpcCopiers } from "./ipc/index.js";
import type { ServerMessage, StagingMode } from "./protocol.js";
import type { PublicationTools } from "./publication.js";
import type { RingBudget } from "./ring-budget.js";
import type { SaveTools } from "./staged-save.js";

/** What a client works with; all of it is everybody's. */
export interface ClientTools extends SaveTools, PublicationTools {
  readonly addon: Pick<StagingAddon, "createRing">;
  readonly budget: RingBudget;
  readonly copiers: IpcCopiers;
  readonly counters: StagingCounters;
}

/** Of all clients, since the mount. */
export interface StagingCounters {
  committed: number;
  failed: number;
  committedBytes: number;
}

/** How the client is reached. Messages to one that has gone are lost. */
export interface ClientConnection {
  send(message: ServerMessage): void;
  /** The first message: with the descriptor of the ring. */
  sendRing(message: ServerMessage, fd: number): void;
}

/** For `podfs status`. */
export interface ClientStatus {
  readonly pid: number;
  readonly client: string;
  readonly mode: StagingMode;
  /** Why it is not the mode asked for, or why the client did not want another; empty when there is nothing to say. */
  readonly reason: string;
  readonly ringBytes: number;
  /** That have not ended. */
  readonly saves: number;
}
