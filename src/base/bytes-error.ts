import { PodfsError } from "./errors.js";

export type BytesErrorKind =
  /** The bytes end before the value does. */
  | "truncated"
  /** The bytes are there and cannot mean what was asked for (over-long varint, number above 2^53, left-over bytes). */
  | "malformed"
  /** The value to write does not fit its field. */
  | "out-of-range";

/** Bytes and values that do not fit each other. Decoders of outside data turn it into their own error. */
export class BytesError extends PodfsError<BytesErrorKind> {
  override readonly name = "BytesError";
}

/** 8 × 7 bits hold every safe integer (53 bits). */
export const VARINT_LENGTH_MAX = 8;
export const TWO_POW_32 = 0x1_0000_0000;
