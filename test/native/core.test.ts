import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const run = promisify(execFile);
const DIRECTORY = fileURLToPath(new URL("../../native/test", import.meta.url));
const COMPILE_MS_MAX = 600_000;

test(
  "the native core passes its own tests without Node",
  async () => {
    const { stdout } = await run("make", ["-s", "-C", DIRECTORY, "check"]);
    // Skips are told: the last line counts them.
    console.log(stdout.trim().split("\n").at(-1));
    expect(stdout).toMatch(/, 0 failures\n$/);
  },
  COMPILE_MS_MAX,
);
