import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Ino, Name } from "../../../src/base/index.js";
import type { LocalFile } from "../../../src/meta/index.js";
import { type DropTools, dropFromCache } from "../../../src/mount/drop-cache.js";
import { dropCached } from "../../../src/mount/index.js";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "podfs-drop-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

test("a path that is in no podfs mount is refused before anybody is asked", async () => {
  await expect(dropCached([directory], { stateDir: directory })).rejects.toThrow(/is not in a podfs mount/);
  await expect(dropCached([join(directory, "absent")])).rejects.toThrow(/there is no such file or directory$/);
  expect(await dropCached([])).toEqual({ files: 0, bytes: 0, kept: { notUploaded: 0, open: 0, fetching: 0 } });
});

const FILES = 1000;
const DIRECTORY = 2 as Ino;

/** A directory of so many files, every third of which was never cached, and what was done to them. */
function tools(): DropTools & { readonly evicted: Ino[]; readonly invalidated: Ino[] } {
  const [evicted, invalidated]: [Ino[], Ino[]] = [[], []];
  const names = Array.from({ length: FILES }, (_, index) => String(index).padStart(4, "0") as Name);
  const entryOf = (name: Name) => ({ ino: (1000 + Number(name)) as Ino, type: 0o100000 });
  return {
    ...{ evicted, invalidated },
    metadata: {
      dentry: (_, name) => (name === "tree" ? { ino: DIRECTORY, type: 0o040000 } : undefined),
      dentries: (parent, after, limit) => {
        if (parent !== DIRECTORY) return [];
        const rest = after === undefined ? names : names.slice(Number(after) + 1);
        return rest.slice(0, limit).map((name) => [name, entryOf(name)] as const);
      },
      local: (ino) => (ino % 3 === 0 ? undefined : ({ dirty: ino % 3 === 1, diskBytes: 10 } as LocalFile)),
    },
    cache: {
      opened: () => undefined,
      evict: async (ino) => evicted.push(ino) > 0,
      evictMirrors: async () => 0,
    },
    mounted: { invalidateInode: (ino) => void invalidated.push(ino) },
  };
}

test("a large directory is walked to its end, in turns with the event loop", async () => {
  const made = tools();
  let turns = 0;
  const ticking = setInterval(() => turns++, 0);
  const report = await dropFromCache(made, ["tree", "tree"]).finally(() => clearInterval(ticking));
  const count = (rest: number) =>
    Array.from({ length: FILES }, (_, i) => 1000 + i).filter((ino) => ino % 3 === rest).length;
  // Twice, because nothing is really gone here; what is kept counts once.
  expect(report).toMatchObject({ files: 2 * count(2), bytes: 20 * count(2), kept: { notUploaded: count(1), open: 0 } });
  // Dirty pages are the kernel's to write back, not to forget.
  expect(made.invalidated.some((ino) => ino % 3 === 1)).toBe(false);
  expect(made.invalidated.filter((ino) => ino % 3 === 0)).toHaveLength(2 * count(0));
  expect(turns).toBeGreaterThan(0);
});

test("a path that is not in the volume drops nothing at all", async () => {
  const made = tools();
  await expect(dropFromCache(made, ["tree", "absent"])).rejects.toMatchObject({ kind: "failed" });
  expect(made.evicted).toEqual([]);
});
