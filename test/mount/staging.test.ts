import { createHash } from "node:crypto";
import { open, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { mountObstacle, PodfsMachine, shell, waitUntil } from "../support/podfs.js";
import { type S3TestServer, startS3Server } from "../support/s3-server.js";
import { FILE, patternBytes, StagingTestClient } from "../support/staging-client.js";

const MIB = 1 << 20;
const obstacle = mountObstacle();
const STEADY_SAVES = 4;
const SAVES_MAX = 24;

const xattrs = (workspace: string): string => `python3 - <<'PY'
import errno, os
os.chdir(${JSON.stringify(workspace)})
os.mkdir("d"); open("d/f", "w").close()
name = "user.podfs.staging"
said = {os.getxattr(path, name) for path in [".", "d", "d/f"]}
for path in [".", "d", "d/f"]:
    assert name not in os.listxattr(path), path
    for change in [lambda: os.setxattr(path, name, b"/evil"), lambda: os.removexattr(path, name)]:
        try: change(); raise SystemExit("it can be changed")
        except OSError as error: assert error.errno == errno.EPERM, error
(socket,) = said
print(socket.decode(), end="")
PY`;

describe.skipIf(obstacle !== undefined)(`checkpoints through the staging socket (${obstacle ?? "real mounts"})`, () => {
  const machines: PodfsMachine[] = [];
  const clients: StagingTestClient[] = [];
  const undo: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const client of clients.splice(0)) if (!client.closed) await client.close();
    for (const step of undo.splice(0)) await step();
    for (const machine of machines.splice(0)) await machine.dispose();
  });

  async function newMachine(environment: NodeJS.ProcessEnv = {}): Promise<PodfsMachine> {
    const machine = await PodfsMachine.create(environment);
    machines.push(machine);
    return machine;
  }

  async function mounted(...options: string[]) {
    const machine = await newMachine();
    const store = await machine.path("store");
    const workspace = await machine.path("workspace");
    const { pid } = await machine.mount(store, workspace, "--create", ...options);
    const { staging } = await machine.status(workspace);
    return { machine, store, workspace, pid, socket: staging?.socket ?? "", parent: (await stat(workspace)).ino };
  }

  async function connect(socket: string, hello = {}): Promise<StagingTestClient> {
    const client = await StagingTestClient.connect(socket, { slots: 8, ...hello });
    clients.push(client);
    return client;
  }

  it.each([{ options: [] }, { options: ["--no-passthrough"] }])(
    "appear whole, where the kernel had been told that there is nothing $options",
    async ({ options }) => {
      const { machine, workspace, socket, parent } = await mounted(...options);
      const path = join(workspace, "a.safetensors");
      await expect(stat(path)).rejects.toThrow("ENOENT");
      expect(await readdir(workspace)).toEqual([]);
      const before = await stat(workspace);
      const client = await connect(socket);
      const bytes = patternBytes(70 * MIB + 123, 1);
      await client.begin({ ...FILE, save: 1, parent, name: "a.safetensors", sizeBytes: bytes.length, mode: 0o640 });
      await client.putAll(1, bytes);
      await expect(stat(path)).rejects.toThrow("ENOENT");
      const ino = await client.commit(1);
      const found = await stat(path);
      expect(found).toMatchObject({ ino, size: bytes.length, mode: 0o100640, nlink: 1 });
      expect(Math.abs(found.mtimeMs - Date.now())).toBeLessThan(60_000);
      expect((await stat(workspace)).mtimeMs).toBeGreaterThan(before.mtimeMs);
      expect(await readdir(workspace)).toEqual(["a.safetensors"]);
      expect((await readFile(path)).equals(bytes)).toBe(true);
      await client.durable(1);
      expect((await machine.status(workspace)).publish.pendingFiles).toBe(0);
      // An ordinary file from then on.
      await shell(workspace, "printf x >> a.safetensors && mv a.safetensors b && cp b c && rm b");
      expect((await stat(join(workspace, "c"))).size).toBe(bytes.length + 1);
      await machine.unmount(workspace);
    },
  );

  it.each([{ durability: "fsync" }, { durability: "close" }, { durability: "local" }])(
    "are seen elsewhere once they are published, never before, and never in part (--durability $durability)",
    async ({ durability }) => {
      const { machine, store, workspace, socket, parent } = await mounted("--durability", durability);
      const elsewhere = await newMachine();
      const reader = await elsewhere.path("reader");
      await elsewhere.mount(store, reader, "--read-only");
      const versions = [patternBytes(20 * MIB, 1), patternBytes(20 * MIB, 2)];
      const hashes = versions.map((bytes) => createHash("sha1").update(bytes).digest("hex"));
      const client = await connect(socket);
      await client.begin({ ...FILE, save: 1, parent, name: "a", sizeBytes: 20 * MIB });
      await client.putAll(1, versions[0]!);
      await machine.flush(workspace);
      await expect(stat(join(reader, "a"))).rejects.toThrow("ENOENT");
      await client.commit(1);
      await client.durable(1);
      // A mount that loads the log after "published" has it; this one looks every few seconds.
      await waitUntil(async () => (await readdir(reader)).includes("a"), "the reader has looked");
      const hash = async () =>
        createHash("sha1")
          .update(await readFile(join(reader, "a")))
          .digest("hex");
      expect(await hash()).toBe(hashes[0]);
      await client.save({ save: 2, parent, name: "a", replace: true }, versions[1]!, ["nothing"]);
      await client.durable(2);
      await waitUntil(async () => {
        const seen = await hash().catch(() => undefined);
        if (seen !== undefined) expect(hashes).toContain(seen);
        return seen === hashes[1];
      }, "the reader has the second");
      await machine.unmount(workspace);
      await elsewhere.unmount(reader);
    },
  );

  it("are found by any path of the mount, by nobody's leave", async () => {
    const { machine, store, workspace, socket } = await mounted();
    expect(await shell("/", xattrs(workspace))).toBe(socket);
    expect((await stat(socket)).mode & 0o777).toBe(0o600);
    await machine.unmount(workspace);
    await expect(stat(socket)).rejects.toThrow("ENOENT");
    const none = `python3 -c 'import os, sys; os.getxattr(sys.argv[1], "user.podfs.staging")' ${workspace}`;
    for (const options of [["--read-only"], ["--staging-memory", "0"]]) {
      await machine.mount(store, workspace, ...options);
      expect((await machine.status(workspace)).staging).toBeNull();
      await expect(shell("/", none)).rejects.toThrow("No data available");
      await machine.unmount(workspace);
    }
  });

  it.each([{ options: [] }, { options: ["--no-passthrough"] }])(
    "replace files that others have open $options",
    async ({ options }) => {
      const { machine, workspace, socket, parent } = await mounted(...options);
      const path = join(workspace, "a");
      await writeFile(path, "old");
      const reader = await open(path, "r");
      const writer = await open(path, "r+");
      const old = await stat(path);
      const client = await connect(socket);
      const bytes = patternBytes(100_000, 1);
      await expect(client.begin({ ...FILE, save: 1, parent, name: "a", sizeBytes: 5 })).rejects.toMatchObject({
        kind: "exists",
      });
      await client.save({ save: 2, parent, name: "a", replace: true }, bytes);
      await writer.write("OLD", 0);
      expect((await reader.read(Buffer.alloc(3), 0, 3, 0)).buffer.toString()).toBe("OLD");
      expect(await reader.stat()).toMatchObject({ ino: old.ino, nlink: 0 });
      expect((await readFile(path)).equals(bytes)).toBe(true);
      await reader.close();
      await writer.close();
      await client.durable(2);
      await machine.unmount(workspace);
    },
  );

  it("are nowhere when the mount ends in the middle, and do not keep it from ending", async () => {
    const { machine, store, workspace, socket, parent } = await mounted();
    const client = await connect(socket);
    await client.begin({ ...FILE, save: 1, parent, name: "half", sizeBytes: 32 * MIB });
    await client.putAll(1, patternBytes(16 * MIB, 1));
    await client.save({ save: 2, parent, name: "whole" }, patternBytes(5 * MIB, 2));
    await machine.unmount(workspace);
    await expect(client.answer("begun", 1)).rejects.toMatchObject({ type: "failed", kind: "closing" });
    await waitUntil(() => client.closed, "the mount has hung up");
    const elsewhere = await newMachine();
    const reader = await elsewhere.path("reader");
    await elsewhere.mount(store, reader, "--read-only");
    expect(await readdir(reader)).toEqual(["whole"]);
    expect((await readFile(join(reader, "whole"))).equals(patternBytes(5 * MIB, 2))).toBe(true);
    await elsewhere.unmount(reader);
    expect(await contentBytes(machine)).toBe(5 * MIB);
  });

  it("are refused once another machine writes the volume", async () => {
    const { machine, store, workspace, socket, parent } = await mounted();
    const client = await connect(socket);
    await client.begin({ ...FILE, save: 1, parent, name: "a", sizeBytes: 100 });
    await client.put(1, 0, patternBytes(100, 1));
    const other = await newMachine();
    const theirs = await other.path("workspace");
    await other.mount(store, theirs, "--take-over");
    await waitUntil(async () => (await machine.status(workspace)).state === "fenced", "the first hears of it");
    await expect(client.commit(1)).rejects.toMatchObject({ kind: "read-only" });
    const begun = client.begin({ ...FILE, save: 2, parent, name: "b", sizeBytes: 100 });
    await expect(begun).rejects.toMatchObject({ kind: "read-only" });
    expect(await readdir(theirs)).toEqual([]);
    await other.unmount(theirs);
  });

  it("have their room from the beginning, on a disk that others fill", async () => {
    const machine = await newMachine();
    const disk = await machine.path("disk");
    await shell("/", `mount -t tmpfs -o size=256m tmpfs ${disk}`);
    undo.push(() => shell("/", `umount -l ${disk} || true`));
    const workspace = await machine.path("workspace");
    const options = ["--cache-dir", join(disk, "cache"), "--free-space", "0", "--durability", "local"];
    await machine.mount(await machine.path("store"), workspace, "--create", ...options);
    const { staging } = await machine.status(workspace);
    const client = await connect(staging?.socket ?? "");
    const parent = (await stat(workspace)).ino;
    const tooLarge = client.begin({ ...FILE, save: 1, parent, name: "a", sizeBytes: 300 * MIB });
    await expect(tooLarge).rejects.toMatchObject({ kind: "no-space" });
    const bytes = patternBytes(64 * MIB + 1, 1);
    await client.begin({ ...FILE, save: 2, parent, name: "b", sizeBytes: bytes.length });
    await shell("/", `dd if=/dev/zero of=${disk}/others bs=1M status=none 2>/dev/null || true`);
    const late = client.begin({ ...FILE, save: 3, parent, name: "c", sizeBytes: 64 * MIB });
    await expect(late).rejects.toMatchObject({ kind: "no-space" });
    await client.putAll(2, bytes);
    await client.commit(2);
    expect((await readFile(join(workspace, "b"))).equals(bytes)).toBe(true);
    await client.close();
    await shell("/", `rm ${disk}/others`);
    await machine.unmount(workspace);
  });

  it("come from eight processes at once, and retire older ones, in a bucket", async () => {
    const server: S3TestServer = await startS3Server();
    undo.push(() => server.close());
    const machine = await newMachine(server.environment);
    const workspace = await machine.path("workspace");
    const url = await server.createVolumeUrl();
    await machine.mount(url, workspace, "--create", "--staging-memory", "160M");
    const { staging } = await machine.status(workspace);
    const parent = (await stat(workspace)).ino;
    const ranks = await Promise.all(Array.from({ length: 8 }, () => connect(staging?.socket ?? "", { slots: 4 })));
    const bytesOf = (rank: number, step: number) => patternBytes(9 * MIB + rank * 4096 + 5, step * 100 + rank);
    for (const step of [1, 2]) {
      await Promise.all(
        ranks.map(async (client, rank) => {
          const old = step === 1 ? [] : [`step-1-${rank}`];
          await client.save({ save: step, parent, name: `step-${step}-${rank}` }, bytesOf(rank, step), old);
          await client.durable(step);
        }),
      );
    }
    const expected = ranks.map((_, rank) => `step-2-${rank}`);
    await waitUntil(async () => (await readdir(workspace)).length === 8, "the first step is retired");
    expect((await readdir(workspace)).sort()).toEqual(expected);
    await machine.unmount(workspace);
    const elsewhere = await newMachine(server.environment);
    const reader = await elsewhere.path("reader");
    await elsewhere.mount(url, reader);
    expect((await readdir(reader)).sort()).toEqual(expected);
    for (const [rank, name] of expected.entries()) {
      expect((await readFile(join(reader, name))).equals(bytesOf(rank, 2))).toBe(true);
    }
    await elsewhere.unmount(reader);
  });

  it("take no memory of the daemon but their ring", async () => {
    const { machine, workspace, socket, parent, pid } = await mounted("--durability", "local");
    const client = await connect(socket);
    let base = 0;
    // Uploads have buffers of their own, whoever wrote the file, which come when a thread first uploads, whenever that is.
    // Some time 256 MiB go through a ring of 16, and nothing comes any more.
    for (let number = 0, steady = 0; steady < STEADY_SAVES; number++) {
      expect(number).toBeLessThan(SAVES_MAX);
      await client.save({ save: number, parent, name: `a${number}` }, patternBytes(64 * MIB, number));
      await client.durable(number);
      const bytes = await anonymousBytes(pid);
      steady = bytes > base + 16 * MIB ? 0 : steady + 1;
      if (steady === 0) base = bytes;
    }
    await machine.unmount(workspace);
  });
});

/** Memory that belongs to the process alone: neither the ring nor files. */
async function anonymousBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}

/** What all content files in the caches of a machine hold. */
async function contentBytes(machine: PodfsMachine): Promise<number> {
  const script = `find "${machine.directory}/cache" -path '*/content/*' -type f -printf '%s\\n' | awk '{ n += $1 } END { print n + 0 }'`;
  return Number(await shell("/", script));
}
