import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { mountObstacle, PodfsMachine, shell, waitUntil } from "../support/podfs.js";

const obstacle = mountObstacle();

async function fsynced(path: string, text: string): Promise<void> {
  await shell(
    "/",
    `python3 - <<'PY'
import os
fd = os.open(${JSON.stringify(path)}, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
os.write(fd, ${JSON.stringify(text)}.encode()); os.fsync(fd); os.close(fd)
PY`,
  );
}

describe.skipIf(obstacle !== undefined)(`two writers (${obstacle ?? "real mounts"})`, () => {
  const machines: PodfsMachine[] = [];
  const stopped: number[] = [];
  afterEach(async () => {
    for (const pid of stopped.splice(0)) process.kill(pid, "SIGCONT");
    for (const machine of machines.splice(0)) await machine.dispose();
  });

  async function setUp() {
    const a = await PodfsMachine.create();
    const b = await PodfsMachine.create();
    machines.push(a, b);
    return { a, b, store: await a.path("store"), ofA: await a.path("workspace"), ofB: await b.path("workspace") };
  }

  it("refuses the second, naming the first; lets it in once the first has unmounted", async () => {
    const { a, b, store, ofA, ofB } = await setUp();
    const { pid } = await a.mount(store, ofA, "--create");
    await writeFile(join(ofA, "file"), "from a");
    const refused = await b.run("mount", store, ofB);
    expect(refused.code).toBe(1);
    expect(refused.stderr.trim().split("\n")).toHaveLength(1);
    expect(refused.stderr).toContain(String(pid));
    expect(refused.stderr).toContain(ofA);
    await a.unmount(ofA);
    await b.mount(store, ofB);
    expect(await readFile(join(ofB, "file"), "utf8")).toBe("from a");
    await b.unmount(ofB);
  });

  it("reads beside a writer, and sees a consistent older state", async () => {
    const { a, b, store, ofA, ofB } = await setUp();
    await a.mount(store, ofA, "--create");
    await fsynced(join(ofA, "published"), "old");
    await b.mount(store, ofB, "--read-only");
    expect(await readFile(join(ofB, "published"), "utf8")).toBe("old");
    await expect(writeFile(join(ofB, "mine"), "x")).rejects.toMatchObject({ code: "EROFS" });
    await b.unmount(ofB);
    await a.unmount(ofA);
  });

  it("takes over from a dead holder with --take-over, and keeps what it had published", async () => {
    const { a, b, store, ofA, ofB } = await setUp();
    await a.mount(store, ofA, "--create");
    await fsynced(join(ofA, "file"), "published");
    await a.kill(ofA);
    expect((await b.run("mount", store, ofB)).code).toBe(1);
    await b.mount(store, ofB, "--take-over");
    expect(await readFile(join(ofB, "file"), "utf8")).toBe("published");
    await b.unmount(ofB);
  });

  it("stops a stalled holder that wakes up after it was replaced", async () => {
    const { a, b, store, ofA, ofB } = await setUp();
    const { pid } = await a.mount(store, ofA, "--create");
    await fsynced(join(ofA, "file"), "from a");
    process.kill(pid, "SIGSTOP");
    stopped.push(pid);
    await b.mount(store, ofB, "--take-over");
    await fsynced(join(ofB, "file"), "from b");
    process.kill(pid, "SIGCONT");
    stopped.pop();
    await expect(fsynced(join(ofA, "late"), "from a")).rejects.toThrow(/Input\/output error|Read-only file system/);
    await waitUntil(async () => (await a.status(ofA)).state === "fenced", "the first mount knows it is fenced");
    await expect(writeFile(join(ofA, "later"), "x")).rejects.toMatchObject({ code: "EROFS" });
    await b.unmount(ofB);
    const c = await PodfsMachine.create();
    machines.push(c);
    const ofC = await c.path("workspace");
    await c.mount(store, ofC, "--read-only");
    expect(await readFile(join(ofC, "file"), "utf8")).toBe("from b");
    await expect(readFile(join(ofC, "late"))).rejects.toMatchObject({ code: "ENOENT" });
    await c.unmount(ofC);
  });
});
