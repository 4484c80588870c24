import { lstat, stat } from "node:fs/promises";
import { UserError } from "../base/index.js";
import { PODFS_VERSION } from "../config/index.js";
import type { Addon, StagingIo } from "../native/index.js";
import { SOCKET_ATTRIBUTE } from "../staging/protocol.js";
import { CheckpointError } from "./errors.js";
import { FileSink } from "./file-sink.js";
import { MountSink } from "./mount-sink.js";
import type { Sink, StagerMode } from "./sink.js";

/** A slot's size: large copies reach a GPU's full rate, and a disk's. */
const SLOT_BYTES = 16 << 20;
/** Of which slots are multiples. */
const SLOT_STEP_BYTES = 2 << 20;
const SLOTS_MIN = 2;
const RING_BYTES_MIN = SLOTS_MIN * SLOT_STEP_BYTES;

interface SinkOptions {
  readonly directory: string;
  readonly mode: "auto" | StagerMode;
  readonly ringBytes: number;
  /** For mode "file". */
  readonly io: StagingIo;
}

/**
 * Opens the way into files of the directory: through the mount it is in, or else by itself.
 * @throws CheckpointError no-mount: the mode needs one; no-memory …
 */
export async function openSink(addon: Addon, options: SinkOptions): Promise<Sink> {
  const { mode, io } = options;
  const shape = ringShape(options.ringBytes);
  if (mode === "file") return new FileSink(addon, io, addon.createRing({ ...shape, numaNode: -1 }), "");
  try {
    const { directory } = options;
    return await MountSink.connect(
      addon,
      { socketPath: await findSocket(addon, directory), directory },
      {
        pid: process.pid,
        client: `node ${PODFS_VERSION}`,
        mode: mode === "ipc" ? "ipc" : "shm",
        ...shape,
        pidNamespace: (await stat("/proc/self/ns/pid")).ino,
        reason: mode === "ipc" ? "the program asked for it" : "",
      },
    );
  } catch (error) {
    if (mode !== "auto" || !(error instanceof CheckpointError)) throw error;
    return new FileSink(addon, io, addon.createRing({ ...shape, numaNode: -1 }), error.message);
  }
}

function ringShape(ringBytes: number): { readonly slots: number; readonly slotBytes: number } {
  if (!Number.isSafeInteger(ringBytes) || ringBytes < RING_BYTES_MIN) {
    throw new UserError(`ringBytes: ${ringBytes} is not a number of bytes of at least ${RING_BYTES_MIN}`);
  }
  const half = Math.floor(ringBytes / SLOTS_MIN / SLOT_STEP_BYTES) * SLOT_STEP_BYTES;
  const slotBytes = Math.min(SLOT_BYTES, half);
  return { slots: Math.floor(ringBytes / slotBytes), slotBytes };
}

/** @throws CheckpointError no-mount */
async function findSocket(addon: Addon, directory: string): Promise<string> {
  const path = await addon.getXattr(directory, SOCKET_ATTRIBUTE);
  if (path === undefined) {
    throw new CheckpointError("no-mount", `${directory} is not in a podfs mount that takes checkpoints`);
  }
  // Anybody may set the attribute on a file of an ordinary filesystem, and name a socket of theirs.
  const stats = await lstat(path).catch(() => undefined);
  const owners = [0, process.geteuid?.()];
  if (stats?.isSocket() !== true || !owners.includes(stats.uid)) {
    throw new CheckpointError("no-mount", `${path} is not a socket of this user's mount`);
  }
  return path;
}
