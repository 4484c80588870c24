import { execFile } from "node:child_process";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { loadAddon } from "../../src/native/index.js";

const { EAGAIN, EBADF, EISDIR, ENOENT, ENOSPC, ENOSYS, ENOTTY, EOPNOTSUPP, EPERM } = constants.errno;
const run = promisify(execFile);
const ADDON = fileURLToPath(new URL("../../build/Release/podfs.node", import.meta.url));
const hasFuse = existsSync("/dev/fuse") && process.getuid?.() === 0;

describe("system functions", () => {
  const addon = loadAddon();
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "podfs-system-"));
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(directory, { recursive: true });
  });

  test("has no access times kept of what is made in a directory afterwards", () => {
    const long = new Date("2001-02-03T04:05:06Z");
    const readAgain = (path: string): Date => {
      writeFileSync(path, "content");
      // Older than its modification: relatime(8) notes the next read.
      utimesSync(path, long, new Date());
      readFileSync(path);
      return statSync(path).atime;
    };
    const keepsTimes = readAgain(join(directory, "before")) > long;
    mkdirSync(join(directory, "sub"));
    const result = addon.disableAccessTimes(join(directory, "sub"));
    if (result !== 0) return expect([-ENOTTY, -EOPNOTSUPP, -EPERM]).toContain(result);
    mkdirSync(join(directory, "sub", "below"));
    expect(readAgain(join(directory, "sub", "file"))).toEqual(long);
    expect(readAgain(join(directory, "sub", "below", "file"))).toEqual(long);
    expect(readAgain(join(directory, "after")) > long).toBe(keepsTimes);
    expect(addon.disableAccessTimes(join(directory, "no"))).toBe(-ENOENT);
  });

  test("maps a file: what is stored is in it at once, and stays when the process is killed", async () => {
    const path = join(directory, "mapped");
    const script = `
      const { openSync } = require("node:fs");
      const mapped = require(process.argv[1]).mapFile(openSync(process.argv[2], "w+"), 8192);
      mapped.write("stored", 5000);
      process.kill(process.pid, "SIGKILL");`;
    await expect(run(process.execPath, ["-e", script, ADDON, path])).rejects.toMatchObject({ signal: "SIGKILL" });
    const content = readFileSync(path);
    expect(content).toHaveLength(8192);
    expect(content.toString("latin1", 5000, 5006)).toBe("stored");
    expect(addon.mapFile(-1, 4096)).toBe(-EBADF);
  });

  test.skipIf(process.getuid?.() !== 0)("does not map what a full disk has no room for", async () => {
    await run("mount", ["-t", "tmpfs", "-o", "size=64k", "podfs-test", directory]);
    const fd = openSync(join(directory, "mapped"), "w+");
    try {
      expect(addon.mapFile(fd, 1 << 20)).toBe(-ENOSPC);
    } finally {
      closeSync(fd);
      await run("umount", [directory]);
    }
  });

  test.each([100, 3000])("makes room for all %i files that a process may open, and opens none", async (limit) => {
    const script = `
      const { readFileSync, readdirSync } = require("node:fs");
      const addon = require(process.argv[1]);
      const before = readdirSync("/proc/self/fd").length;
      addon.reserveDescriptors().then((reserved) => {
        const size = Number(/^FDSize:\\s+(\\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))[1]);
        console.log(JSON.stringify({ reserved, size, opened: readdirSync("/proc/self/fd").length - before }));
      });`;
    const { stdout } = await run("sh", [
      "-c",
      `ulimit -n ${limit} && exec "$@"`,
      "-",
      process.execPath,
      "-e",
      script,
      ADDON,
    ]);
    const { reserved, size, opened } = JSON.parse(stdout) as { reserved: number; size: number; opened: number };
    expect({ reserved, opened }).toEqual({ reserved: limit, opened: 0 });
    expect(size).toBeGreaterThanOrEqual(limit);
  });

  test("a locked file is refused to others until its descriptor is closed", () => {
    const path = join(directory, "lock");
    const held = addon.lockFile(path);
    expect(held).toBeGreaterThan(0);
    expect(addon.lockFile(path)).toBe(-11);
    closeSync(held);
    const again = addon.lockFile(path);
    expect(again).toBeGreaterThan(0);
    closeSync(again);
    expect(addon.lockFile(join(directory, "no", "such"))).toBe(-2);
  });

  test("a file that the kernel knows is opened at once; one that it does not know is not waited for", ({ skip }) => {
    const path = join(directory, "known");
    writeFileSync(path, "bytes");
    const fd = addon.openCached(path);
    skip(fd === -ENOSYS, "before Linux 5.12 the kernel cannot tell");
    const bytes = Buffer.alloc(5);
    readSync(fd, bytes);
    writeSync(fd, "!", 5);
    closeSync(fd);
    expect(bytes.toString()).toBe("bytes");
    expect(readFileSync(path, "utf8")).toBe("bytes!");
    expect([-EAGAIN, -ENOENT]).toContain(addon.openCached(join(directory, "never", "there")));
    expect(addon.openCached(directory)).toBe(-EISDIR);
  });

  test("reflink clones or says why not", () => {
    const [from, to] = ["from", "to"].map((name) => openSync(join(directory, name), "w+"));
    expect(addon.reflink(from!, to!)).toBeLessThanOrEqual(0);
    expect(addon.reflink(-1, to!)).toBe(-9);
    for (const fd of [from!, to!]) closeSync(fd);
  });

  for (const what of ["passthrough", "io_uring", "o_direct", "memlock"] as const) {
    test(`the probe of ${what} answers with a reason and leaves nothing behind`, async () => {
      // It mounts there: others mount and probe elsewhere at the same time.
      vi.stubEnv("TMPDIR", directory);
      const result = await addon.probe(what, directory);
      expect(typeof result.ok).toBe("boolean");
      expect(result.detail).not.toBe("");
      expect(readFileSync("/proc/self/mounts", "utf8")).not.toContain(directory);
      expect(readdirSync(directory)).toEqual([]);
    });
  }

  test("mounting where there is nothing, or nothing to mount, is one clear line", async () => {
    await expect(addon.mountFuse(join(directory, "missing"), "", "x")).rejects.toThrow(/^ENO(ENT|DEV): .*/);
    await expect(addon.mountFuse("/dev/fd/99", "", "x")).rejects.toThrow(/EBADF: .*\/dev\/fd\/99 is not open/);
    await expect(addon.mountFuse("/dev/fd/1x", "", "x")).rejects.toThrow(/EINVAL/);
    const file = openSync(join(directory, "plain"), "w");
    await expect(addon.mountFuse(`/dev/fd/${file}`, "", "x")).rejects.toThrow(/is not an open \/dev\/fuse/);
    closeSync(file);
    await expect(addon.unmountFuse(directory, false)).rejects.toThrow(/EINVAL|EPERM/);
  });

  describe.skipIf(!hasFuse)("mounting (skipped without /dev/fuse and root)", () => {
    test("unknown options are refused by name", async () => {
      await expect(addon.mountFuse(directory, "no_such_option", "x")).rejects.toThrow(/EINVAL.*no_such_option/);
    });

    test("a descriptor that somebody has mounted is taken as it is", async () => {
      const fd = await addon.mountFuse(directory, "default_permissions", "x");
      expect(await addon.mountFuse(`/dev/fd/${fd}`, "", "x")).toBe(fd);
      await addon.unmountFuse(directory, true);
      closeSync(fd);
    });

    test("a user without rights mounts and unmounts by fusermount3", async (context) => {
      if (!existsSync("/usr/bin/fusermount3")) return context.skip("there is no fusermount3");
      // A copy that everybody may read: the checkout may lie in somebody's home.
      chmodSync(directory, 0o755);
      const copy = join(directory, "podfs.node");
      copyFileSync(ADDON, copy);
      const point = join(directory, "point");
      mkdirSync(point);
      writeFileSync(join(directory, "own"), "");
      await run("chown", ["-R", "65534:65534", directory]);
      const code = `
        const addon = require(${JSON.stringify(copy)}); const fs = require("node:fs");
        const shown = () => fs.readFileSync("/proc/self/mounts", "utf8").split("\\n").filter((line) => line.includes(${JSON.stringify(point)}));
        (async () => {
          const fd = await addon.mountFuse(${JSON.stringify(point)}, "nosuid,nodev,default_permissions,subtype=podfs", "a,b");
          console.log(shown().join());
          fs.closeSync(fd);
          await addon.unmountFuse(${JSON.stringify(point)}, true);
          console.log("left: " + shown().length);
          await addon.mountFuse("/proc", "", "x").catch((error) => console.log(error.message));
        })();`;
      // In a mount namespace of its own, with a device that everybody may open, as distributions have it.
      const asNobody = `mknod "$0/fuse" c 10 229 && chmod 666 "$0/fuse" && mount --bind "$0/fuse" /dev/fuse &&
        exec setpriv --reuid=65534 --regid=65534 --clear-groups "$1" -e "$2"`;
      const { stdout } = await run(
        "unshare",
        ["--mount", "--propagation", "private", "sh", "-c", asNobody, directory, process.execPath, code],
        { cwd: directory },
      );
      const [shown, left, refused] = stdout.trim().split("\n");
      expect(shown).toMatch(/^a,b .*fuse\.podfs .*user_id=65534/);
      expect(left).toBe("left: 0");
      expect(refused).toMatch(/^EPERM: .*fusermount3/);
    });
  });
});
