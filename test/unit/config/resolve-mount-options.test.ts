import { describe, expect, test } from "vitest";
import { ConfigError, type Environment, type MountFlags, resolveMountOptions } from "../../../src/config/index.js";

const user: Environment = {
  variables: {},
  uid: 1000,
  home: "/home/ada",
  hostname: "pod-1",
  workingDirectory: "/home/ada/project",
};
const root: Environment = { ...user, uid: 0, home: "/root" };

function resolve(flags: MountFlags = {}, volume = "/mnt/nfs/store", mountpoint = "/workspace", environment = user) {
  return resolveMountOptions(volume, mountpoint, flags, environment);
}

describe("mount options", () => {
  test("have defaults for everything but the sizes, which depend on the disk", () => {
    expect(resolve()).toEqual({
      volumeUrl: "/mnt/nfs/store",
      mountpoint: "/workspace",
      create: false,
      cacheDir: expect.stringMatching(/^\/home\/ada\/\.cache\/podfs\/mnt-nfs-store-[0-9a-f]{12}$/),
      durability: "fsync",
      readOnly: false,
      foreground: false,
      transport: "native",
      passthrough: true,
      allowOther: false,
      takeOver: false,
      drainTimeoutMs: 25_000,
      stateDir: "/home/ada/.local/state/podfs",
    });
  });

  test("survive being sent as JSON", () => {
    const options = resolve({ cacheSize: "200G", freeSpace: "1.5GiB", timeout: "2m", cacheDir: "cache" });
    expect(options).toMatchObject({
      cacheSizeBytes: 200 * 1024 ** 3,
      freeSpaceBytes: 1.5 * 1024 ** 3,
      drainTimeoutMs: 120_000,
      cacheDir: "/home/ada/project/cache",
    });
    expect(JSON.parse(JSON.stringify(options))).toEqual(options);
  });

  test("put root's cache and state where pods have a disk of their own, not into its home", () => {
    const options = resolve({}, "s3://bucket/a", "/workspace", root);
    expect(options.cacheDir).toMatch(/^\/var\/cache\/podfs\/bucket-a-/);
    expect(options.stateDir).toBe("/var/lib/podfs");
  });

  test("follow XDG directories, and PODFS_STATE_DIR before them", () => {
    const variables = { XDG_CACHE_HOME: "/scratch/cache", XDG_STATE_HOME: "/scratch/state" };
    const xdg = resolve({}, "/store", "/workspace", { ...root, variables });
    expect(xdg.cacheDir).toMatch(/^\/scratch\/cache\/podfs\/store-/);
    expect(xdg.stateDir).toBe("/scratch/state/podfs");
    const chosen = { ...root, variables: { ...variables, PODFS_STATE_DIR: "here" } };
    expect(resolve({}, "/store", "/workspace", chosen).stateDir).toBe("/home/ada/project/here");
  });

  test("give every volume a cache directory of its own, and one volume always the same", () => {
    const caches = ["/aaa/b", "/aaa-b", "s3://aaa/b", "s3://aaa/b?endpoint=http://localhost:9000"].map(
      (volume) => resolve({}, volume).cacheDir,
    );
    expect(new Set(caches).size).toBe(caches.length);
    expect(resolve({}, "../../../mnt//nfs/store/").cacheDir).toBe(resolve().cacheDir);
  });

  test.each<[string, MountFlags, RegExp]>([
    ["a size that is none", { cacheSize: "lots" }, /^--cache-size: "lots" is not a size; write it like/],
    ["a size that is negative", { freeSpace: "-1G" }, /^--free-space: "-1G" is not a size/],
    ["a time without unit", { timeout: "25" }, /^--timeout: "25" is not a time; write it like 30s/],
    ["a cache that is too small", { cacheSize: "1M" }, /^--cache-size 1M is too small.* at least 64 MiB$/],
    ["an unknown durability", { durability: "never" }, /^--durability never: choose one of fsync, close, local$/],
    ["an unknown transport", { transport: "fuse3" }, /^--transport fuse3: choose one of native, fuse-native$/],
    ["creating without writing", { create: true, readOnly: true }, /^--create writes a volume and --read-only/],
    ["taking over without writing", { takeOver: true, readOnly: true }, /^--take-over is about who may write/],
    ["a cache below the mount point", { cacheDir: "/workspace/.cache" }, /would be hidden by the mount itself/],
    ["a cache in the volume", { cacheDir: "/mnt/nfs/store/cache" }, /must not contain each other$/],
    ["a volume in the cache", { cacheDir: "/mnt/nfs" }, /must not contain each other$/],
  ])("refuse %s in one line that teaches", (_, flags, message) => {
    const error = caught(() => resolve(flags));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain("\n");
  });

  test("refuse to mount a volume over itself", () => {
    expect(() => resolve({}, "/workspace/store")).toThrow(/volume \/workspace\/store would be hidden/);
    expect(() => resolve({}, "/workspace-store")).not.toThrow();
    expect(() => resolve({}, "/store", "")).toThrow(/mount point is empty/);
  });
});

function caught(action: () => unknown): Error {
  try {
    action();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("nothing was thrown");
}
