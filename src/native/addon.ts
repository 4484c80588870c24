/**
 * What the native addon offers, as TypeScript sees it. This is the only description of that boundary:
 * the C++ side asserts what is promised here, the TypeScript side checks its arguments before it calls.
 *
 * Two objects matter. A {@link ContentFile} is a local image of one file, with an optional block map that
 * says which blocks are there; it answers reads and writes itself and parks those that touch absent
 * blocks. A {@link FuseSession} speaks the FUSE protocol on one `/dev/fuse`; READ and WRITE requests on
 * handles bound to a content file never reach JavaScript, everything else does.
 */
import type { StagingAddon } from "./staging.js";

/** Outcome of a request handler: bytes of reply body, a negative errno, or one of these. */
export const REPLY_LATER = -0x10000;
/** The request has no reply (FORGET, BATCH_FORGET, INTERRUPT). */
export const REPLY_NONE = -0x10001;

export interface ContentFileOptions {
  /** Open descriptor, O_RDWR or O_RDONLY (no O_APPEND). The content file owns and closes it, also when creating fails. */
  readonly fd: number;
  /** Block size in bytes (the volume's chunk size). */
  readonly blockSize: number;
  /**
   * Path of the block map, created when absent: two bits a block (present, dirty), memory-mapped and
   * shared, so that it survives kill -9. Without it the file is complete and writes are not tracked. A map that is
   * there is taken as it is, but for blocks the file has gained (present and dirty) or lost since, and for clean
   * blocks after a reboot without a {@link ContentFile.sync}: those are absent, since the disk may have their bits and
   * not their bytes. native/fuse/block_map.h has the layout.
   */
  readonly mapPath?: string;
}

/** Called on the event-loop thread. Blocks are indexes, `count` ≥ 1. */
export interface ContentFileEvents {
  /**
   * A read or write waits for absent blocks: claim, fetch, fill (or fail) them. Fires once per request that parks, and
   * again if a write that was to bring the block failed. The range goes from the first to the last block missed: some
   * in it may be present, or claimed already.
   */
  onMiss(first: number, count: number): void;
  /** A read reached the block given to {@link ContentFile.setTrigger}: time to fetch ahead. Fires once. */
  onTrigger(block: number): void;
}

export interface ContentFile {
  readonly fd: number;
  /** True when there is no block map, or every block up to the size is present. */
  readonly complete: boolean;
  /**
   * fstat of the descriptor into `out`: [size in bytes, 512-byte blocks, mtime s, mtime ns, ctime s, ctime ns].
   * A memory operation for an open file; safe on the event loop.
   */
  stat(out: Float64Array): void;
  /**
   * Marks the absent, unclaimed blocks of the range as being fetched, and returns their indexes. Writes over them, and
   * truncations before them, wait until they are filled or failed; so every claim must end.
   */
  claim(first: number, count: number): number[];
  /** The claimed blocks are on disk: marks them present and wakes what waits for them. */
  fill(first: number, count: number): void;
  /** The claimed blocks cannot be had: absent again; what waits for them gets `errno` (positive). */
  fail(first: number, count: number, errno: number): void;
  /** True if the block is present. */
  has(block: number): boolean;
  setTrigger(block: number): void;
  /**
   * Indexes of the blocks written since the last successful publish; they count as being published until
   * {@link endPublish}. Writes meanwhile make a block dirty again. Survives kill -9 as "dirty".
   */
  beginPublish(): number[];
  endPublish(published: boolean): void;
  /** Reads into `into`; resolves to the bytes read (short at the end of the file). Parks like a kernel read. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** Writes all of `from`; parks like a kernel write. */
  write(from: Uint8Array, position: number): Promise<number>;
  /**
   * ftruncate; blocks beyond the end are forgotten, new ones are present (holes) and dirty: what was cut off and grown
   * again is not what was published. A block that is cut becomes dirty; if it is absent it is missed first. Waits for
   * claimed blocks behind the new end, whose fetch would make the file longer again.
   */
  truncate(size: number): Promise<void>;
  /** fallocate(2) with `mode` as given; what a punched or zeroed range covers becomes present and dirty. */
  fallocate(mode: number, offset: number, length: number): Promise<void>;
  /** lseek(2) SEEK_DATA (3) or SEEK_HOLE (4); absent blocks count as data. */
  seek(offset: number, whence: number): Promise<number>;
  /** copy_file_range(2), or a read/write loop where that is not possible. Parks like a read of one and a write of the other. */
  copyRange(from: ContentFile, fromOffset: number, offset: number, length: number): Promise<number>;
  /**
   * futimens(2): the modification time, to the nanosecond (seconds may be negative); the access time stays. A memory
   * operation, like {@link stat}, which reports it from then on.
   */
  setMtime(seconds: number, nanoseconds: number): void;
  /** fdatasync or fsync of the local file, then of its map: what was present before is trusted after a power loss. */
  sync(dataOnly: boolean): Promise<void>;
  /**
   * Closes when the last request in flight is done, and no handle is bound to it. Parked requests get EIO, and so do
   * requests on handles that are still bound; no event follows. Using the object afterwards throws EBADF; `fd` is -1.
   * The garbage collector closes a file that nobody holds; what remains of one that has been closed costs it nothing.
   */
  close(): void;
}

