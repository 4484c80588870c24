import { asBuffer } from "./fields.js";
import { FormatError } from "./format-error.js";
import { FORMAT_VERSION } from "./framing.js";
import { JsonObject } from "./json.js";
import { CHUNK_SIZE_BYTES } from "./records.js";

/** What `podfs.json` says about a volume. Written once, at its creation. */
export interface Descriptor {
  readonly formatVersion: number;
  /** The oldest podfs that can use the volume, for the message of one that is older. */
  readonly needsPodfs: string;
  /** RFC 9562, lowercase. */
  readonly uuid: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  readonly chunkSizeBytes: number;
  /** How new chunks and metadata are compressed. Every chunk also says it for itself. */
  readonly compression: "zstd";
  readonly features: {
    /** A podfs that does not know one of these must not touch the volume. */
    readonly required: readonly string[];
    /** A podfs that does not know these may ignore them. */
    readonly optional: readonly string[];
  };
}

const KIND = "podfs volume";
const KNOWN_FEATURES: ReadonlySet<string> = new Set();
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The descriptor of a volume made by this podfs. */
export function newDescriptor(volume: { readonly uuid: string; readonly createdAt: Date }): Descriptor {
  return {
    formatVersion: FORMAT_VERSION,
    needsPodfs: "0.1.0",
    uuid: volume.uuid,
    createdAt: volume.createdAt.toISOString(),
    chunkSizeBytes: CHUNK_SIZE_BYTES,
    compression: "zstd",
    features: { required: [], optional: [] },
  };
}

/** Readable JSON: FORMATS, section "Descriptor". */
export function encodeDescriptor(descriptor: Descriptor): Buffer {
  return Buffer.from(`${JSON.stringify({ kind: KIND, ...descriptor }, undefined, 2)}\n`, "utf8");
}

/**
 * @throws FormatError bad-magic when it is not a descriptor; too-new when the volume takes a newer podfs, with one
 *   line that says which; malformed.
 */
export function decodeDescriptor(bytes: Uint8Array): Descriptor {
  const json = parse(asBuffer(bytes).toString("utf8"));
  const formatVersion = json.integer("formatVersion");
  const needsPodfs = json.string("needsPodfs");
  if (formatVersion > FORMAT_VERSION) {
    throw tooNew(`format version ${formatVersion} (this podfs knows versions up to ${FORMAT_VERSION})`, needsPodfs);
  }
  const features = json.object("features");
  const required = features.strings("required");
  const unknown = required.filter((name) => !KNOWN_FEATURES.has(name));
  if (unknown.length > 0) throw tooNew(`features this podfs does not know: ${unknown.join(", ")}`, needsPodfs);
  return {
    formatVersion,
    needsPodfs,
    uuid: checked(json.string("uuid"), (uuid) => UUID.test(uuid), "uuid"),
    createdAt: checked(json.string("createdAt"), (date) => !Number.isNaN(Date.parse(date)), "createdAt"),
    chunkSizeBytes: checked(json.integer("chunkSizeBytes"), (size) => size === CHUNK_SIZE_BYTES, "chunkSizeBytes"),
    compression: checked(json.string("compression"), (name) => name === "zstd", "compression") as "zstd",
    features: { required, optional: features.strings("optional") },
  };
}

function parse(text: string): JsonObject {
  let json: JsonObject;
  try {
    json = JsonObject.parse("volume descriptor", text);
  } catch (error) {
    throw new FormatError("bad-magic", "not a podfs volume descriptor: it is not a JSON object", { cause: error });
  }
  if (json.members.kind === KIND) return json;
  throw new FormatError("bad-magic", `not a podfs volume descriptor: its kind is not ${JSON.stringify(KIND)}`);
}

function tooNew(what: string, needsPodfs: string): FormatError {
  return new FormatError("too-new", `the volume has ${what}: use podfs ${needsPodfs} or newer`);
}

function checked<T>(value: T, valid: (value: T) => boolean, name: string): T {
  if (valid(value)) return value;
  throw new FormatError("malformed", `volume descriptor: ${name} ${JSON.stringify(value)} makes no sense`);
}
