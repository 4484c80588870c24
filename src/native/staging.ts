/**
 * What the addon offers for checkpoint staging, as TypeScript sees it: the pinned ring, direct I/O between it and files,
 * and the CUDA driver. `native/staging/` is the core in plain C++, which knows neither N-API nor FUSE. The addon builds
 * without a CUDA header and loads without a driver.
 *
 * Errors are system errors with `code` (as Node reports failed calls), or, of the driver, errors with `code` "ECUDA" and
 * `cuda`, the number of the CUresult.
 */

export interface RingOptions {
  /** ≥ 2. */
  readonly slots: number;
  /** A multiple of 2 MiB, the size of a huge page, and at most 1 GiB. */
  readonly slotBytes: number;
  /** Prefer memory of this NUMA node; -1: any. */
  readonly numaNode: number;
}

/**
 * Shared memory that checkpoints go through: `slots` pieces of `slotBytes`. It is a memfd sealed against changes of its
 * size, so that nobody who has it can make others fault. Pages are taken as they are touched.
 */
export interface StagingRing {
  /** The memfd. The ring owns it; -1 when it is closed. */
  readonly fd: number;
  readonly slots: number;
  readonly slotBytes: number;
  /** The memory of one slot in this process. Valid until {@link close}: afterwards its length is 0. */
  slot(index: number): Uint8Array;
  /**
   * Unmaps, when the last request on it has ended, on a thread. A ring in which a copy of unknown state may still land is closed and
   * never used again: the driver keeps its pages until it is done with them.
   */
  close(): void;
}

/**
 * A file that is read or written past the page cache where its filesystem lets it (O_DIRECT), in requests of 1 MiB, many
 * at once. Requests of different lanes take turns, so that one client cannot keep the others waiting.
 */
export interface StagedFile {
  /** O_DIRECT is in use. Else what is written goes to the disk, and out of the page cache, piece by piece. */
  readonly direct: boolean;
  /**
   * Makes room on the disk for `sizeBytes` (fallocate); where the filesystem cannot, checks that there is as much. The file
   * becomes as long as that, up to the next 4096: to be called before it is written, since ext4 takes direct writes that
   * extend a file one at a time.
   */
  allocate(sizeBytes: number): Promise<void>;
  /**
   * Writes the first `length` bytes of the slot to `position`, a multiple of 4096. What does not fill the last 4096 bytes is
   * padded with zeros, in the file and in the slot. The slot must not change until this has settled.
   */
  write(ring: StagingRing, slot: number, position: number, length: number): Promise<void>;
  /**
   * Fills the slot from `position`, a multiple of 4096. Resolves to the bytes read: fewer than `length` at the end only.
   * What is behind them up to the next multiple of 4096 may change.
   */
  read(ring: StagingRing, slot: number, position: number, length: number): Promise<number>;
  /** Cuts the file to its exact size, then fsync: it is whole, and on the disk. After the last write has settled. */
  finish(sizeBytes: number): Promise<void>;
  /** Closes when the last request has ended, on a thread. */
  close(): void;
}

/** Keeps the process running only while requests are under way; closes itself when nobody has it any more. */
export interface StagingIo {
  /** "threads": io_uring is not to be had here; `reason` says why, and is empty with io_uring. */
  readonly engine: "io_uring" | "threads";
  readonly reason: string;
  /**
   * @param lane those of one client, any number.
   * @param access "write" for a file that exists; "read".
   */
  open(path: string, access: "read" | "write", lane: number): Promise<StagedFile>;
  /** Ends its threads, when the last request has ended. Files that are open are of no use then: ECANCELED. */
  close(): void;
}

export interface CudaDevice {
  readonly ordinal: number;
  /** "GPU-…", as nvidia-smi has it: the only name that means the same in every process. */
  readonly uuid: string;
  readonly name: string;
  readonly totalBytes: number;
  /** -1 where it is not known. */
  readonly numaNode: number;
}

/** A piece of device memory, and its place in a slot. */
export interface DevicePiece {
  readonly address: bigint;
  readonly bytes: number;
  readonly slotOffset: number;
}

/** Memory of another process. */
export interface IpcMemory {
  readonly address: bigint;
  /** How much there is from there on; Infinity where the driver does not tell. */
  readonly bytes: number;
}

/** Copies between one GPU and slots of rings, on a stream and a thread of its own. */
export interface DeviceCopier {
  /**
   * Pins the ring for this device's driver, once for all devices (3–8 GB/s, so never per save). Copies work without, at a
   * fraction of the speed.
   */
  register(ring: StagingRing): Promise<void>;
  unregister(ring: StagingRing): Promise<void>;
  /** Resolves when the bytes are in the slot. Copies of one copier are done in order. */
  toSlot(ring: StagingRing, slot: number, pieces: readonly DevicePiece[]): Promise<void>;
  /** Resolves when the bytes are on the device. */
  fromSlot(ring: StagingRing, slot: number, pieces: readonly DevicePiece[]): Promise<void>;
  /** cuIpcOpenMemHandle of another process's 64 bytes; close each once. */
  openIpc(handle: Uint8Array): Promise<IpcMemory>;
  closeIpc(address: bigint): Promise<void>;
  /** Device memory, for tests and for what JavaScript loads. */
  allocate(bytes: number): Promise<bigint>;
  free(address: bigint): Promise<void>;
  /** cuIpcGetMemHandle: 64 bytes, and where in that allocation `address` is. */
  ipcHandle(address: bigint): Promise<{ readonly handle: Uint8Array; readonly offset: number }>;
  close(): void;
}

export interface CudaDriver {
  /** As the driver says: 13000 is 13.0. */
  readonly version: number;
  readonly devices: readonly CudaDevice[];
  openCopier(ordinal: number): Promise<DeviceCopier>;
}

export interface StagingAddon {
  createRing(options: RingOptions): StagingRing;
  /**
   * Maps a ring that another process has made, of the same numbers. Takes the descriptor over.
   * @throws EINVAL when the file is smaller, or could still shrink.
   */
  openRing(fd: number, options: Pick<RingOptions, "slots" | "slotBytes">): StagingRing;
  /** @param options.engine "threads": even where io_uring is to be had. */
  createStagingIo(options?: { readonly engine?: "threads" }): StagingIo;
  /**
   * Loads libcuda.so.1 and initialises it, on a thread. Where that fails, says why in one line: no driver is a normal
   * state.
   */
  loadCuda(): Promise<CudaDriver | { readonly unavailable: string }>;
  /**
   * Sends `message`, at most 4096 bytes, with a descriptor (SCM_RIGHTS), whole, on a connected Unix stream socket on which
   * nothing else is waiting to be sent.
   */
  sendDescriptor(socketFd: number, message: Uint8Array, fd: number): void;
  /**
   * Connects to a Unix stream socket, sends `message`, and waits, on a thread, for one line and the descriptor that comes
   * with it. The caller owns both descriptors; `fd` is -1 when none came.
   */
  connectForDescriptor(
    path: string,
    message: Uint8Array,
    timeoutMs: number,
  ): Promise<{ readonly socketFd: number; readonly fd: number; readonly line: string }>;
  /** getxattr(2), on a thread. Undefined where there is no such attribute, or there are none at all. */
  getXattr(path: string, name: string): Promise<string | undefined>;
}
