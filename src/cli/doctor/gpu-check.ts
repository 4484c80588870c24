import { access, readFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import type { Finding } from "./finding.js";

/** Where the driver's library is put: by distributions, by the NVIDIA container toolkit, by Kubernetes plugins. */
const LIBRARY_DIRECTORIES = [
  "/usr/lib/x86_64-linux-gnu",
  "/usr/lib/aarch64-linux-gnu",
  "/usr/lib64",
  "/usr/lib",
  "/usr/local/nvidia/lib64",
  "/usr/local/cuda/compat",
  "/usr/lib/wsl/lib",
];

export async function checkGpu(): Promise<Finding> {
  const check = "GPU driver";
  const [version, library] = await Promise.all([kernelDriverVersion(), findCudaLibrary()]);
  if (version === undefined) {
    const found = library === undefined ? "none" : `no kernel driver, though ${library} is there`;
    return { check, verdict: "ok", found, follows: "Everything but GPU staging works without." };
  }
  if (library === undefined) {
    return {
      check,
      verdict: "warn",
      found: `NVIDIA ${version}, but no libcuda.so.1`,
      follows: "GPU staging is not available in this container.",
      fix: "start the container with the NVIDIA runtime (docker run --gpus all).",
    };
  }
  return { check, verdict: "ok", found: `NVIDIA ${version}, ${library}`, follows: "GPU staging can be used." };
}

async function kernelDriverVersion(): Promise<string | undefined> {
  const text = await readFile("/proc/driver/nvidia/version", "utf8").catch(() => "");
  return /Kernel Module(?: for \S+)?\s+(\d[\d.]*)/.exec(text)?.[1];
}

async function findCudaLibrary(): Promise<string | undefined> {
  const extra = (process.env.LD_LIBRARY_PATH ?? "").split(delimiter).filter((path) => path.startsWith("/"));
  for (const directory of [...extra, ...LIBRARY_DIRECTORIES]) {
    const path = join(directory, "libcuda.so.1");
    const found = await access(path).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}
