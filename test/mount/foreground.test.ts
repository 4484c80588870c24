import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CONDITION_VARIABLES_PATH } from "../../src/native/index.js";
import { mountObstacle, PodfsMachine } from "../support/podfs.js";

const obstacle = mountObstacle();

describe.skipIf(obstacle !== undefined)(`podfs mount --foreground (${obstacle ?? "real mounts"})`, () => {
  let machine: PodfsMachine;
  let store: string;
  let workspace: string;

  beforeEach(async () => {
    machine = await PodfsMachine.create();
    store = await machine.path("store");
    workspace = await machine.path("workspace");
  });
  afterEach(() => machine.dispose());

  const isMounted = async (): Promise<boolean> => (await readFile("/proc/self/mounts", "utf8")).includes(workspace);

  it("serves in the process that was started, with what a mount in the background runs with", async () => {
    const mount = await machine.mountInForeground(store, workspace, "--create");
    const { pid } = await machine.status(workspace);
    expect(pid).toBe(mount.process.pid);
    const { arguments: foreground, environment } = await processOf(pid);
    expect(foreground.filter((argument) => argument === "--foreground")).toHaveLength(1);
    expect(await readFile(`/proc/${pid}/maps`, "utf8")).toContain(CONDITION_VARIABLES_PATH);
    await machine.unmount(workspace);
    expect(await mount.ended).toMatchObject({ code: 0 });

    await machine.mount(store, workspace);
    const background = await processOf((await machine.status(workspace)).pid);
    expect(switchesOf(foreground)).toEqual(switchesOf(background.arguments));
    expect(switchesOf(foreground)).not.toEqual([]);
    const isSetting = (name: string): boolean => /^(LD_PRELOAD|MALLOC_)/.test(name);
    expect(environment.filter(isSetting).sort()).toEqual(background.environment.filter(isSetting).sort());
    await machine.unmount(workspace);
  });

  it("uploads what is left when it is told to end, unmounts, and ends with 0", async () => {
    const mount = await machine.mountInForeground(store, workspace, "--create");
    await writeFile(join(workspace, "file"), "content");
    mount.process.kill("SIGTERM");
    expect(await mount.ended).toMatchObject({ code: 0 });
    expect(await isMounted()).toBe(false);

    const elsewhere = await PodfsMachine.create();
    try {
      await elsewhere.mount(store, workspace, "--read-only");
      expect(await readFile(join(workspace, "file"), "utf8")).toBe("content");
      await elsewhere.unmount(workspace);
    } finally {
      await elsewhere.dispose();
    }
  });

  it("says in one line, its last, why it cannot, and ends with 1", async () => {
    const { ended } = await machine.mountInForeground(store, workspace);
    const { code, stdout, stderr } = await ended;
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr.trimEnd().split("\n").at(-1)).toMatch(/^podfs: there is no volume at .*; --create makes one$/);
    expect(stderr.match(/there is no volume/g)).toHaveLength(1);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(await isMounted()).toBe(false);
  });
});

async function processOf(pid: number): Promise<{ arguments: readonly string[]; environment: readonly string[] }> {
  const list = async (name: string): Promise<string[]> =>
    (await readFile(`/proc/${pid}/${name}`, "utf8")).split("\0").slice(0, -1);
  return { arguments: await list("cmdline"), environment: await list("environ") };
}

/** Those of Node.js: before the program. */
function switchesOf(args: readonly string[]): readonly string[] {
  const program = args.findIndex((argument) => argument.endsWith(".js"));
  return args.slice(1, program);
}
