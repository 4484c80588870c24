/** When a write counts as durable: see DESIGN section 4, promise 1. */
export const DURABILITIES = ["fsync", "close", "local"] as const;
export type Durability = (typeof DURABILITIES)[number];

/** Who speaks to the kernel: podfs's own engine, or the npm package of that name. */
export const TRANSPORTS = ["native", "fuse-native"] as const;
export type TransportName = (typeof TRANSPORTS)[number];

/**
 * Everything a mount is asked to be: plain data, complete and checked, so that it can be handed to another process
 * as JSON. Paths are absolute.
 */
export interface MountOptions {
  /** Canonical address of the volume: an absolute path, or `s3://bucket/prefix?…`. No credentials in it. */
  readonly volumeUrl: string;
  readonly mountpoint: string;
  /** Make the volume if there is none there yet. */
  readonly create: boolean;
  /** Belongs to one volume and one mount at a time. */
  readonly cacheDir: string;
  /** Absent: as much as the cache filesystem has, less the free space; see {@link cacheLimits}. */
  readonly cacheSizeBytes?: number;
  /** Absent: a tenth of the cache filesystem, at most 10 GiB. */
  readonly freeSpaceBytes?: number;
  /** For the rings of checkpoint clients; 0: there are none. Absent: see {@link stagingMemoryBytes}. */
  readonly stagingMemoryBytes?: number;
  readonly durability: Durability;
  readonly readOnly: boolean;
  readonly foreground: boolean;
  readonly transport: TransportName;
  /** False: do not ask the kernel for passthrough. */
  readonly passthrough: boolean;
  /** Users other than the one who mounts may enter. */
  readonly allowOther: boolean;
  /** Take the lease from its holder at once, rather than wait for it to expire. */
  readonly takeOver: boolean;
  /** How long SIGTERM may take to upload what is left. */
  readonly drainTimeoutMs: number;
  /** Where the sockets, the log and the record of this mount lie: see {@link mountStatePaths}. */
  readonly stateDir: string;
}

/**
 * Kubernetes gives a pod 30 s between SIGTERM and SIGKILL by default; unmounting and the final report need the rest.
 */
export const DRAIN_TIMEOUT_DEFAULT = "25s";