/** An inode number, a fuse_attr_out, and room to a power of two. */
export const ATTRIBUTE_SLOT_BYTES = 128;

export interface FuseSessionOptions {
  /** Open, mounted `/dev/fuse` descriptor. The session owns and closes it. */
  readonly fd: number;
  /**
   * Requests are handed to `onRequest` in this buffer, whole, from their fuse_in_header on. At least `maxWriteBytes` +
   * 4096: a WRITE on a handle that is not bound comes here.
   */
  readonly request: Uint8Array;
  /**
   * Reply bodies (what follows the fuse_out_header) are taken from the start of this buffer, before any microtask that
   * the handler has queued runs.
   */
  readonly reply: Uint8Array;
  /**
   * Zeroed, {@link ATTRIBUTE_SLOT_BYTES} times a power of two: answers to GETATTR that the engine repeats by itself
   * (native/fuse/attribute_answers.h), each `ino` (u64, 0: none) and a fuse_attr_out, in the place that the lowest bits of
   * `ino` give. The engine fills in what `onRequest` answers; whoever passes it takes out what is not right any more,
   * before the turn in which that changed ends. Borrowed for the session's life. Absent: it repeats none.
   */
  readonly attributes?: Uint8Array;
  /** Ask the kernel for passthrough. It may still say no: see {@link NegotiatedSession}. */
  readonly passthrough: boolean;
  /** 1, or 2 when the cache directory is itself on a stacked filesystem (overlayfs). */
  readonly maxStackDepth: number;
  /** Native threads for reads and writes that may wait for the disk. */
  readonly dataThreads: number;
  /** How long to poll after the last request before sleeping, microseconds. Where there is one core, 0 is better. */
  readonly spinMicros: number;
  readonly maxWriteBytes: number;
  /** The mount is read-only or written by others: do not ask for what only an exclusive writer may have. */
  readonly readOnly: boolean;
}

export interface NegotiatedSession {
  readonly protocolMinor: number;
  readonly maxWriteBytes: number;
  readonly passthrough: boolean;
  /** Why there is no passthrough; empty when there is. */
  readonly passthroughReason: string;
}

export interface FuseSessionEvents {
  onReady(negotiated: NegotiatedSession): void;
  /**
   * One request, `length` bytes in the request buffer. Returns the length of the reply body written to the
   * reply buffer, a negative errno, {@link REPLY_LATER} (then {@link FuseSession.reply} is called once) or
   * {@link REPLY_NONE}. Never INIT, DESTROY, READ or WRITE of bound handles. Must not throw.
   */
  onRequest(length: number): number;
  /** A served write cleared set-user-ID bits (FUSE_WRITE_KILL_SUIDGID): clear them in the inode. */
  onKillPrivileges(ino: number): void;
  /**
   * The session is over and its device closed: `error` is empty after an unmount, an abort or {@link FuseSession.stop},
   * else it says what went wrong. Fires once, last of all events.
   */
  onEnd(error: string): void;
}

