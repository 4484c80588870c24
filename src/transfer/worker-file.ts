import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { InvariantError } from "../base/index.js";

/**
 * The compiled entry of the worker threads. Node 20 runs no TypeScript, so a process that runs from the sources (the
 * tests) uses the build beside them: `npm run build` comes before `vitest`.
 */
export function workerFile(): string {
  const beside = fileURLToPath(new URL("./worker-entry.cjs", import.meta.url));
  const built = fileURLToPath(new URL("../../dist/transfer/worker-entry.cjs", import.meta.url));
  const found = [beside, built].find((path) => existsSync(path));
  if (found === undefined) throw new InvariantError(`${built} is not there: run "npm run build" first`);
  return found;
}
