/** `tar x` of 2,000 small files: into podfs, the cache directory's own filesystem, and rclone mount. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { run, timed } from "../support/commands.mjs";
import { inTurn } from "../support/context.mjs";
import { EventLoopRow } from "../support/event-loop.mjs";
import { makeFiles, settle } from "../support/files.mjs";
import { nativeName } from "../support/machine.mjs";
import { mountPeer } from "../support/peers.mjs";
import { OURS, Row, skippedRow } from "../support/row.mjs";
import { BenchStore } from "../support/s3.mjs";
import { Workspace } from "../support/workspace.mjs";
import { FLOOR, mountFloor } from "../support/yardsticks.mjs";

/** Also of the other rows about small files. */
export const SMALL_FILES = 2000;
const RCLONE = "rclone";

export const family = {
  id: "tar",
  title: "unpacking small files",
  needs: ["root", "fuse", "python3"],
  minutes: 2,
  measure,
};

/**
 * Every round unpacks other bytes into a directory of its own, and everything is deleted at the end. ext4 does not reuse
 * inodes deleted within the last seconds and searches past them (`recently_deleted` in fs/ext4/ialloc.c): a round that
 * deletes and unpacks again measures that search, 0.07 s or 1.9 s. Equal bytes would be uploaded only once.
 *
 * The event loop is watched in another mount than the one that is timed.
 */
async function* measure(context) {
  const native = await nativeName();
  const workspace = await Workspace.create();
  try {
    const store = await BenchStore.start(workspace);
    const mount = await workspace.mountUnwatched(store.volumeUrl("tar"), "workspace", "--create");
    const watched = await workspace.mount(store.volumeUrl("watched"), "watched", "--create");
    const loop = await EventLoopRow.start(workspace, family);
    const rclone = await mountPeer(workspace, RCLONE, store);
    const floor = await mountFloor(workspace);
    const places = {
      [native]: { directory: await workspace.path("native"), flush: async () => {} },
      [OURS]: mount,
      ...(rclone.skipped === undefined ? { [RCLONE]: rclone } : {}),
      ...(floor.skipped === undefined ? { [FLOOR]: floor } : {}),
    };
    const rows = describe(native);
    if (floor.skipped !== undefined) rows.native.skip(FLOOR, floor.skipped);
    for (let round = 0; round < context.rounds(9); round++) {
      context.progress(`tar x, round ${round + 1}`);
      const archive = join(workspace.directory, `${round}.tar`);
      await makeFiles("archive", archive, SMALL_FILES, round);
      const figures = {};
      for (const name of inTurn(Object.keys(places), round)) {
        await settle();
        const before = await store.list("tar/");
        figures[name] = await unpack(archive, join(places[name].directory, `round-${round}`));
        await places[name].flush();
        if (name === OURS) rows.objects.add({ [OURS]: (await store.list("tar/")).length - before.length });
      }
      await settle();
      await loop.during(watched, "tar x and its upload", async () => {
        await unpack(archive, join(watched.directory, `round-${round}`));
        await watched.flush();
      });
      rows.native.add(figures);
      if (RCLONE in figures) rows.rclone.add(figures);
    }
    yield rows.native.finish();
    yield rclone.skipped === undefined ? rows.rclone.finish() : skippedRow(rows.rclone.description, rclone.skipped);
    yield rows.objects.finish();
    yield loop.finish();
  } finally {
    await workspace.dispose();
  }
}

/** Seconds for it. */
export async function unpack(archive, directory) {
  await mkdir(directory);
  return await timed(() => run("tar", ["xf", archive, "-C", directory]));
}

function describe(native) {
  const common = { group: "small files", unit: "s", better: "lower" };
  const title = "tar x of 2,000 small files";
  const conditions = "fresh directories; the upload goes on behind it";
  return {
    native: new Row({
      ...common,
      id: "tar-x",
      title,
      conditions,
      yardstick: native,
      target: { of: "ratio", atMost: 6 },
    }),
    rclone: new Row({
      ...common,
      id: "tar-x-rclone",
      title: `${title}, against rclone mount`,
      conditions: `${conditions}; rclone with --vfs-cache-mode full`,
      yardstick: RCLONE,
      target: { of: "ratio", atMost: 1 / 5 },
    }),
    objects: new Row({
      ...common,
      id: "tar-x-objects",
      title: "objects put for them",
      unit: "count",
      conditions: "new keys in the bucket once everything is uploaded, metadata included",
      target: { of: "value", atMost: 6 },
    }),
  };
}
