import { describe, expect, test } from "vitest";
import { mountStatePaths } from "../../../src/config/index.js";

const SOCKET_PATH_BYTES_MAX = 107;

describe("the state of a mount", () => {
  test("has a place of its own for every mountpoint and machine", () => {
    const directories = [
      mountStatePaths("/state", "/workspace", "pod-1"),
      mountStatePaths("/state", "/workspace", "pod-2"),
      mountStatePaths("/state", "/work/space", "pod-1"),
      mountStatePaths("/state", "/work-space", "pod-1"),
    ].map(({ directory }) => directory);
    expect(new Set(directories).size).toBe(directories.length);
    expect(directories[0]).toMatch(/^\/state\/workspace-[0-9a-f]{12}$/);
  });

  test("keeps the socket's path short enough for the kernel, however deep the mountpoint is", () => {
    const { controlSocket } = mountStatePaths("/home/somebody/.local/state/podfs", `/${"deep/".repeat(100)}mount`, "h");
    expect(Buffer.byteLength(controlSocket)).toBeLessThan(SOCKET_PATH_BYTES_MAX);
  });

  test("can name any mountpoint", () => {
    for (const mountpoint of ["/", "/…", "/.hidden", "/with blank"]) {
      expect(mountStatePaths("/state", mountpoint, "h").directory).toMatch(/^\/state\/[A-Za-z0-9][A-Za-z0-9.-]*$/);
    }
  });
});
