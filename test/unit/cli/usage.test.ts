import { describe, expect, test } from "vitest";
import { run } from "./run.js";

const COMMANDS = ["mount", "umount", "status", "flush", "checkpoint", "bench", "doctor", "version"];
const TERMINAL_WIDTH = 80;

describe("help", () => {
  test("lists every command", async () => {
    const { exitCode, stdout } = await run("--help");
    expect(exitCode).toBe(0);
    for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, "m"));
  });

  test.each(COMMANDS)("of %s has examples and fits a terminal", async (command) => {
    const { exitCode, stdout } = await run(command, "--help");
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`Examples:\n  podfs ${command}`);
    const longest = Math.max(...stdout.split("\n").map((line) => line.length));
    expect(longest).toBeLessThanOrEqual(TERMINAL_WIDTH);
  });

  test("is what one gets for nothing, as a usage error", async () => {
    const { exitCode, stdout, stderr } = await run();
    expect(exitCode).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toMatch(/^Usage: podfs COMMAND/);
  });
});

describe("a command line that makes no sense", () => {
  test.each([
    [["mont"], "unknown command 'mont' (Did you mean mount?); see podfs --help"],
    [["mount", "--crate", "a", "b"], "unknown option '--crate' (Did you mean --create?); see podfs mount --help"],
    [["mount", "a"], "missing required argument 'MOUNTPOINT'; see podfs mount --help"],
    [["version", "x"], "too many arguments for 'version'. Expected 0 arguments but got 1; see podfs version --help"],
    [["umount"], "missing required argument 'MOUNTPOINT'; see podfs umount --help"],
    [["flush", "a", "b"], expect.stringMatching(/^too many arguments/)],
    [["mount", "--cache-size", "1Q", "a", "b"], expect.stringMatching(/^--cache-size: "1Q" is not a size/)],
    [["mount", "gs://bucket", "b"], expect.stringMatching(/^podfs cannot store volumes in gs:/)],
    [["umount", "--timeout", "soon", "/x"], expect.stringMatching(/^--timeout: "soon" is not a time/)],
  ])("%j gets one line and exit code 2", async (args, message) => {
    const { exitCode, stdout, stderr } = await run(...args);
    expect(exitCode).toBe(2);
    expect(stdout).toBe("");
    expect(stderr.split("\n")).toEqual([expect.stringMatching(/^podfs: /), ""]);
    expect(stderr.slice("podfs: ".length, -1)).toEqual(message);
  });
});

describe("version", () => {
  test("prints podfs's own, Node's and the kernel's", async () => {
    expect((await run("version")).stdout).toMatch(/^podfs \d+\.\d+\.\d+ \(Node\.js \d+\.\d+\.\d+, Linux \d.*\)\n$/);
    expect(Object.keys(JSON.parse((await run("version", "--json")).stdout))).toEqual(["podfs", "node", "kernel"]);
  });
});
