import { PodfsError } from "../base/index.js";

export type ConfigErrorKind =
  /** An option, or the volume's address, cannot be read. */
  | "invalid-option"
  /** Two options that exclude each other. */
  | "conflict";

/** What was asked for makes no sense, whatever the state of the machine: a usage error. */
export class ConfigError extends PodfsError<ConfigErrorKind> {
  override readonly name = "ConfigError";
}
