/** Large files without passthrough: podfs answers every request, and so does a bare C loop on /dev/fuse. */
import { rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { bash } from "../support/commands.mjs";
import { inTurn } from "../support/context.mjs";
import { EventLoopRow } from "../support/event-loop.mjs";
import { settle } from "../support/files.mjs";
import { fio } from "../support/fio.mjs";
import { OURS, Row } from "../support/row.mjs";
import { Workspace } from "../support/workspace.mjs";
import { mountYardstick } from "../support/yardsticks.mjs";
import { DATA_JOBS } from "./data-passthrough.mjs";

const BARE = "bare C loop";

export const family = {
  id: "served",
  title: "large files, no passthrough",
  needs: ["root", "fuse", "fio", "cc"],
  minutes: 3,
  measure,
};

async function* measure(context) {
  const workspace = await Workspace.create();
  try {
    const options = ["--create", "--durability", "local", "--no-passthrough"];
    const mount = await workspace.mount(await workspace.path("store"), "workspace", ...options);
    const loop = await EventLoopRow.start(workspace, family);
    const bare = await mountYardstick(workspace, "bare-loop");
    const sizeMiB = context.pick(512, 64);
    const seconds = context.pick(3, 1);
    await bash(`dd if=/dev/urandom of=${join(mount.directory, "read")} bs=1M count=${sizeMiB} status=none`);
    await mount.flush();
    const contestants = {
      [BARE]: (job) => onBareLoop(bare, job),
      [OURS]: (job, round) => loop.during(mount, job.title, () => onMount(mount.directory, job, round)),
    };
    for (const job of DATA_JOBS) {
      const row = new Row(describe(job));
      for (let round = 0; round < context.rounds(7); round++) {
        context.progress(`${job.title}, served, round ${round + 1}`);
        const figures = {};
        for (const name of inTurn(Object.keys(contestants), round)) {
          // Else the disk still writes what others have left, or podfs uploads it, and makes who writes now wait.
          if (job.rw.includes("write")) await settle(mount);
          figures[name] = await contestants[name]({ ...requestEach(job), sizeMiB, seconds }, round);
        }
        row.add(figures);
      }
      yield row.finish();
    }
    yield loop.finish();
  } finally {
    await workspace.dispose();
  }
}

/**
 * The pages of the files are not kept from job to job on either side, and random reads go past them: otherwise the page
 * cache would be measured, which is the kernel's and not ours.
 */
function requestEach(job) {
  return { ...job, dropPages: true, direct: job.rw === "randread" };
}

async function onMount(directory, job, round) {
  const isNew = job.rw.includes("write");
  const file = join(directory, isNew ? `${job.id}-${round}` : "read");
  const result = await fio(file, job);
  if (isNew) await rm(file);
  return result;
}

/** The bare loop has one file: emptied below it once it was written, filled once before it is read. */
async function onBareLoop({ file, backing }, job) {
  const isNew = job.rw.includes("write");
  if (!isNew && (await stat(backing)).blocks * 512 < job.sizeMiB << 20)
    await bash(`dd if=/dev/urandom of=${backing} bs=1M count=${job.sizeMiB} status=none && sync -f ${backing}`);
  const result = await fio(file, job);
  // After its turn, as podfs's file is removed: right before, it would write into pages that the host still backs.
  if (isNew) await truncate(backing, 0);
  return result;
}

function describe({ id, title, figure, rw }) {
  return {
    id: `served-${id}`,
    group: "large files, no passthrough",
    title,
    unit: figure === "bytesPerSecond" ? "B/s" : "operations/s",
    better: "higher",
    conditions: rw.includes("write")
      ? "requests up to 1 MiB; cache files in the page cache"
      : "FUSE pages dropped, cache files in the page cache: every read is a request",
    yardstick: BARE,
    target: { of: "ratio", atLeast: 0.9 },
  };
}