export interface FuseSession {
  start(): void;
  /**
   * Answers a request deferred with REPLY_LATER, or the one that is being handled. `unique` as in its header; `error` is
   * 0 or a negative errno. Only the first answer counts; one that nobody waits for any more is ignored. `body` is
   * taken before this returns.
   */
  reply(unique: number, error: number, body?: Uint8Array): void;
  /** READ and WRITE on this handle are served natively from `file`, which stays open, until {@link unbind}. */
  bind(handle: number, file: ContentFile): void;
  unbind(handle: number): void;
  /** Registers the file for passthrough. Returns a positive backing id, or a negative errno. */
  openBacking(file: ContentFile): number;
  closeBacking(backingId: number): void;
  /** While closed, served writes wait (the cache is full). */
  setWriteGate(open: boolean): void;
  /** FUSE_NOTIFY_*: sent from a native thread, never blocks; ENOENT is ignored. */
  invalidateInode(ino: number, offset: number, length: number): void;
  invalidateEntry(parent: number, name: Uint8Array): void;
  /**
   * All names there are in a directory now, each with a NUL behind it: the engine says "no" to others by itself from now on,
   * until it has too many. Names that requests make are added by themselves; those made here, by {@link invalidateEntry}.
   * Does nothing while a request waits for its answer.
   */
  knowNames(directory: number, names: Uint8Array): void;
  store(ino: number, offset: number, data: Uint8Array): void;
  /** Counters since start, by FUSE opcode: [opcode, requests, opcode, requests, …]. Includes native ones. */
  counters(): number[];
  /**
   * Stops reading requests, answers EIO to those that wait for JavaScript, and closes the device: asynchronously, onEnd
   * follows. A mount that is still there answers ENOTCONN then. Idempotent.
   */
  stop(): void;
}

/** What a {@link MeasuringLoop} does; native/measure/file_loops.cc and tree_loops.cc have them. */
export type LoopName =
  /** One large file at `path`. */
  | "write"
  | "write-random"
  | "append-sync"
  | "read"
  | "read-random"
  /** A file shorter than `fileSize` is an error; one that is cut meanwhile, or cannot be read, ends the process: SIGBUS. */
  | "map"
  | "map-random"
  /** Both kinds: forgets cached pages, once they are on disk. The amount is the bytes that are cached all the same. */
  | "drop"
  | "drop-files"
  /** A tree of small files, `d0/f0`, `d0/f1` … below `path`; the directories are there. */
  | "create"
  | "stat"
  | "read-files"
  | "list"
  | "chmod"
  /** To the prefix "r". */
  | "rename"
  | "symlink"
  | "mkdir"
  | "rmdir"
  | "remove";

export interface LoopSpec {
  readonly loop: LoopName;
  readonly path: string;
  /** ≥ 1. They divide blocks, files or directories between them; random access is everybody's. */
  readonly threads: number;
  /** This process is number `share` (from 0) of `shares` that divide the work. */
  readonly share: number;
  readonly shares: number;
  /** Bytes of one operation; of the longest file of a tree. At least 1. */
  readonly blockSize: number;
  /** Of the shortest file of a tree; sizes between are as likely, and the same for the same tree. */
  readonly blockSizeMin: number;
  /** Of the large file, bytes, at least `blockSize`. */
  readonly fileSize: number;
  /** In the tree, ≤ 2^32. */
  readonly files: number;
  readonly filesPerDirectory: number;
  /** What the names of files begin with; less than 16 characters. */
  readonly prefix: string;
  /** `read-files` in an order that depends on `seed` alone. */
  readonly shuffle: boolean;
  /** Of each thread; 0 for all there is to do. */
  readonly operationsMax: number;
  /** Begin again when all is done, until the time is up. */
  readonly repeat: boolean;
  readonly microsMax: number;
  /** Of random offsets, orders, and of what is written. */
  readonly seed: number;
}

/** How long operations took; buckets are at most 3.2 % wide. */
export interface LoopLatencies {
  readonly count: number;
  readonly minNs: number;
  readonly meanNs: number;
  readonly maxNs: number;
  /** Upper bound and count of those that are not empty, ascending. */
  readonly buckets: readonly (readonly [upperNs: number, count: number])[];
}

