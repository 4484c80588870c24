const MIB = 2 ** 20;

/** How much is asked of a backend. */
export interface Effort {
  readonly rounds: number;
  /** Small requests of each kind, per round. */
  readonly requestsMax: number;
  /** What one measurement may take, per round. */
  readonly stepMs: number;
  /** Objects of the throughput measurements; podfs's packs are of this size. */
  readonly objectBytes: number;
  /** How many requests run at once. */
  readonly parallel: readonly number[];
  /** Moved by one throughput measurement, per round. */
  readonly stepBytesMax: number;
  /** Kept in the backend at any time. */
  readonly objectsMax: number;
  readonly largeBytes: number;
}

export const FULL: Effort = {
  ...{ rounds: 3, requestsMax: 60, stepMs: 4000, parallel: [1, 4, 16, 32] },
  ...{ objectBytes: 16 * MIB, stepBytesMax: 1024 * MIB, objectsMax: 32, largeBytes: 64 * MIB },
};

export const QUICK: Effort = {
  ...{ rounds: 1, requestsMax: 30, stepMs: 1500, parallel: [1, 4, 16] },
  ...{ objectBytes: 8 * MIB, stepBytesMax: 128 * MIB, objectsMax: 16, largeBytes: 64 * MIB },
};
