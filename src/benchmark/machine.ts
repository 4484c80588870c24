import { availableParallelism, cpus, release, totalmem } from "node:os";
import type { Machine } from "./result.js";

/** What the figures were taken on. */
export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.versions.node,
  };
}
