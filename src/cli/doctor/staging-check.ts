import type { Addon, CudaDriver, DeviceCopier, StagingRing } from "../../native/index.js";
import { type Finding, messageOf } from "./finding.js";
import type { LoadedAddon } from "./mount-checks.js";

const RING = { slots: 2, slotBytes: 2 << 20, numaNode: -1 };

/** A way in which checkpoints reach a mount, and why it is not to be had here, if it is not. */
interface Mode {
  readonly name: string;
  readonly reason?: string;
}

/** Tries the ways in which checkpoints reach a mount: with a small ring, and the first device. */
export async function checkStaging(loaded: LoadedAddon): Promise<Finding> {
  const check = "staging";
  const alone = "Checkpoints are written by the programs themselves, as files.";
  if ("error" in loaded) {
    return { check, verdict: "warn", found: "file; not tried, for want of the native engine", follows: alone };
  }
  const { addon } = loaded;
  const cuda = await addon.loadCuda();
  const modes = await tryModes(addon, "unavailable" in cuda ? undefined : cuda);
  const has = modes.filter(({ reason }) => reason === undefined).map(({ name }) => name);
  const lacks = modes.flatMap(({ name, reason }) => (reason === undefined ? [] : [`no ${name} (${reason})`]));
  const found = [...has, ...lacks].join(", ");
  if (!has.includes("shm")) return { check, verdict: "warn", found, follows: alone };
  if (lacks.length > 0) return { check, verdict: "warn", found, follows: "Some checkpoints take a slower way." };
  const follows =
    "unavailable" in cuda
      ? "Checkpoints of host memory go through shared memory."
      : "Checkpoints go through shared memory; ipc takes a program in this PID namespace.";
  return { check, verdict: "ok", found, follows };
}

async function tryModes(addon: Addon, cuda: CudaDriver | undefined): Promise<Mode[]> {
  const file: Mode = { name: "file" };
  let ring: StagingRing;
  try {
    ring = addon.createRing(RING);
  } catch (error) {
    return [file, { name: "shm", reason: messageOf(error) }];
  }
  try {
    const [device] = cuda?.devices ?? [];
    if (cuda === undefined || device === undefined) return [{ name: "shm" }, file];
    return [{ name: "shm" }, ...(await tryDevice(cuda, device.ordinal, ring)), file];
  } finally {
    ring.close();
  }
}

/** Pinning decides how fast device memory is copied; a handle, whether the mount can do the copying. */
async function tryDevice(cuda: CudaDriver, ordinal: number, ring: StagingRing): Promise<Mode[]> {
  let copier: DeviceCopier;
  try {
    copier = await cuda.openCopier(ordinal);
  } catch (error) {
    return [{ name: "pinned memory", reason: messageOf(error) }];
  }
  try {
    const pinned = await attempt("pinned memory", () => copier.register(ring));
    const ipc = await attempt("ipc", async () => {
      const address = await copier.allocate(RING.slotBytes);
      await copier.ipcHandle(address);
    });
    return [pinned, ipc];
  } finally {
    // Lets go of all that it has.
    copier.close();
  }
}

async function attempt(name: string, action: () => Promise<void>): Promise<Mode> {
  try {
    await action();
    return { name };
  } catch (error) {
    return { name, reason: messageOf(error) };
  }
}
