import type { StatusReport } from "../../../src/mount/control-protocol.js";

/** The status of a busy mount. */
export function sampleStatus(mountpoint: string): StatusReport {
  return {
    pid: 4711,
    version: "0.1.0",
    uptimeMs: 11_520_000,
    state: "mounted",
    mountpoint,
    volume: { uuid: "0b0f5a3e-6b1c-4f44-9d0c-3f5a1f9e2b77", backend: "s3://bucket/prefix", readOnly: false },
    transport: "native",
    passthrough: false,
    passthroughReason: "needs CAP_SYS_ADMIN",
    durability: "fsync",
    cache: {
      directory: "/var/cache/podfs/bucket-prefix-0123456789ab",
      usedBytes: 50 * 1024 ** 3,
      limitBytes: 200 * 1024 ** 3,
      dirtyBytes: 3 * 1024 ** 3,
    },
    publish: {
      pendingFiles: 1234,
      pendingBytes: 3 * 1024 ** 3,
      pendingOperations: 2500,
      oldestDirtyAgeMs: 42_000,
      lastError: "PUT pack/ab/ab12: connection refused",
    },
    backend: { puts: 17, gets: 230, deletes: 0, putBytes: 2e9, getBytes: 5e9, retries: 3, errors: 1 },
    fuse: { requests: { LOOKUP: 120_000, GETATTR: 60_000, OPEN: 500, RELEASE: 500, CREATE: 20, READDIRPLUS: 7 } },
    lease: { epoch: 3, holder: "pod-1 (pid 4711)" },
    staging: {
      socket: "/var/lib/podfs/workspace-0123456789ab/staging",
      memoryBytes: 8 * 1024 ** 3,
      usedBytes: 1024 ** 3,
      io: { engine: "threads", reason: "io_uring is forbidden here (EPERM)" },
      clients: [
        { pid: 815, client: "python 0.1.0", mode: "shm", reason: "", ringBytes: 512 * 1024 ** 2, saves: 1 },
        {
          pid: 816,
          client: "python 0.1.0",
          mode: "shm",
          reason: "the client is in another PID namespace",
          ringBytes: 512 * 1024 ** 2,
          saves: 0,
        },
      ],
      committed: 14,
      failed: 1,
      committedBytes: 56 * 1024 ** 3,
    },
  };
}
