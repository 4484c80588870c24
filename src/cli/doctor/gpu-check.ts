import { readFile } from "node:fs/promises";
import { formatBytes } from "../../base/index.js";
import type { CudaDevice } from "../../native/index.js";
import type { Finding } from "./finding.js";
import type { LoadedAddon } from "./mount-checks.js";

/** Loads the driver, as staging does, and asks it for its devices. */
export async function checkGpu(loaded: LoadedAddon): Promise<Finding> {
  const check = "GPU driver";
  const follows = "Checkpoints of device memory cannot be staged; everything else works.";
  if ("error" in loaded) {
    return { check, verdict: "warn", found: "not tried, for want of the native engine", follows };
  }
  const [kernelDriver, cuda] = await Promise.all([kernelDriverVersion(), loaded.addon.loadCuda()]);
  if (!("unavailable" in cuda)) {
    const version = `CUDA ${Math.floor(cuda.version / 1000)}.${Math.floor((cuda.version % 1000) / 10)}`;
    const found = [kernelDriver === undefined ? version : `NVIDIA ${kernelDriver}, ${version}`, describe(cuda.devices)];
    return { check, verdict: "ok", found: found.join(": "), follows: "Checkpoints of device memory can be staged." };
  }
  if (kernelDriver === undefined) return { check, verdict: "ok", found: cuda.unavailable, follows };
  return {
    check,
    verdict: "warn",
    found: `NVIDIA ${kernelDriver}, but ${cuda.unavailable}`,
    follows,
    fix: "start the container with the NVIDIA runtime (docker run --gpus all).",
  };
}

/** "2 × NVIDIA H200 (140 GiB, NUMA node 0), …": devices that are alike together. */
function describe(devices: readonly CudaDevice[]): string {
  const counts = new Map<string, number>();
  for (const { name, totalBytes, numaNode } of devices) {
    const place = numaNode < 0 ? "" : `, NUMA node ${numaNode}`;
    const text = `${name} (${formatBytes(totalBytes)}${place})`;
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  if (counts.size === 0) return "no device";
  return [...counts].map(([text, count]) => (count === 1 ? text : `${count} × ${text}`)).join(", ");
}

async function kernelDriverVersion(): Promise<string | undefined> {
  const text = await readFile("/proc/driver/nvidia/version", "utf8").catch(() => "");
  return /Kernel Module(?: for \S+)?\s+(\d[\d.]*)/.exec(text)?.[1];
}
