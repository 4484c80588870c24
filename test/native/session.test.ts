import { execFile, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open, readFile, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ATTRIBUTE_SLOT_BYTES, loadAddon } from "../../src/native/index.js";
import { MiniFilesystem, type OpenMode } from "./support/mini-filesystem.js";
import { Opcode, writeAttr } from "./support/protocol.js";

const run = promisify(execFile);
const MIB = 1 << 20;
const hasFuse = existsSync("/dev/fuse") && process.getuid?.() === 0;

describe.skipIf(!hasFuse)("a FUSE session (skipped without /dev/fuse and root)", () => {
  const addon = loadAddon();
  let directory: string;
  let fs: MiniFilesystem;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "podfs-content-"));
    fs = await MiniFilesystem.mount(addon);
  });
  afterEach(async () => {
    if (!fs.finished) await fs.unmount();
    rmSync(directory, { recursive: true });
  });

  function addFile(name: string, mode: OpenMode, bytes?: Uint8Array): string {
    const path = join(directory, name);
    writeFileSync(path, bytes ?? new Uint8Array(0));
    fs.add(name, { path, mode });
    return path;
  }

  test("names and attributes are answered by JavaScript, one request after the other", async () => {
    addFile("a", "served", randomBytes(1234));
    for (let i = 0; i < 200; i++) expect((await stat(fs.path("a"))).size).toBe(1234);
    await expect(stat(fs.path("missing"))).rejects.toThrow("ENOENT");
    const counters = fs.session.counters();
    expect(counters[counters.indexOf(1) + 1]).toBeGreaterThanOrEqual(200);
  });

  test("whether a file is a terminal is answered without JavaScript", async () => {
    addFile("a", "served");
    const python = "import os, sys; os.close(os.open(sys.argv[1], 0)); print(open(sys.argv[1], 'rb').isatty())";
    expect((await run("python3", ["-c", python, fs.path("a")])).stdout).toBe("False\n");
    const ioctl = 39;
    const counters = fs.session.counters();
    expect(counters[counters.indexOf(ioctl) + 1]).toBeGreaterThan(0);
    expect(fs.opcodes).not.toContain(ioctl);
  });

  test("attributes that are known are answered without JavaScript, for as long as they stand in the table", async () => {
    await fs.unmount();
    const attributes = new Uint8Array(4 * ATTRIBUTE_SLOT_BYTES);
    fs = await MiniFilesystem.mount(addon, { attributes });
    addFile("a", "served", randomBytes(1234));
    const size = async () => (await stat(fs.path("a"))).size;
    // Learnt is what the kernel may keep for good, which is nothing here.
    expect(await size()).toBe(1234);
    expect(Buffer.from(attributes).every((byte) => byte === 0)).toBe(true);
    const table = new DataView(attributes.buffer);
    const { ino } = fs.files.get("a")!;
    const put = (ino: number, mode: number, size: number): void => {
      writeAttr(table, ino * ATTRIBUTE_SLOT_BYTES + 24, { ino, mode, stat: new Float64Array([size]) });
      table.setUint32(ino * ATTRIBUTE_SLOT_BYTES, ino, true);
    };
    put(1, 0o40755, 0);
    put(ino, 0o100644, 4242);
    fs.opcodes.length = 0;
    expect(await size()).toBe(4242);
    expect(fs.opcodes).toContain(Opcode.lookup);
    expect(fs.opcodes).not.toContain(Opcode.getattr);
    table.setUint32(ino * ATTRIBUTE_SLOT_BYTES, 0, true);
    expect(await size()).toBe(1234);
  });

  test("names that are not in a directory known whole are said to be absent without JavaScript", async () => {
    addFile("a", "served");
    fs.absentEntries = true;
    const isThere = (name: string) =>
      stat(fs.path(name)).then(
        () => true,
        () => false,
      );
    expect(await isThere("b")).toBe(false);
    fs.session.knowNames(1, Buffer.from("a\0"));
    fs.lookups = 0;
    expect(await isThere("b")).toBe(false);
    expect(fs.lookups).toBe(0);
    expect(await isThere("a")).toBe(true);
    // The daemon makes a name, and tells the kernel.
    addFile("b", "served");
    fs.session.invalidateEntry(1, Buffer.from("b"));
    expect(await isThere("b")).toBe(true);
    expect(await isThere("c")).toBe(false);
  });

  test("a directory is not taken for known while a request waits: it may be one that makes a name", async () => {
    fs.absentEntries = true;
    let release: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    fs.slowName = { name: "slow", until: () => gate };
    const asked = async (name: string): Promise<boolean> => {
      const before = fs.lookups;
      await expect(stat(fs.path(name))).rejects.toThrow("ENOENT");
      return fs.lookups > before;
    };
    expect(await asked("b")).toBe(true);
    const slow = stat(fs.path("slow")).catch(() => undefined);
    const before = fs.lookups;
    while (fs.lookups === before) await sleep(1);
    fs.session.knowNames(1, Buffer.from("a\0"));
    expect(await asked("c")).toBe(true);
    release();
    await slow;
    fs.session.knowNames(1, Buffer.from("a\0"));
    expect(await asked("d")).toBe(false);
  });

  test("an answer that waits for the event loop does not hold up others", async () => {
    addFile("a", "served");
    let release: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    fs.slowName = { name: "slow", until: () => gate };
    const slow = stat(fs.path("slow"));
    while (fs.lookups === 0) await sleep(1);
    expect((await stat(fs.path("a"))).size).toBe(0);
    release();
    await expect(slow).rejects.toThrow("ENOENT");
  });

  test("a request whose asker is killed is interrupted", async () => {
    let release: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    fs.slowName = { name: "slow", until: () => gate };
    const child = spawn("stat", [fs.path("slow")], { stdio: "ignore" });
    while (fs.lookups === 0) await sleep(1);
    child.kill("SIGKILL");
    while (fs.interrupts.length === 0) await sleep(1);
    release();
    await once(child, "exit");
    expect(fs.interrupts).toHaveLength(1);
  });

  test("a served write by a user without privileges asks for the set-user-ID bits to be cleared", async () => {
    addFile("program", "served", Buffer.from("before"));
    const file = fs.files.get("program")!;
    file.permissions = 0o4777;
    await run("setpriv", [
      "--reuid=65534",
      "--regid=65534",
      "--clear-groups",
      "sh",
      "-c",
      'echo x 1<>"$0"',
      fs.path("program"),
    ]);
    expect(fs.killedPrivileges).toEqual([file.ino]);
  });

  for (const mode of ["passthrough", "served", "script"] as const) {
    test(`a file that is ${mode} reads and writes what its content file holds`, async () => {
      const before = randomBytes(5 * MIB + 123);
      const path = addFile("data", mode, before);
      expect(Buffer.compare(await readFile(fs.path("data")), before)).toBe(0);
      const after = randomBytes(7 * MIB + 77);
      await writeFile(fs.path("data"), after);
      expect(Buffer.compare(await readFile(path), after)).toBe(0);
      expect((await stat(fs.path("data"))).size).toBe(after.length);
      const handle = await open(fs.path("data"), "r+");
      const patch = randomBytes(4097);
      await handle.write(patch, 0, patch.length, 3 * MIB - 7);
      const back = Buffer.alloc(patch.length + 20);
      await handle.read(back, 0, back.length, 3 * MIB - 17);
      await handle.close();
      patch.copy(after, 3 * MIB - 7);
      expect(Buffer.compare(back, after.subarray(3 * MIB - 17, 3 * MIB - 17 + back.length))).toBe(0);
    });

    test(`a file that is ${mode} can be mapped, and written through the mapping`, async () => {
      const path = addFile("mapped", mode, Buffer.alloc(2 * MIB, "a"));
      const script = `import mmap,sys
f=open(sys.argv[1],'r+b'); m=mmap.mmap(f.fileno(),0)
assert m[:4]==b'aaaa'; m[${MIB}:${MIB}+4]=b'beef'; m.flush(); m.close(); f.close()`;
      await run("python3", ["-c", script, fs.path("mapped")]);
      expect((await readFile(path)).subarray(MIB - 2, MIB + 6).toString()).toBe("aabeefaa");
    });
  }

  test("requests are as large as negotiated", async () => {
    expect((await fs.ready).maxWriteBytes).toBe(MIB);
    const path = addFile("big", "served");
    const before = fs.session.counters();
    const data = randomBytes(8 * MIB);
    const handle = await open(fs.path("big"), "r+");
    await handle.write(data, 0, data.length, 0);
    await handle.close();
    const after = fs.session.counters();
    const writes = (list: number[]) => (list.includes(16) ? list[list.indexOf(16) + 1]! : 0);
    expect(writes(after) - writes(before)).toBe(8);
    expect(Buffer.compare(await readFile(path), data)).toBe(0);
  });

  test("many readers and writers of large and small pieces see the same bytes", async () => {
    const size = 24 * MIB;
    const data = randomBytes(size);
    const path = addFile("shared", "served", data);
    const script = `import os,sys,random,hashlib
f=os.open(sys.argv[1],os.O_RDWR); seed=int(sys.argv[2]); r=random.Random(seed); base=seed*${4 * MIB}
mine=bytearray(os.pread(f,${4 * MIB},base))
for i in range(120):
  n=r.choice([1,100,4096,65536,131072,${MIB}]); o=r.randrange(0,${4 * MIB}-n+1)
  if r.random()<0.5:
    d=r.randbytes(n); assert os.pwrite(f,d,base+o)==n; mine[o:o+n]=d
  else:
    assert os.pread(f,n,base+o)==bytes(mine[o:o+n]), (seed,i,n,o)
os.close(f); sys.stdout.write(hashlib.sha256(mine).hexdigest())`;
    const outputs = await Promise.all(
      [0, 1, 2, 3, 4, 5].map((seed) => run("python3", ["-c", script, fs.path("shared"), String(seed)])),
    );
    const stored = await readFile(path);
    for (const [seed, { stdout }] of outputs.entries()) {
      const part = stored.subarray(seed * 4 * MIB, (seed + 1) * 4 * MIB);
      expect(createHash("sha256").update(part).digest("hex")).toBe(stdout);
    }
  });

  test("while the write gate is closed writes wait, and reads do not", async () => {
    const path = addFile("gated", "served", Buffer.from("before"));
    fs.session.setWriteGate(false);
    const handle = await open(fs.path("gated"), "r+");
    let written = false;
    const write = handle.write(Buffer.from("after!"), 0, 6, 0).then(() => {
      written = true;
    });
    // Another file: the kernel holds the page that is being written.
    addFile("other", "served", Buffer.from("readable"));
    expect((await readFile(fs.path("other"))).toString()).toBe("readable");
    await sleep(50);
    expect(written).toBe(false);
    fs.session.setWriteGate(true);
    await write;
    await handle.close();
    expect((await readFile(path)).toString()).toBe("after!");
  });

  test("notifications drop cached pages, and store new ones", async () => {
    const path = addFile("cached", "served", Buffer.from("one"));
    const handle = await open(fs.path("cached"), "r");
    const read = async () => (await handle.read(Buffer.alloc(3), 0, 3, 0)).buffer.toString();
    expect(await read()).toBe("one");
    writeFileSync(path, "two");
    expect(await read()).toBe("one");
    const ino = fs.files.get("cached")!.ino;
    fs.session.invalidateInode(ino, 0, -1);
    while ((await read()) !== "two") await sleep(1);
    fs.session.store(ino, 0, Buffer.from("six"));
    while ((await read()) !== "six") await sleep(1);
    fs.session.invalidateEntry(1, Buffer.from("not there"));
    await handle.close();
  });

  test("a plain unmount ends the session without an error", async () => {
    addFile("a", "served", Buffer.from("x"));
    await readFile(fs.path("a"));
    expect(await fs.unmount()).toBe("");
  });

  test("an unmount of a busy mount is refused; a lazy one detaches, and the session ends with the last user", async () => {
    addFile("a", "served", Buffer.from("still here"));
    const handle = await open(fs.path("a"), "r");
    await expect(addon.unmountFuse(fs.mountpoint, false)).rejects.toThrow(/EBUSY/);
    await addon.unmountFuse(fs.mountpoint, true);
    expect((await handle.read(Buffer.alloc(5), 0, 5, 0)).buffer.toString()).toBe("still");
    await handle.close();
    expect(await fs.finish()).toBe("");
  });

  test("stop() ends a live session; its users get an error, not silence", async () => {
    addFile("a", "served", Buffer.from("x"));
    fs.slowName = { name: "never", until: () => new Promise(() => {}) };
    const waiting = stat(fs.path("never"));
    waiting.catch(() => {});
    while (fs.lookups === 0) await sleep(1);
    fs.session.stop();
    fs.session.stop();
    await expect(waiting).rejects.toThrow(/EIO|ECONNABORTED|ENOTCONN/);
    expect(await fs.ended).toBe("");
    await addon.unmountFuse(fs.mountpoint, true);
    await fs.finish();
  });
});
