/**
 * What training processes and a mount say to each other about checkpoints (docs/FORMATS.md, "Staging protocol"): JSON lines
 * over a Unix socket of mode 0600, in the mount's state directory. A program finds it by asking any file or directory of
 * the mount for the extended attribute {@link SOCKET_ATTRIBUTE}.
 *
 * A connection belongs to one process, has one ring and any number of saves, one after the other or at once. It ends when
 * the process does: saves whose `commit` has not arrived by then leave nothing behind.
 *
 * Numbers are whole; sizes and offsets in bytes. Names are bytes: each character of a name stands for one (latin1).
 */

/** The extended attribute whose value is the path of the socket. It is not listed, and cannot be set. */
export const SOCKET_ATTRIBUTE = "user.podfs.staging";
/** Raised when a message changes its meaning. New messages and new keys do not raise it: what is not known is ignored. */
export const PROTOCOL_VERSION = 1;
export const LINE_BYTES_MAX = 1 << 20;

export type StagingMode =
  /** The client copies into the ring, by itself or through its driver. */
  | "shm"
  /** A child process of the mount copies out of the client's device memory, through CUDA IPC. */
  | "ipc";

export type ClientMessage =
  /** Comes first, once. */
  | {
      readonly type: "hello";
      readonly version: number;
      readonly pid: number;
      /** "python 0.1.0": for status and the log. */
      readonly client: string;
      readonly mode: StagingMode;
      readonly slots: number;
      readonly slotBytes: number;
      /** Where the client's GPU is, so that the ring is there too; without it, any. */
      readonly numaNode?: number;
      /** Inode number of /proc/self/ns/pid: IPC handles mean nothing in another PID namespace. */
      readonly pidNamespace: number;
      /** Why the client wants this mode rather than the first; empty if it does not. */
      readonly reason: string;
    }
  /** Room for a file of exactly this size, that nobody sees before it is committed. */
  | {
      readonly type: "begin";
      /** Chosen by the client, its own among its saves that have not ended. */
      readonly save: number;
      /** Inode number of the directory (st_ino). */
      readonly parent: number;
      readonly name: string;
      readonly sizeBytes: number;
      /** The name may exist: the file there is replaced, at the commit. */
      readonly replace: boolean;
      /** Permission bits. */
      readonly mode: number;
    }
  /**
   * The slot holds `length` bytes of the file from `offset` on. Pieces may come in any order, and must cover the file once;
   * each begins and ends at a multiple of 4096 of the file, or at its end. The slot is the server's until `written`.
   */
  | {
      readonly type: "write";
      readonly save: number;
      readonly slot: number;
      readonly offset: number;
      readonly length: number;
    }
  /** The same (mode "ipc"), but the slot is to be filled from device memory first. */
  | {
      readonly type: "fill";
      readonly save: number;
      readonly slot: number;
      readonly offset: number;
      readonly length: number;
      readonly pieces: readonly IpcPiece[];
    }
  /** Every piece has been sent: write what is left, make the file whole, give it its name. */
  | {
      readonly type: "commit";
      readonly save: number;
      /**
       * Names in the same directory, to be removed, in this order, once this file, and all that was written before it, is
       * in the volume; also if the client is gone by then. What is a name of something else by then is left alone, and so
       * is what does not exist.
       */
      readonly retire: readonly string[];
      /**
       * Names in the same directory that go into the volume before this file: an index must not be there without what it
       * names, however much longer that takes. What does not exist is not waited for.
       */
      readonly after?: readonly string[];
    }
  /** Say when the file is in the volume. After `committed`; also for a save that has been published since. */
  | { readonly type: "durable"; readonly save: number }
  /**
   * Nothing of it is wanted any more. It is not answered, but for the `written` of its slots; the number is free. After
   * `committed` it undoes nothing.
   */
  | { readonly type: "cancel"; readonly save: number };

/** Contiguous device memory, within one allocation. */
export interface IpcPiece {
  /** "GPU-…" */
  readonly device: string;
  /** CUipcMemHandle, 128 hexadecimal digits. */
  readonly handle: string;
  readonly handleOffset: number;
  readonly bytes: number;
  readonly slotOffset: number;
}

export type ServerMessage =
  /** Answers `hello`, and brings the descriptor of the ring (SCM_RIGHTS), which may have fewer slots than asked for. */
  | {
      readonly type: "welcome";
      readonly version: number;
      readonly mode: StagingMode;
      /** Why the mode is not the one asked for; empty if it is. */
      readonly reason: string;
      readonly slots: number;
      readonly slotBytes: number;
    }
  /**
   * Answers `hello`: no ring is to be had. Later: what has come does not keep to this protocol, and all saves have failed.
   * The connection is closed.
   */
  | { readonly type: "refused"; readonly kind: StagingErrorKind; readonly message: string }
  | { readonly type: "begun"; readonly save: number }
  /** The slot is free again. Exactly one for each `write` and `fill`, also for those that failed. */
  | { readonly type: "written"; readonly save: number; readonly slot: number }
  /**
   * All of the save's fills so far have been copied, and no handle of theirs is open: the device memory may change, and be
   * freed. Sent whenever that becomes true.
   */
  | {
      readonly type: "copied";
      readonly save: number;
      /** How many those are: more may be on their way. */
      readonly fills: number;
    }
  /** The file is whole, on the local disk, and has its name. */
  | { readonly type: "committed"; readonly save: number; readonly ino: number }
  /** It is in the volume. */
  | { readonly type: "published"; readonly save: number }
  /**
   * The save has failed and leaves nothing behind; said once. After `committed`: it could not be published by now, and is
   * going to be tried again.
   */
  | {
      readonly type: "failed";
      readonly save: number;
      readonly kind: StagingErrorKind;
      readonly message: string;
    };

export type StagingErrorKind =
  /** Does not fit the cache or the disk. */
  | "no-space"
  /** All of the memory for rings is in use. */
  | "no-memory"
  | "exists"
  /** The directory has been removed. */
  | "not-found"
  | "not-directory"
  /** The name is a directory's. */
  | "is-directory"
  | "invalid-name"
  | "read-only"
  /** The user whose mount it is may not write in this directory. */
  | "not-permitted"
  /** The client does not keep to this protocol, or speaks another version of it. */
  | "protocol"
  /** The driver refused or failed. */
  | "device"
  /** The local disk failed. */
  | "io"
  /** The mount is ending. */
  | "closing";
