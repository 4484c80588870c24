import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { open, readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadAddon } from "../../src/native/index.js";

const run = promisify(execFile);
const MIB = 1 << 20;
const PROGRAM = fileURLToPath(new URL("../../bench/native/minimal-session.mjs", import.meta.url));
const ADDON = fileURLToPath(new URL("../../build/Release/podfs.node", import.meta.url));
const hasFuse = existsSync("/dev/fuse") && process.getuid?.() === 0;

describe.skipIf(!hasFuse)("life and death of a process with a mount (skipped without /dev/fuse and root)", () => {
  const addon = loadAddon();
  const children: ChildProcess[] = [];
  let directory: string;
  let mountpoint: string;
  let file: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "podfs-life-"));
    mountpoint = mkdtempSync(join(tmpdir(), "podfs-mount-"));
    file = join(directory, "file");
    writeFileSync(file, randomBytes(4 * MIB));
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill("SIGKILL");
    await addon.unmountFuse(mountpoint, true).catch(() => {});
    rmSync(mountpoint, { recursive: true });
    rmSync(directory, { recursive: true });
  });

  async function serve(...more: string[]): Promise<ChildProcess> {
    const child = spawn(process.execPath, [PROGRAM, mountpoint, file, "50", ...more], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    children.push(child);
    await once(child.stdout!, "data");
    return child;
  }

  test("after an unmount the process ends by itself", async () => {
    const child = await serve();
    expect(Buffer.compare(await readFile(join(mountpoint, "file")), await readFile(file))).toBe(0);
    const output = once(child.stdout!, "data");
    await addon.unmountFuse(mountpoint, false);
    expect(String((await output)[0])).toBe("ended: \n");
    if (child.exitCode === null) await once(child, "exit");
    expect(child.exitCode).toBe(0);
  });

  test("process.exit() with a live mount and requests under way ends the process at once", async () => {
    const code = `process.argv.splice(1, 0, "x"); import(${JSON.stringify(PROGRAM)}).then(() => setTimeout(() => process.exit(7), 300));`;
    const child = spawn(process.execPath, ["-e", code, mountpoint, file, "50"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    children.push(child);
    const exit = once(child, "exit");
    await once(child.stdout!, "data");
    const users = [1, 2].map((size) =>
      run("dd", [`if=${join(mountpoint, "file")}`, "of=/dev/null", `bs=${size}`, "iflag=direct,fullblock"]).catch(
        () => {},
      ),
    );
    expect(await exit).toEqual([7, null]);
    await Promise.all(users);
    await expect(run("stat", [join(mountpoint, "file")])).rejects.toThrow(/not connected/);
  });

  test("a worker thread that ends takes its mount with it, and the process lives on", async () => {
    for (let round = 0; round < 3; round++) {
      const worker = new Worker(PROGRAM, { argv: [mountpoint, file, "50"], stdout: true });
      await once(worker.stdout, "data");
      const handle = await open(join(mountpoint, "file"), "r");
      await handle.read(Buffer.alloc(MIB), 0, MIB, 0);
      await worker.terminate();
      await expect(handle.read(Buffer.alloc(1), 0, 1, 3 * MIB)).rejects.toThrow();
      await handle.close().catch(() => {});
      await addon.unmountFuse(mountpoint, true);
    }
    const threads = async () => {
      const tasks = await readdir("/proc/self/task");
      return Promise.all(tasks.map((id) => readFile(`/proc/self/task/${id}/comm`, "utf8").catch(() => "")));
    };
    // A thread that has been joined is listed for a moment longer.
    await expect.poll(async () => (await threads()).filter((name) => /podfs-(data|notify|end)/.test(name))).toEqual([]);
  });

  test("what was written and what was there is known after kill -9", async () => {
    const map = join(directory, "map");
    truncateSync(file, 0);
    truncateSync(file, 8 * MIB);
    const child = await serve(map);
    const bytes = randomBytes(MIB);
    // In a process of its own: it is killed with the daemon, in the middle of a write that waits for a fetch.
    const script = `import os,sys
f=os.open(sys.argv[1],os.O_RDWR)
d=open(sys.argv[2],'rb').read()
os.pwrite(f,d,2<<20); os.pwrite(f,d[:5],8<<20); print("written",flush=True); os.pwrite(f,d[:5],(5<<20)+9)`;
    const data = join(directory, "data");
    writeFileSync(data, bytes);
    const writer = spawn("python3", ["-c", script, join(mountpoint, "file"), data], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    children.push(writer);
    await once(writer.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "exit");
    const content = addon.createContentFile(
      { fd: openSync(file, "r+"), blockSize: MIB, mapPath: map },
      { onMiss: () => {}, onTrigger: () => {} },
    );
    expect(content.beginPublish()).toEqual([2, 8]);
    expect([0, 1, 2, 5, 7, 8].map((block) => content.has(block))).toEqual([false, false, true, false, false, true]);
    // Claims were of the process that died.
    expect(content.claim(0, 100)).toEqual([0, 1, 3, 4, 5, 6, 7]);
    const into = new Uint8Array(MIB);
    expect(await content.read(into, 2 * MIB)).toBe(MIB);
    expect(Buffer.compare(into, bytes)).toBe(0);
    content.close();
  });

  test("content files that nobody holds are closed by the garbage collector", async () => {
    const code = `
      const fs = require("node:fs"); const addon = require(${JSON.stringify(ADDON)});
      const count = () => fs.readdirSync("/proc/self/fd").length;
      const before = count();
      (function make() {
        for (let i = 0; i < 500; i++) {
          const events = { onMiss() {}, onTrigger() {} };
          events.file = addon.createContentFile({ fd: fs.openSync(${JSON.stringify(file)}, "r+"), blockSize: 4096 }, events);
        }
      })();
      (async () => {
        for (let i = 0; i < 3000 && count() - before >= 10; i++) { gc(); await new Promise((done) => setTimeout(done, 10)); }
        console.log(count() - before < 10 ? "closed" : "open: " + (count() - before));
      })();`;
    const { stdout } = await run(process.execPath, ["--expose-gc", "-e", code]);
    expect(stdout.trim()).toBe("closed");
  });
});
