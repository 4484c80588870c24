import { realpath } from "node:fs/promises";
import { resolve } from "node:path";
import { formatBytes, systemClock } from "../../base/index.js";
import type { BenchmarkDirectory, ColdCache } from "../../benchmark/index.js";
import { processEnvironment, stateDirectory } from "../../config/index.js";
import { ControlError, callMount, dropCached, mountOf, readMountTable, type StatusReport } from "../../mount/index.js";

type MountTable = Awaited<ReturnType<typeof readMountTable>>;

const PODFS_TYPE = "fuse.podfs";
const ANSWER_TIMEOUT_MS = 5000;
const DROP_ATTEMPTS_MAX = 10;
const DROP_RETRY_MS = 100;

/** What lies at these paths: which filesystem, and how its caches are emptied. */
export async function describeTargets(names: readonly string[]): Promise<BenchmarkDirectory[]> {
  const table = await readMountTable();
  return Promise.all(names.map((name) => describeTarget(name, table)));
}

async function describeTarget(name: string, table: MountTable): Promise<BenchmarkDirectory> {
  // One that is not there is found to be so when it is measured.
  const path = await realpath(name).catch(() => resolve(name));
  const mount = mountOf(table, path);
  if (mount === undefined) return { name, path, kind: "unknown", details: "", cold: "page-cache" };
  if (mount.type === PODFS_TYPE) return { name, path, kind: mount.type, ...(await describePodfs(mount.mountpoint)) };
  const own = mount.type.startsWith("fuse") ? " (a cache of its own stays as it is)" : "";
  const details = `${mount.source} on ${mount.mountpoint}; cold: page cache dropped by fadvise${own}`;
  return { name, path, kind: mount.type, details, cold: "page-cache" };
}

async function describePodfs(mountpoint: string): Promise<Pick<BenchmarkDirectory, "details" | "cold">> {
  const stateDir = stateDirectory(processEnvironment());
  try {
    const request = { command: "status" } as const;
    const status = await callMount(mountpoint, request, { stateDir, timeoutMs: ANSWER_TIMEOUT_MS });
    return { details: `${describeStatus(status)}; cold: evicted from its cache`, cold: cacheOf(mountpoint, stateDir) };
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    // Somebody else's mount: its page cache is ours to drop, what it has cached is not.
    return { details: "a podfs that does not answer this user; no cold figures", cold: "none" };
  }
}

function cacheOf(mountpoint: string, stateDir: string): ColdCache {
  return {
    drop: async (paths) => {
      // Only what is in the volume can be evicted.
      await callMount(mountpoint, { command: "flush" }, { stateDir });
      try {
        return await dropAll(paths, stateDir);
      } catch (error) {
        // A mount of an older version does not know how: it has no cold figures then.
        if (error instanceof ControlError && (error.kind === "unknown-command" || error.kind === "failed"))
          return false;
        throw error;
      }
    },
  };
}

async function dropAll(paths: readonly string[], stateDir: string): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    const { kept } = await dropCached(paths, { stateDir });
    if (kept.notUploaded + kept.open + kept.fetching === 0) return true;
    if (attempt === DROP_ATTEMPTS_MAX) return false;
    // The kernel tells of closed files a little later.
    await systemClock.sleep(DROP_RETRY_MS);
  }
}

function describeStatus({ version, passthrough, durability, cache }: StatusReport): string {
  const used = `${formatBytes(cache.usedBytes)} of ${formatBytes(cache.limitBytes)}`;
  return `podfs ${version}, passthrough ${passthrough ? "yes" : "no"}, durability ${durability}, cache ${used}`;
}