export interface LoopResult {
  readonly operations: number;
  /** Of the thread that did the fewest. */
  readonly operationsMin: number;
  /** Bytes moved; entries, of "list". */
  readonly amount: number;
  /** From the start of the first thread to the end of the last. */
  readonly seconds: number;
  /** After that: the fsync of "write". */
  readonly syncSeconds: number;
  readonly latencies: LoopLatencies;
}

/** System calls in a loop, on native threads of its own, each of them timed: so figures are not JavaScript's. */
export interface MeasuringLoop {
  /** @throws a system error with `code`, which names the call and the file. */
  readonly done: Promise<LoopResult>;
  /** How many there are by now. */
  operations(): number;
  /** {@link done} resolves with what has been done, when calls that are in the kernel have returned. */
  cancel(): void;
}

export interface Addon extends StagingAddon {
  measure(spec: LoopSpec): MeasuringLoop;
  /** Without `events`, which a file with a block map must have, {@link ContentFile.setTrigger} does nothing. */
  createContentFile(options: ContentFileOptions, events?: ContentFileEvents): ContentFile;
  createFuseSession(options: FuseSessionOptions, events: FuseSessionEvents): FuseSession;
  /**
   * Opens /dev/fuse and mounts it: mount(2) where the process may, else `fusermount3` (on a thread).
   * `options` as in mount(8), comma separated, with `subtype=`; the descriptor options are added here. A mountpoint
   * "/dev/fd/N" is a descriptor that somebody has mounted: it is checked and resolved to. Resolves to the device
   * descriptor.
   */
  mountFuse(mountpoint: string, options: string, source: string): Promise<number>;
  /** umount2(2), or fusermount3 -u; `lazy` detaches at once. */
  unmountFuse(mountpoint: string, lazy: boolean): Promise<void>;
  /**
   * Has the kernel make room, on a thread, for all files that this process may open: else whoever opens the 256th, 512th,
   * … waits up to 40 ms for it. Resolves to how many that are; 0 when it could not be done, which does no harm.
   */
  reserveDescriptors(): Promise<number>;
  /**
   * Makes empty files, which must not be there yet, readable by the user alone, and opens them O_RDWR; on a thread, woken
   * once for all. Resolves to a descriptor for each path, or a negative errno.
   */
  createFiles(paths: readonly string[]): Promise<number[]>;
  /**
   * Opens an existing file O_RDWR, if that takes no disk: a descriptor; -EAGAIN when it would, or another negative errno
   * where the kernel cannot tell (before Linux 5.12). A memory operation.
   */
  openCached(path: string): number;
  /** Unlinks files, on a thread. What is not there counts as unlinked; what cannot be unlinked stays. */
  removeFiles(paths: readonly string[]): Promise<void>;
  /**
   * Another program in this process: execve(2). Nothing of this one goes on, in no thread; of its descriptors the first three
   * stay. `args` begins with what the program is called; `environment` is NAME=VALUE. Returns only if it fails: a negative errno.
   */
  replaceProcess(program: string, args: readonly string[], environment: readonly string[]): number;
  /**
   * Takes an exclusive lock on a file (open file description lock), created when absent. Returns a descriptor
   * that holds it until closed, or -EAGAIN… when somebody else does.
   */
  lockFile(path: string): number;
  /**
   * The first `length` bytes of a file that is open for reading and writing, in memory that is the page cache's: what is stored
   * there is in the file, as if written, also when the process is killed. It is unmapped when nobody has the buffer any more.
   * A negative errno where that cannot be, or a full disk could end the process with SIGBUS (native/fuse/file_lock.h).
   */
  mapFile(fd: number, length: number): Buffer | number;
  /**
   * No access time is kept any more of a directory, nor of what is made in it from now on (ext4, XFS). 0, or a negative
   * errno where the filesystem cannot, which does no harm.
   */
  disableAccessTimes(directory: string): number;
  /** FICLONE; negative errno where the filesystem cannot. */
  reflink(fromFd: number, toFd: number): number;
  /** Tries what `doctor` asks about, and leaves nothing changed. `path` is the cache directory. */
  probe(
    what: "passthrough" | "io_uring" | "o_direct" | "memlock",
    path: string,
  ): Promise<{ ok: boolean; detail: string }>;
}
