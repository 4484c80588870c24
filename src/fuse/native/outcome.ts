import type { MaybePromise } from "../../fs/index.js";

/** What a handler returns: the length of the body it wrote to the reply buffer, a negative errno, or an answer to come. */
export type Outcome = number | Later;

/** A result that has arrived after its handler returned. */
export interface LateResult {
  /** Writes the body to the reply buffer, which is everybody's: the reply leaves in the same turn. */
  encode(): number;
  /** Gives back what the result holds, as nobody waits for it any more. */
  discard(): void;
}

/** An answer that somebody waits for. */
export class Later {
  constructor(
    readonly result: Promise<LateResult>,
    /** The caller may be told EINTR meanwhile: nothing it could see is half done. */
    readonly interruptible: boolean,
  ) {}
}

export interface LaterOptions<T> {
  readonly interruptible?: boolean;
  /** Gives the result back when nobody waits for it any more. */
  readonly discard?: (value: T) => void;
}

/** Encodes a value now if it is there, else when it comes. */
export function answer<T>(
  value: MaybePromise<T>,
  encode: (value: T) => number,
  options: LaterOptions<T> = {},
): Outcome {
  if (!(value instanceof Promise)) return encode(value);
  const result = value.then((settled) => ({
    encode: () => encode(settled),
    discard: () => options.discard?.(settled),
  }));
  return new Later(result, options.interruptible ?? false);
}

/** Goes on with a value now if it is there, else when it comes. */
export function whenReady<T, U>(value: MaybePromise<T>, next: (value: T) => MaybePromise<U>): MaybePromise<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}
