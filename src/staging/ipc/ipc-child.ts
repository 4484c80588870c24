/**
 * The process that opens device memory of training processes (CUDA IPC) and copies it into their rings. It is one of its
 * own so that a CUDA context, and a driver that crashes, are not the mount's. It ends with the mount.
 */
import { ignore } from "../../base/index.js";
import { loadAddon } from "../../native/index.js";
import { DeviceMemoryCopies } from "./device-memory-copies.js";
import type { ChildMessage, ParentMessage } from "./messages.js";

/**
 * Results of the driver after which "the process must be terminated and relaunched to continue using CUDA"
 * (https://docs.nvidia.com/cuda/cuda-driver-api/, CUresult).
 */
const FATAL_RESULTS = new Set([214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 999]);

// Ctrl-C goes to all processes of a terminal's job; the mount decides.
process.on("SIGINT", ignore);
// Nothing here is worth an orderly end, which would wait for the device: the kernel takes back what a process had, when
// no copy is under way any more.
process.on("disconnect", end);

void serve();

async function serve(): Promise<void> {
  const addon = loadAddon();
  const driver = await addon.loadCuda();
  if ("unavailable" in driver) {
    tell({ type: "started", unavailable: driver.unavailable });
    return;
  }
  if (driver.devices.length === 0) {
    tell({ type: "started", unavailable: "the CUDA driver has no device here" });
    return;
  }
  const copies = new DeviceMemoryCopies(addon, driver, (message) => tell({ type: "note", message }));
  process.on("message", (message: ParentMessage) => void answer(copies, message));
  tell({ type: "started", unavailable: "" });
}

async function answer(copies: DeviceMemoryCopies, { id, request }: ParentMessage): Promise<void> {
  try {
    await copies.handle(request);
    tell({ type: "done", id });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof Error && "cuda" in error && FATAL_RESULTS.has(Number(error.cuda))) {
      tell({ type: "broken", message }, end);
    } else {
      tell({ type: "failed", id, message });
    }
  }
}

function tell(message: ChildMessage, then: () => void = ignore): void {
  process.send?.(message, undefined, undefined, then);
}

function end(): void {
  process.kill(process.pid, "SIGKILL");
}
