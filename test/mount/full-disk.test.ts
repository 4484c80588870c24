import { chmod, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { mountObstacle, PodfsMachine, shell } from "../support/podfs.js";

const obstacle = mountObstacle();
/** So many must have been refused before room is made again. */
const REFUSALS = 500;
const CHANGES_MAX = 200_000;

describe.skipIf(obstacle !== undefined)(`a full disk under the cache (${obstacle ?? "real mounts"})`, () => {
  it("is an error of who changes something, ends nothing, and is got over", async () => {
    const machine = await PodfsMachine.create();
    const disk = await machine.path("disk");
    await shell(machine.directory, `mount -t tmpfs -o size=192m podfs-test '${disk}'`);
    try {
      const volume = await machine.path("volume");
      const workspace = await machine.path("workspace");
      await machine.mount(volume, workspace, "--create", "--cache-dir", join(disk, "cache"));
      await writeFile(join(workspace, "file"), "written before");
      // While changes are under way: they must not need room that was there when they began.
      const filled = shell(disk, "for unit in 64k 4k 1; do dd if=/dev/zero bs=$unit 2>&1; done >>filler || true");
      const outcomes = new Map<string | undefined, number>();
      for (let index = 0; index < CHANGES_MAX && (outcomes.get("ENOSPC") ?? 0) < REFUSALS; index++) {
        const made =
          index % 2 === 0 ? mkdir(join(workspace, `d${index}`)) : chmod(join(workspace, "file"), index & 511);
        const outcome = await made.then(
          () => "done",
          (error: NodeJS.ErrnoException) => error.code,
        );
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
      await filled;
      expect([...outcomes.keys()]).toEqual(["done", "ENOSPC"]);
      await rm(join(disk, "filler"));
      await chmod(join(workspace, "file"), 0o600);
      await mkdir(join(workspace, "after"));
      const names = await readdir(workspace);
      expect(names).toContain("after");
      await machine.unmount(workspace);
      await machine.mount(volume, workspace, "--read-only");
      expect(await readdir(workspace)).toEqual(names);
      await machine.unmount(workspace);
    } finally {
      // Lazily: should the test have failed, the daemon is still there.
      await shell("/", `umount -l '${disk}'`);
      await machine.dispose();
    }
  });
});
