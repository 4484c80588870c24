import type { StagingRing } from "../native/index.js";
import type { IpcPiece } from "../staging/protocol.js";
import { CheckpointError } from "./errors.js";
import type { SlotPool } from "./slot-pool.js";

export type StagerMode =
  /** The mount writes the slots, straight into its cache; this process fills them. */
  | "shm"
  /** The same, and a process of the mount copies out of this one's device memory, through CUDA IPC. */
  | "ipc"
  /** No mount: this process writes a temporary file, and renames it. */
  | "file";

export interface NewFile {
  /** Absolute. */
  readonly directory: string;
  readonly fileName: string;
  readonly sizeBytes: number;
  /** A file of that name may be there, and is replaced. */
  readonly replace: boolean;
}

/** Where files go, and the ring they go through. */
export interface Sink {
  readonly mode: StagerMode;
  /** Why it is not the mode that was asked for, or the first choice; empty if it is. */
  readonly reason: string;
  readonly ring: StagingRing;
  readonly slots: SlotPool;
  /** Why nothing more can be saved through it, if so: its mount has gone. */
  readonly failure: unknown;
  /**
   * Makes room for the file, which nobody sees before it is committed.
   * @throws CheckpointError exists, no-space, not-found …
   */
  begin(file: NewFile): Promise<SaveTarget>;
  /** Nothing more goes through its ring, in which a copy of unknown state may still land. Saves under way fail. */
  abandon(error: unknown): void;
  /** When its saves have ended. */
  close(): Promise<void>;
}

/** @throws CheckpointError disconnected: the ring has been given up meanwhile, what was in the slot is gone. */
export function slotMemory({ ring }: Sink, slot: number): Uint8Array {
  const memory = ring.slot(slot);
  if (memory.length === ring.slotBytes) return memory;
  throw new CheckpointError("disconnected", "the mount has gone, and its memory with it");
}

/** What goes with the commit of a file: names in its directory. */
export interface WithCommit {
  /** To be removed once the file is safe. */
  readonly retire?: readonly string[];
  /** Those that are to be in the volume before it. */
  readonly after?: readonly string[];
}

/** One file that is being written. */
export interface SaveTarget {
  /** Why it has failed, once it has: then it has left nothing behind, and what is written to it goes nowhere. */
  readonly failure: unknown;
  /**
   * The slot holds `length` bytes of the file from `offset` on; with pieces, when those have been copied out of device
   * memory (mode "ipc"). Resolves when the slot may be used again, also if that has failed.
   */
  write(slot: number, offset: number, length: number, pieces: readonly IpcPiece[]): Promise<void>;
  /** Resolves when the device memory of all pieces so far may change. @throws {@link failure} */
  copied(): Promise<void>;
  /**
   * When everything has been written: makes the file whole, and gives it its name.
   * @throws {@link failure}
   */
  commit(names: WithCommit): Promise<void>;
  /** Resolves when the committed file is in the volume. */
  published(): Promise<void>;
  /** Ends a save that is not to be committed. */
  cancel(): Promise<void>;
}
