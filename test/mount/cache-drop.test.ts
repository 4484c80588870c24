import { mkdir, open, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DropReport } from "../../src/mount/control-protocol.js";
import { mountObstacle, PodfsMachine } from "../support/podfs.js";
import { SeededRandom } from "../support/random.js";

const obstacle = mountObstacle();
const SMALL_FILES = 150;
const LARGE_BYTES = 2_500_000;
/** The lease is read as well, every ten seconds: far more than that, far less than a tree. */
const LEASES_BYTES_MAX = 100_000;
const NOTHING_KEPT = { notUploaded: 0, open: 0, fetching: 0 };

describe.skipIf(obstacle !== undefined)(`podfs cache drop (${obstacle ?? "real mounts"})`, () => {
  let machine: PodfsMachine;
  let workspace: string;
  const random = new SeededRandom(3);

  beforeEach(async () => {
    machine = await PodfsMachine.create();
    workspace = await machine.path("workspace");
    await machine.mount(await machine.path("store"), workspace, "--create");
  });
  afterEach(() => machine.dispose());

  const drop = async (...paths: string[]): Promise<DropReport> =>
    JSON.parse(await machine.runOk("cache", "drop", "--json", ...paths)) as DropReport;
  const fetchedBytes = async (): Promise<number> => (await machine.status(workspace)).backend.getBytes;
  const bytes = (length: number): Buffer => Buffer.from(Array.from({ length }, () => random.below(256)));

  /** Two levels deep, more than one batch of entries, small files and one of several chunks. */
  async function writeTree(name: string): Promise<Map<string, Buffer>> {
    const files = new Map<string, Buffer>();
    await mkdir(join(workspace, name, "inner"), { recursive: true });
    for (let i = 0; i < SMALL_FILES; i++) {
      files.set(join(workspace, name, i % 2 === 0 ? "" : "inner", `${i}`), bytes(1 + random.below(4000)));
    }
    files.set(join(workspace, name, "large"), bytes(LARGE_BYTES));
    for (const [path, content] of files) await writeFile(path, content);
    return files;
  }

  async function expectContent(files: ReadonlyMap<string, Buffer>): Promise<void> {
    for (const [path, content] of files) expect((await readFile(path)).equals(content), path).toBe(true);
  }

  it("makes the next read of a tree a cold one, again and again, and that of its neighbour not", async () => {
    const tree = await writeTree("tree");
    const neighbour = await writeTree("neighbour");
    await machine.flush(workspace);
    for (let round = 0; round < 2; round++) {
      const report = await drop(join(workspace, "tree"));
      expect(report).toMatchObject({ files: tree.size, kept: NOTHING_KEPT });
      expect(report.bytes).toBeGreaterThan(LARGE_BYTES);
      const before = await fetchedBytes();
      await expectContent(neighbour);
      expect(await fetchedBytes()).toBeLessThan(before + LEASES_BYTES_MAX);
      await expectContent(tree);
      expect(await fetchedBytes()).toBeGreaterThan(before + LARGE_BYTES);
    }
    expect(await drop(workspace)).toMatchObject({ files: tree.size + neighbour.size, kept: NOTHING_KEPT });
    expect((await machine.status(workspace)).cache.usedBytes).toBeLessThan(1 << 20);
    await expectContent(neighbour);
  });

  it("keeps what is not uploaded and what is open, and says so", async () => {
    const [published, changed] = [join(workspace, "published"), join(workspace, "changed")];
    await writeFile(published, "one");
    await machine.flush(workspace);
    const reader = await open(published);
    const writer = await open(changed, "w");
    await writer.write("not yet");
    expect(await drop(workspace, published)).toEqual({
      ...{ files: 0, bytes: 0 },
      kept: { ...NOTHING_KEPT, notUploaded: 1, open: 1 },
    });
    expect(await machine.runOk("cache", "drop", workspace)).toBe(
      "nothing to drop; kept 1 file not uploaded yet, 1 file open\n",
    );
    await Promise.all([reader.close(), writer.close()]);
    await machine.flush(workspace);
    expect(await machine.runOk("cache", "drop", workspace)).toMatch(/^dropped 2 files \(.*\)\n$/);
    expect(await readFile(changed, "utf8")).toBe("not yet");
    expect(await readFile(published, "utf8")).toBe("one");
  });

  it("reads through a descriptor that stays open as before", async () => {
    const files = await writeTree("open");
    await machine.flush(workspace);
    const large = join(workspace, "open", "large");
    await drop(workspace);
    // Absent and large: served, and cached by the kernel, while it is fetched.
    const reader = await open(large);
    const first = Buffer.alloc(100_000);
    await reader.read(first, 0, first.length, 0);
    expect((await drop(large)).kept.open).toBe(1);
    const again = await reader.read(Buffer.alloc(first.length), 0, first.length, 0);
    expect(again.buffer.equals(first)).toBe(true);
    await reader.close();
    expect((await drop(large)).files).toBe(1);
    await expectContent(files);
  });

  it("takes single files, other names of them, symlinks and names that are not ASCII", async () => {
    await mkdir(join(workspace, "ä ö"));
    const file = join(workspace, "ä ö", "日本");
    await writeFile(file, "content");
    await symlink("ä ö", join(workspace, "link"));
    await machine.flush(workspace);
    expect(await drop(join(workspace, "link", "日本"), file)).toMatchObject({ files: 1 });
    expect(await readFile(file, "utf8")).toBe("content");
  });

  it("says in one line what is wrong with a path, and drops nothing then", async () => {
    await writeFile(join(workspace, "file"), "content");
    await machine.flush(workspace);
    const elsewhere = await machine.path("elsewhere");
    const wrong: readonly (readonly [string, RegExp])[] = [
      [join(workspace, "absent"), /absent: there is no such file or directory$/],
      [elsewhere, /elsewhere is not in a podfs mount \(it is on .+\); podfs status lists those there are$/],
    ];
    for (const [path, message] of wrong) {
      const { code, stdout, stderr } = await machine.run("cache", "drop", join(workspace, "file"), path);
      expect(code).toBe(1);
      expect(stdout).toBe("");
      expect(stderr.trimEnd()).toMatch(message);
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    }
    expect((await machine.run("cache", "drop")).code).toBe(2);
    expect(await drop(join(workspace, "file"))).toMatchObject({ files: 1 });
  });

  it("says what became of a mount that is dead", async () => {
    await machine.kill(workspace);
    const { code, stderr } = await machine.run("cache", "drop", workspace);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^podfs: .*dead.*\n$/);
  });
});
