import { BytesError, PodfsError } from "../base/index.js";

export type FormatErrorKind =
  /** The bytes end before the value does. */
  | "truncated"
  /** Not this kind of object at all. */
  | "bad-magic"
  /** Right kind, changed on the way: the checksum or the hash says otherwise. */
  | "bad-checksum"
  /** Written by a newer podfs; the message says which version or feature it takes. */
  | "too-new"
  /** The bytes are as they were written, and what was written makes no sense. */
  | "malformed";

/** Stored bytes that are not what they should be. Never retryable: the same bytes will say the same. */
export class FormatError extends PodfsError<FormatErrorKind> {
  override readonly name = "FormatError";
}

/** Runs a decoder over outside bytes and turns what {@link ByteReader} throws into this layer's error. */
export function decoding<T>(what: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof BytesError)) throw error;
    throw new FormatError(error.kind === "truncated" ? "truncated" : "malformed", `${what}: ${error.message}`, {
      cause: error,
    });
  }
}

/** Checks the length of a record that has only one. @throws FormatError truncated, malformed. */
export function expectLength(what: string, length: number, expected: number): void {
  if (length === expected) return;
  throw new FormatError(
    length < expected ? "truncated" : "malformed",
    `${what} has ${length} bytes instead of ${expected}`,
  );
}
