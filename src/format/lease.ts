import type { Epoch, SegmentSeq } from "../base/index.js";
import { asBuffer } from "./fields.js";
import { FormatError } from "./format-error.js";
import { hexHashOf } from "./hash.js";
import { JsonObject } from "./json.js";

/** Who writes a volume. */
export interface LeaseHolder {
  /** Of the cache directory: a mount that finds its own lease goes on with it. */
  readonly id: string;
  readonly host: string;
  readonly pid: number;
  readonly mountpoint: string;
}

/** From segment `seq` on, the log is that of `epoch`; segments of older epochs at or beyond it do not count. */
export interface EpochStart {
  readonly epoch: Epoch;
  readonly seq: SegmentSeq;
}

/** What `meta/lease` says. */
export interface Lease {
  /** Grows by one with every lease that is taken. */
  readonly epoch: Epoch;
  readonly holder: LeaseHolder;
  /** The holder's clock, ms since 1970. */
  readonly renewedAtMs: number;
  readonly expiresAtMs: number;
  /** The holder gave it back: the next writer need not wait. */
  readonly released: boolean;
  /** Ascending in epoch and seq. A new holder adds its own after it has read the log to its end. */
  readonly beginsAt: readonly EpochStart[];
  /** The newest checkpoint the holder knew of: where to look first. Older when a crash came between. */
  readonly checkpointSeq: SegmentSeq | undefined;
}

const KIND = "podfs lease";
const VERSION = 1;

/** Two lines: compact JSON, then the BLAKE3 of that line's bytes in hex. FORMATS, section "Lease". */
export function encodeLease(lease: Lease): Buffer {
  const { epoch, holder, renewedAtMs, expiresAtMs, released, beginsAt, checkpointSeq } = lease;
  const members = { kind: KIND, version: VERSION, epoch, holder, renewedAtMs, expiresAtMs, released, beginsAt };
  const json = JSON.stringify(checkpointSeq === undefined ? members : { ...members, checkpointSeq });
  return Buffer.from(`${json}\n${hexHashOf(Buffer.from(json, "utf8"))}\n`, "utf8");
}

/** @throws FormatError of every kind. */
export function decodeLease(bytes: Uint8Array): Lease {
  const text = asBuffer(bytes);
  const end = text.indexOf("\n");
  if (end < 0) throw new FormatError("truncated", "lease without a checksum");
  const line = text.subarray(0, end);
  const checksum = text.toString("latin1", end + 1);
  if (checksum !== `${hexHashOf(line)}\n`) throw new FormatError("bad-checksum", "lease is damaged");
  const json = JsonObject.parse("lease", line.toString("utf8"));
  if (json.members.kind !== KIND) throw new FormatError("bad-magic", "not a lease");
  const version = json.integer("version");
  if (version !== VERSION) {
    throw new FormatError("too-new", `lease has version ${version}; this podfs reads ${VERSION}: use a newer podfs`);
  }
  const holder = json.object("holder");
  return {
    epoch: json.integer("epoch") as Epoch,
    holder: {
      id: holder.string("id"),
      host: holder.string("host"),
      pid: holder.integer("pid"),
      mountpoint: holder.string("mountpoint"),
    },
    renewedAtMs: json.integer("renewedAtMs"),
    expiresAtMs: json.integer("expiresAtMs"),
    released: json.boolean("released"),
    beginsAt: decodeBeginnings(json),
    checkpointSeq: "checkpointSeq" in json.members ? (json.integer("checkpointSeq") as SegmentSeq) : undefined,
  };
}

function decodeBeginnings(json: JsonObject): EpochStart[] {
  const starts = json.objects("beginsAt").map((start) => ({
    epoch: start.integer("epoch") as Epoch,
    seq: start.integer("seq") as SegmentSeq,
  }));
  const ascending = starts.every((start, index) => {
    const before = starts[index - 1];
    return before === undefined || (before.epoch < start.epoch && before.seq <= start.seq);
  });
  if (!ascending) throw new FormatError("malformed", "lease whose epochs do not ascend");
  return starts;
}
