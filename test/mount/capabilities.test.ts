import { existsSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { mountObstacle, PodfsMachine, shell, waitUntil } from "../support/podfs.js";

const TOOLS = ["/usr/sbin/setcap", "/usr/sbin/getcap", "/usr/bin/getfattr"];
const missing = TOOLS.find((tool) => !existsSync(tool));
const obstacle = mountObstacle() ?? (missing === undefined ? undefined : `${missing} is not installed`);

/** The engine answers for files it knows to have none: it must never say so of one that has. */
describe.skipIf(obstacle !== undefined)(`file capabilities (${obstacle ?? "real mounts"})`, () => {
  const machines: PodfsMachine[] = [];
  afterEach(async () => {
    for (const machine of machines.splice(0)) await machine.dispose();
  });

  async function setUp() {
    const machine = await PodfsMachine.create();
    machines.push(machine);
    const store = await machine.path("store");
    const workspace = await machine.path("workspace");
    await machine.mount(store, workspace, "--create");
    return {
      machine,
      store,
      workspace,
      inMount: (script: string) => shell("/", `cd ${workspace}\n${HELPERS}${script}`),
    };
  }

  const HELPERS = `
    has() { getfattr --absolute-names -n security.capability "$1" >/dev/null 2>&1; }
    expect() { test "$1" = yes && { has "$2" || { echo "no capability: $3" >&2; exit 1; }; } ||
               { ! has "$2" || { echo "a capability: $3" >&2; exit 1; }; } }
  `;

  it("are seen as they are, whatever was known of the file before", async () => {
    const { inMount } = await setUp();
    await inMount(`
      echo new > f;                          expect no f "a new file"
      setcap cap_net_raw+ep f;               expect yes f "set on a file known to be without"
      test "$(getcap f)" = "f cap_net_raw=ep"
      setcap -r f;                           expect no f "removed"
      expect no f "removed, asked again"
      setcap cap_net_raw+ep f;               expect yes f "set again"
      echo more >> f;                        expect no f "a write takes it away"
      setcap cap_net_raw+ep f && chown 0:0 f; expect no f "chown takes it away"
      echo more >> f && chown 1:1 f;         expect no f "still none"
      setfattr -n user.any -v x f;           expect no f "another attribute"
      ln f hard && setcap cap_chown+ep hard; expect yes f "set by another name"
      mv f moved;                            expect yes moved "renamed"
      cp --preserve=all moved copy;          expect yes copy "copied to a new file"
      mkfifo fifo && chown 1:1 fifo;         expect no fifo "a new node"
      ln -s moved link && chown -h 1:1 link; expect yes link "followed"
    `);
  });

  it("are seen by another mount, and by the next one", async () => {
    const { machine, store, workspace, inMount } = await setUp();
    await inMount(`echo x > set && echo x > unset && expect no set "new" && setcap cap_net_raw+ep set`);
    await machine.flush(workspace);
    const other = await PodfsMachine.create();
    machines.push(other);
    const view = await other.path("view");
    await other.mount(store, view, "--read-only");
    const seen = (name: string) =>
      shell("/", `${HELPERS}has ${view}/${name} && echo yes || echo no`).then((answer) => answer === "yes\n");
    expect(await seen("set")).toBe(true);
    expect(await seen("unset")).toBe(false);
    await inMount("setcap cap_net_raw+ep unset");
    await machine.flush(workspace);
    await waitUntil(() => seen("unset"), "the reader sees what the writer set");
    await machine.unmount(workspace);
    await machine.mount(store, workspace);
    await inMount(`expect yes set "after a remount" && expect yes unset "after a remount"`);
  });

  it("are asked about by the kernel when files are unpacked, and counted whoever answers", async () => {
    const { machine, workspace, inMount } = await setUp();
    await inMount("for i in $(seq 50); do echo $i > $i && chown 1:1 $i; done");
    const { fuse } = await machine.status(workspace);
    expect(fuse.requests.getxattr).toBeGreaterThanOrEqual(50);
  });
});
