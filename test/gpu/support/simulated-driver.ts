import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SOURCES = fileURLToPath(new URL("../simulated-cuda", import.meta.url));
const OUTPUT = fileURLToPath(new URL("../../../build/simulated-cuda", import.meta.url));

/**
 * Builds the simulated driver (test/gpu/simulated-cuda/api.h), where it has changed. Needs make and c++, as the addon does.
 * @returns the directory with its libcuda.so.1: for LD_LIBRARY_PATH, which a process reads once, when it starts.
 */
export function buildSimulatedDriver(): string {
  mkdirSync(OUTPUT, { recursive: true });
  // Test files run in processes of their own, several at once.
  const make = ["make", "--silent", "-C", SOURCES, `OUT=${OUTPUT}`];
  execFileSync("flock", [join(OUTPUT, "lock"), ...make], { stdio: ["ignore", "ignore", "inherit"] });
  return OUTPUT;
}

/** The environment of a program that finds the simulated driver. `settings` as in api.h, without their common prefix. */
export function simulatedDriverEnvironment(settings: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const named = Object.entries(settings).map(([name, value]) => [`SIMULATED_CUDA_${name}`, value]);
  return { ...process.env, LD_LIBRARY_PATH: buildSimulatedDriver(), ...Object.fromEntries(named) };
}
