import { readFile } from "node:fs/promises";
import { formatBytes } from "../../base/index.js";
import { type Finding, messageOf } from "./finding.js";
import { hasCapability, type LoadedAddon, parseStatus } from "./mount-checks.js";

/** The least that a ring of staging buffers is worth pinning. */
const PINNED_BYTES_WANTED = 64 * 1024 ** 2;

const CAP_IPC_LOCK = 14; // linux/capability.h

export async function checkIoUring(loaded: LoadedAddon): Promise<Finding> {
  const check = "io_uring";
  const follows = "podfs uses threads instead, which is slower for checkpoints only.";
  if ("error" in loaded) {
    return { check, verdict: "warn", found: "not tried, for want of the native engine", follows };
  }
  try {
    const { ok, detail } = await loaded.addon.probe("io_uring", "");
    if (ok)
      return { check, verdict: "ok", found: detail || "works", follows: "Checkpoints are written with few threads." };
    const fix = "sysctl kernel.io_uring_disabled=0 on the host, and a seccomp profile that allows it.";
    return { check, verdict: "warn", found: detail || "refused", follows, fix };
  } catch (error) {
    return { check, verdict: "warn", found: messageOf(error), follows };
  }
}

export async function checkMemoryLock(): Promise<Finding> {
  const check = "memlock";
  const status = parseStatus(await readFile("/proc/self/status", "utf8"));
  if (hasCapability(status.get("CapEff"), CAP_IPC_LOCK)) {
    return {
      check,
      verdict: "ok",
      found: "CAP_IPC_LOCK",
      follows: "Staging buffers can be locked, whatever the limit.",
    };
  }
  const limits = await readFile("/proc/self/limits", "utf8");
  const soft = /^Max locked memory\s+(\S+)/m.exec(limits)?.[1] ?? "unknown";
  const bytes = soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
  const found = Number.isFinite(bytes) ? formatBytes(bytes) : soft;
  if (bytes >= PINNED_BYTES_WANTED) {
    return { check, verdict: "ok", found, follows: "Staging buffers can be locked and registered." };
  }
  return {
    check,
    verdict: "warn",
    found,
    follows: "Too little to register staging buffers with the kernel; checkpoints are written without that.",
    fix: "ulimit -l unlimited (docker run --ulimit memlock=-1).",
  };
}

export async function checkSeccomp(): Promise<Finding> {
  const check = "seccomp";
  const mode = parseStatus(await readFile("/proc/self/status", "utf8")).get("Seccomp");
  switch (mode) {
    case "0":
      return { check, verdict: "ok", found: "not locked down", follows: "No system call is filtered." };
    case "2":
      return {
        check,
        verdict: "ok",
        found: "filtered",
        follows: "Some system calls may be refused; the rows above say what podfs tried and got.",
      };
    case undefined:
      return { check, verdict: "ok", found: "unknown to this kernel", follows: "No system call is filtered." };
    default:
      return {
        check,
        verdict: "warn",
        found: `mode ${mode}`,
        follows: "Most system calls are refused.",
        fix: "start the container with a wider seccomp profile.",
      };
  }
}
