import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import type { Metadata } from "../meta/index.js";
import { ContentIds } from "./content-ids.js";
import type { Counted } from "./local-images.js";

const BOOT_FACT = "cache.boot-id";
const CLEAN_FACT = "cache.clean-stop";
const EPOCH_FACT = "cache.trust-epoch";
const COUNTED_FACT = "cache.counted";
const SYNC_TIMEOUT_MS = 10_000;

export interface Trust {
  /** Clean images recorded in an earlier epoch may be garbage: the machine lost what had not reached the disk. */
  readonly epoch: number;
  /** The sums of the ledger as the last mount left them; undefined when it did not end well. */
  readonly counted: Counted | undefined;
}

/**
 * What of an earlier mount's cache can be believed, decided without looking at any file: after kill -9 all of it, because
 * the kernel had it; after a reboot only if the last mount had synced the disk at its end.
 */
export function beginTrust(metadata: Metadata): Trust {
  const bootId = currentBootId();
  const known = ContentIds.isKnown(metadata);
  const cleanStop = metadata.fact(CLEAN_FACT) === "yes";
  const counted = cleanStop ? parseCounted(metadata.fact(COUNTED_FACT)) : undefined;
  let epoch = Number(metadata.fact(EPOCH_FACT) ?? 1);
  if (known && !cleanStop && metadata.fact(BOOT_FACT) !== bootId) epoch++;
  // In this order: a crash between two of them costs trust, never truth.
  metadata.setFact(EPOCH_FACT, String(epoch));
  metadata.setFact(CLEAN_FACT, "no");
  metadata.setFact(BOOT_FACT, bootId);
  return { epoch, counted: known ? counted : { bytes: 0, dirtyBytes: 0 } };
}

/** At the very end: syncs the cache's filesystem, and says so. Without that a reboot makes the next mount start cold. */
export async function endTrust(metadata: Metadata, directory: string, counted: Counted): Promise<void> {
  metadata.setFact(COUNTED_FACT, JSON.stringify(counted));
  try {
    // Node has no syncfs(2); coreutils' sync does it with -f.
    await promisify(execFile)("sync", ["-f", directory], { timeout: SYNC_TIMEOUT_MS });
  } catch {
    return;
  }
  metadata.setFact(CLEAN_FACT, "yes");
}

/** Changes with every start of the kernel. Without /proc every stop that is not clean counts as power loss. */
function currentBootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return `unknown-${process.pid}-${Date.now()}`;
  }
}

function parseCounted(text: string | undefined): Counted | undefined {
  if (text === undefined) return undefined;
  const { bytes, dirtyBytes } = JSON.parse(text) as Partial<Counted>;
  return typeof bytes === "number" && typeof dirtyBytes === "number" ? { bytes, dirtyBytes } : undefined;
}
