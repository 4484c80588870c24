import { mkdir, mkdtemp, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { mountObstacle, PodfsMachine, shell } from "../support/podfs.js";
import { type S3TestServer, startS3Server } from "../support/s3-server.js";

const obstacle = mountObstacle();

describe.skipIf(obstacle !== undefined)(`wrong inputs (${obstacle ?? "real mounts"})`, () => {
  let server: S3TestServer;
  let machine: PodfsMachine;
  let store: string;
  let workspace: string;
  beforeAll(async () => {
    server = await startS3Server();
  });
  beforeEach(async () => {
    machine = await PodfsMachine.create(server.environment);
    store = await machine.path("store");
    workspace = await machine.path("workspace");
  });
  afterEach(() => machine.dispose());
  afterAll(() => server.close());

  /** Exit code ≠ 0, one line that matches, and nothing mounted. */
  async function refused(args: readonly string[], saying: RegExp): Promise<void> {
    const { code, stderr, stdout } = await machine.run(...args);
    expect({ code, stderr }).toMatchObject({ code: expect.not.stringMatching(/^0$/) });
    expect(code).not.toBe(0);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).toMatch(saying);
    expect(stdout).toBe("");
    expect(await readFile("/proc/self/mountinfo", "utf8")).not.toContain(machine.directory);
  }

  it("a directory backend that does not exist", async () => {
    await refused(["mount", "--create", join(machine.directory, "missing"), workspace], /does not exist|no such/i);
    expect(await readdir(machine.directory)).not.toContain("missing");
  });

  it("a bucket that does not exist", async () => {
    const url = (await server.createVolumeUrl()).replace(/s3:\/\/[^/?]+/, "s3://no-such-bucket-here");
    await refused(["mount", "--create", url, workspace], /no-such-bucket-here/);
  });

  it("a server that does not answer", async () => {
    await refused(
      ["mount", "--create", "s3://bucket/p?endpoint=http://127.0.0.1:9&region=us-east-1", workspace],
      /127\.0\.0\.1:9/,
    );
  });

  it("a directory that may only be read, with a volume and without one", async () => {
    const disk = await mkdtemp(join(tmpdir(), "podfs-read-only-"));
    const remount = (access: "ro" | "rw") => shell(disk, `mount -o remount,${access} ${disk}`);
    await shell("/", `mount -t tmpfs -o ro tmpfs ${disk}`);
    try {
      await refused(["mount", "--create", disk, workspace], /EROFS.*podfs has to write to .*: give it the right to$/m);
      await remount("rw");
      await machine.mount(disk, workspace, "--create");
      await machine.unmount(workspace);
      await remount("ro");
      await refused(["mount", disk, workspace], /give it the right to, or mount the volume with --read-only$/m);
      await machine.mount(disk, workspace, "--read-only");
      await machine.unmount(workspace);
    } finally {
      await shell("/", `umount ${disk}`);
      await rmdir(disk);
    }
  });

  it("a place that holds no volume, without --create, which stays empty", async () => {
    const cache = join(machine.directory, "new", "cache");
    for (const how of [[], ["--foreground"], ["--read-only"]]) {
      await refused(["mount", ...how, "--cache-dir", cache, store, workspace], /--create/);
    }
    expect(await readdir(store)).toEqual([]);
    expect(await readdir(machine.directory)).not.toContain("new");
  });

  it("a volume newer than this program", async () => {
    await machine.mount(store, workspace, "--create");
    await machine.unmount(workspace);
    const path = join(store, "podfs.json");
    const descriptor = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
    await writeFile(path, JSON.stringify({ ...descriptor, formatVersion: 999 }));
    await refused(["mount", store, workspace], /newer|upgrade|999/);
  });

  it("a mount point that is missing", async () => {
    await refused(["mount", "--create", store, join(machine.directory, "nowhere")], /nowhere/);
    expect(await readdir(store)).toEqual([]);
  });

  it("a mount point that is not empty", async () => {
    await writeFile(join(workspace, "precious"), "x");
    await refused(["mount", "--create", store, workspace], /not empty/);
    expect(await readdir(store)).toEqual([]);
  });

  it("a mount point that is mounted already", async () => {
    await machine.mount(store, workspace, "--create");
    const other = await machine.path("other-store");
    const { code, stderr } = await machine.run("mount", "--create", other, workspace);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/already/);
    expect(await readdir(other)).toEqual([]);
    await machine.unmount(workspace);
  });

  it("a cache directory that another mount uses", async () => {
    const cache = await machine.path("one-cache");
    await machine.mount(store, workspace, "--create", "--cache-dir", cache);
    const other = await machine.path("other-store");
    const elsewhere = await machine.path("elsewhere");
    const { code, stderr } = await machine.run("mount", "--create", "--cache-dir", cache, other, elsewhere);
    expect(code).not.toBe(0);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(stderr).toContain(cache);
    await machine.unmount(workspace);
  });

  it("a cache directory of another volume", async () => {
    const cache = await machine.path("one-cache");
    await machine.mount(store, workspace, "--create", "--cache-dir", cache);
    await machine.unmount(workspace);
    const other = await machine.path("other-store");
    await refused(["mount", "--create", "--cache-dir", cache, other, workspace], /belongs to|another volume/);
  });

  it("a cache directory that cannot be written", async () => {
    await refused(["mount", "--create", "--cache-dir", "/proc/podfs", store, workspace], /\/proc\/podfs/);
    expect(await readdir(store)).toEqual([]);
  });

  it("a cache that is too small", async () => {
    await refused(["mount", "--create", "--cache-size", "1M", store, workspace], /too small/);
  });

  it("an unknown option", async () => {
    await refused(["mount", "--craete", store, workspace], /--create/);
  });

  it("a status of what is not mounted", async () => {
    await refused(["status", workspace], /not.*mount/i);
    await refused(["flush", workspace], /not.*mount/i);
    await refused(["umount", workspace], /not.*mount/i);
  });

  it("wrong credentials", async () => {
    await refused(
      ["mount", "--create", await server.createVolumeUrl({ denied: true }), workspace],
      /denied|credentials/i,
    );
  });

  it("no /dev/fuse", async () => {
    // In a mount namespace of its own, where the device is hidden.
    const command = `unshare -m sh -c 'mount --bind /dev/null /dev/fuse 2>/dev/null; mount -t tmpfs none /dev/shm;
      rm -f /tmp/none; exec node "$0" "$@"'`;
    await mkdir(workspace, { recursive: true });
    const program = join(import.meta.dirname, "../../dist/cli/main.js");
    const outcome = await shell(
      machine.directory,
      `${command} ${program} mount --create ${store} ${workspace} 2>&1 || echo "exit $?"`,
      machine.environment,
    );
    expect(outcome).toMatch(/\/dev\/fuse/);
    expect(outcome).toMatch(/exit [1-9]/);
  });
});
