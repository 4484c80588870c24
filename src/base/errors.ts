/**
 * The root of every error podfs raises on purpose. Each layer has one subclass with a closed set of kinds, so
 * that one table can map kinds to errno, and one wrapper can decide what is worth trying again.
 */
export abstract class PodfsError<Kind extends string = string> extends Error {
  abstract override readonly name: string;

  constructor(
    readonly kind: Kind,
    message: string,
    options: { readonly retryable?: boolean; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.retryable = options.retryable ?? false;
  }

  /** True when the same call may succeed later with nothing changed. */
  readonly retryable: boolean;
}

/** Something a person asked for cannot be done: one line that says what is wrong and what to do, exit code 1. */
export class UserError extends PodfsError<"user"> {
  override readonly name = "UserError";
  constructor(message: string, cause?: unknown) {
    super("user", message, { cause });
  }
}

/** A promise the code makes to itself is broken. Stops the mount with a report; never becomes an errno. */
export class InvariantError extends PodfsError<"invariant"> {
  override readonly name = "InvariantError";
  constructor(message: string, cause?: unknown) {
    super("invariant", message, { cause });
  }
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}
