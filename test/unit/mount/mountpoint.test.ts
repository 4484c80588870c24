import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { detachMount } from "../../../src/mount/detach-mount.js";
import { describeUsers, mountUsers } from "../../../src/mount/mount-users.js";
import { mountpointState, prepareMountpoint, resolveMountpoint } from "../../../src/mount/mountpoint.js";

let directory: string;
let mountpoint: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "podfs-mountpoint-"));
  mountpoint = join(directory, "mount");
  await mkdir(mountpoint);
});

afterEach(() => rm(directory, { recursive: true }));

describe("a mountpoint", () => {
  test("is fine when it is an empty directory, or the root of a fresh ext4", async () => {
    expect(await mountpointState(mountpoint)).toBe("free");
    expect(await prepareMountpoint(mountpoint)).toBe(false);
    await mkdir(join(mountpoint, "lost+found"));
    expect(await prepareMountpoint(mountpoint)).toBe(false);
  });

  test("is refused when it is missing, no directory, or not empty", async () => {
    await expect(prepareMountpoint(join(directory, "none"))).rejects.toThrow(/does not exist; make it: mkdir -p/);
    await writeFile(join(mountpoint, "notes"), "");
    await expect(prepareMountpoint(mountpoint)).rejects.toThrow(/is not empty \("notes" is in it\)/);
    await expect(prepareMountpoint(join(mountpoint, "notes"))).rejects.toThrow(/is not a directory/);
  });

  test("is known by its real path, whether it is there or not", async () => {
    await symlink("mount", join(directory, "link"));
    expect(await resolveMountpoint(join(directory, "link"))).toBe(mountpoint);
    expect(await resolveMountpoint(join(directory, "link", "none"))).toBe(join(mountpoint, "none"));
    expect(await resolveMountpoint("/proc/")).toBe("/proc");
  });
});

const reason = whyNoMount();

describe.skipIf(reason !== undefined)(
  `a mount without a server${reason === undefined ? "" : ` (skipped: ${reason})`}`,
  () => {
    test("that died is found dead, and cleaned away by the next mount", async () => {
      const server = await mountUnanswered(mountpoint);
      await ended(server);
      expect(await mountpointState(mountpoint)).toBe("dead");
      expect(await resolveMountpoint(mountpoint)).toBe(mountpoint);
      expect(await prepareMountpoint(mountpoint)).toBe(true);
      expect(await mountpointState(mountpoint)).toBe("free");
    });

    test("that hangs is found hung without hanging us, and can be detached", async () => {
      const server = await mountUnanswered(mountpoint);
      expect(await mountpointState(mountpoint)).toBe("hung");
      await expect(prepareMountpoint(mountpoint)).rejects.toThrow(/does not answer; end it with podfs umount --force/);
      await detachMount(mountpoint);
      expect(await mountpointState(mountpoint)).toBe("free");
      await ended(server);
    });
  },
);

describe("users of a mount", () => {
  test("are found by their working directory and open files, and named", async () => {
    const child = spawn("sh", ["-c", "exec 3>open-file; echo started; read line"], { cwd: mountpoint });
    await new Promise((resolve) => child.stdout.once("data", resolve));
    const users = await mountUsers(mountpoint);
    expect(users).toEqual([{ pid: child.pid, name: "sh", path: mountpoint }]);
    expect(describeUsers(users)).toBe(`sh (pid ${child.pid}, in ${mountpoint})`);
    child.stdin.end();
    await new Promise((resolve) => child.once("close", resolve));
    expect(await mountUsers(mountpoint)).toEqual([]);
  });
});

/** A process that holds /dev/fuse, mounted, and never reads a request. */
async function mountUnanswered(path: string): Promise<ChildProcess> {
  const options = "fd=3,rootmode=40000,user_id=0,group_id=0";
  const script = `exec 3<>/dev/fuse && mount -i -t fuse.podfs -o ${options} podfs "$1" && echo mounted && read line`;
  const server = spawn("sh", ["-c", script, "sh", path], { stdio: ["pipe", "pipe", "inherit"] });
  await new Promise((resolve, reject) => {
    server.stdout?.once("data", resolve);
    server.once("close", () => reject(new Error("cannot mount")));
  });
  return server;
}

function ended(server: ChildProcess): Promise<unknown> {
  server.stdin?.end();
  return new Promise((resolve) => server.once("close", resolve));
}

function whyNoMount(): string | undefined {
  const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  const CAP_SYS_ADMIN = 21n;
  if (((BigInt(`0x${capabilities}`) >> CAP_SYS_ADMIN) & 1n) === 0n) return "no CAP_SYS_ADMIN";
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
    return undefined;
  } catch {
    return "no /dev/fuse";
  }
}
