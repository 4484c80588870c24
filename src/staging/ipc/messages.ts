import type { IpcPiece } from "../protocol.js";

/** The ring of one client, in the process that has made it. */
export interface RingReference {
  /** The memfd. */
  readonly fd: number;
  readonly slots: number;
  readonly slotBytes: number;
}

/** What the child is asked for. Rings and saves are numbered by the parent, for the life of the mount. */
export type IpcRequest =
  | ({ readonly type: "open-ring"; readonly ring: number } & RingReference)
  /** Done when nothing is copied into the ring any more, and the child has let go of it. */
  | { readonly type: "close-ring"; readonly ring: number }
  /** Done when the bytes are in the slot. */
  | {
      readonly type: "copy";
      readonly ring: number;
      readonly save: number;
      readonly slot: number;
      readonly pieces: readonly IpcPiece[];
    }
  /** Done when the save's copies have ended, and the memory that was opened for them is closed. */
  | { readonly type: "end-save"; readonly save: number };

export type ParentMessage = { readonly id: number; readonly request: IpcRequest };

export type ChildMessage =
  /** Comes first, once: what keeps the child from copying; empty if nothing does. */
  | { readonly type: "started"; readonly unavailable: string }
  | { readonly type: "done"; readonly id: number }
  | { readonly type: "failed"; readonly id: number; readonly message: string }
  /** The driver cannot be used by this process any more, which ends: all that is under way fails for this reason. */
  | { readonly type: "broken"; readonly message: string }
  /** Worth a line in the log. */
  | { readonly type: "note"; readonly message: string };
