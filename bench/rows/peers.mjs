/** The same work on podfs and on every peer that is installed, over the same S3 server, in turn in one run. */
import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { bash, run, timed } from "../support/commands.mjs";
import { inTurn } from "../support/context.mjs";
import { makeFiles, settle } from "../support/files.mjs";
import { fio } from "../support/fio.mjs";
import { nativeName } from "../support/machine.mjs";
import { BACKED_BYTES_PER_BYTE, backMemory } from "../support/memory.mjs";
import { contestants } from "../support/peers.mjs";
import { Row } from "../support/row.mjs";
import { BenchStore } from "../support/s3.mjs";
import { Workspace } from "../support/workspace.mjs";
import { SMALL_FILES } from "./tar.mjs";

const LATENCY_MS = 30;
/** Read cold from far away: most peers ask twice for each, one after the other. */
const FAR_FILES = 200;

export const family = {
  id: "peers",
  title: "peers",
  needs: ["root", "fuse", "fio", "python3"],
  minutes: 11,
  measure,
};

async function* measure(context) {
  const workspace = await Workspace.create();
  try {
    const store = await BenchStore.start(workspace);
    const far = await store.farAway(workspace, 0);
    const all = contestants(workspace, store);
    const present = all.filter(({ available }) => available === true);
    const rows = describe(await nativeName());
    for (const row of Object.values(rows))
      for (const { name, available } of all) if (available !== true) row.skip(name, available);
    const measured = { context, workspace, far, rows, sizeMiB: context.pick(512, 64) };
    for (let round = 0; round < context.rounds(3, 1); round++) {
      const input = await prepare(measured, round);
      const figures = Object.fromEntries(Object.keys(rows).map((id) => [id, {}]));
      await onNative(measured, input, figures);
      for (const contestant of inTurn(present, round)) {
        context.progress(`${contestant.name}, round ${round + 1}`);
        await measureOne({ ...measured, contestant, round, input, figures });
      }
      for (const [id, row] of Object.entries(rows)) row.add(figures[id]);
    }
    const introductions = await introduce(present);
    for (const row of Object.values(rows)) yield { ...row.finish(), contestants: introductions };
  } finally {
    await workspace.dispose();
  }
}

/** Version of each, and what a reader of its figures must know. */
async function introduce(present) {
  const entries = present.map(async ({ name, version, notes }) => [name, { version: await version(), notes }]);
  return Object.fromEntries(await Promise.all(entries));
}

async function prepare({ workspace, sizeMiB }, round) {
  const archive = join(workspace.directory, `${round}.tar`);
  const farArchive = join(workspace.directory, `${round}.far.tar`);
  const large = join(workspace.directory, `${round}.large`);
  await makeFiles("archive", archive, SMALL_FILES, round);
  await makeFiles("archive", farArchive, FAR_FILES, round);
  await bash(`dd if=/dev/urandom of=${large} bs=1M count=${sizeMiB} status=none`);
  return { archive, farArchive, large };
}

/** What the others are divided by where something local can be. */
async function onNative({ context, workspace, sizeMiB }, { archive, large }, figures) {
  const native = await nativeName();
  const directory = await workspace.path("native");
  figures.tar[native] = await timed(() => run("tar", ["xf", archive, "-C", directory]));
  await copyFile(large, join(directory, "large"));
  await warmReads({ context, figures, sizeMiB }, join(directory, "large"), native, false);
}

/** Each step by itself: who fails one still takes part in the others. */
async function measureOne(task) {
  const { contestant, round, rows, figures } = task;
  const { name } = contestant;
  for (const [step, ids] of [
    [near, ["tar", "publish", "read", "randomRead", "coldRead"]],
    [farAway, ["coldSmall", "coldSmallRequests"]],
  ]) {
    await settle();
    try {
      await step({ ...task, place: { id: `${step.name}-${round}`, cache: "first" } });
    } catch (error) {
      for (const id of ids) if (!(name in figures[id])) rows[id].skip(name, lastPart(error));
    }
  }
}

/** Of "program arguments: program: path: reason". */
function lastPart({ message }) {
  return message.split(": ").at(-1);
}

/** Next to the store: unpacking, uploading, reading again, and reading on a new machine. */
async function near({ context, contestant, place, input, figures, sizeMiB }) {
  const { name } = contestant;
  const bytes = sizeMiB << 20;
  const mount = await contestant.mount(place);
  const file = join(mount.directory, "large");
  // Together: some upload behind close(2), some in it.
  const publish = async () => {
    await copyFile(input.large, file);
    await mount.flush();
  };
  await backMemory(bytes * BACKED_BYTES_PER_BYTE);
  figures.publish[name] = bytes / (await timed(publish));
  await warmReads({ context, figures, sizeMiB }, file, name, true);
  await mkdir(join(mount.directory, "small"));
  figures.tar[name] = await timed(() => run("tar", ["xf", input.archive, "-C", join(mount.directory, "small")]));
  await mount.flush();
  await mount.unmount();
  const cold = await contestant.mount({ ...place, cache: "cold" });
  const large = join(cold.directory, "large");
  await backMemory(bytes * BACKED_BYTES_PER_BYTE);
  figures.coldRead[name] = bytes / (await timed(() => run("dd", [`if=${large}`, "of=/dev/null", "bs=1M"])));
  await cold.unmount();
}

/** Far from it: small files on a new machine. How they got there is not measured, so it takes no time and no metadata. */
async function farAway({ contestant, place, round, input, figures, far }) {
  const { name } = contestant;
  const { endpoint } = far;
  await far.setLatency(0);
  const mount = await contestant.mount({ ...place, endpoint });
  await run("tar", ["xmf", input.farArchive, "--no-same-owner", "--no-same-permissions", "-C", mount.directory]);
  await mount.flush();
  await mount.unmount();
  const cold = await contestant.mount({ ...place, endpoint, cache: "cold" });
  await far.setLatency(LATENCY_MS);
  await far.requests();
  const script = `find ${join(cold.directory, `set-${round}`)} -type f -exec cat {} + | wc -c`;
  figures.coldSmall[name] = await timed(() => bash(script));
  const { GET = 0, HEAD = 0 } = await far.requests();
  figures.coldSmallRequests[name] = GET + HEAD;
  await far.setLatency(0);
  await cold.unmount();
}

/** @param dropPages of a mount's file: then it is the mount that answers, out of cache files that are in memory */
async function warmReads({ context, figures, sizeMiB }, file, name, dropPages) {
  await run("dd", [`if=${file}`, "of=/dev/null", "bs=1M"]);
  figures.read[name] = await fio(file, { rw: "read", blockSize: "1M", sizeMiB, figure: "bytesPerSecond" });
  const random = { rw: "randread", blockSize: "4k", seconds: context.pick(3, 1), figure: "operationsPerSecond" };
  figures.randomRead[name] = await fio(file, { ...random, sizeMiB, dropPages });
}

function describe(native) {
  const row = (id, title, unit, better, conditions, yardstick) =>
    new Row({ id: `peers-${id}`, group: "peers", title, unit, better, conditions, tolerance: null, yardstick });
  const seconds = ["s", "lower"];
  const rate = ["B/s", "higher"];
  const far = `new cache, ${LATENCY_MS} ms per request`;
  return {
    tar: row("tar-x", "tar x of 2,000 small files", ...seconds, "upload goes on behind it", native),
    publish: row(
      "publish",
      "writing and publishing a large file",
      ...rate,
      "copied and flushed; memory backed before each turn",
    ),
    read: row("read", "sequential read", ...rate, "cached, page cache warm", native),
    randomRead: row(
      "random-read",
      "4 KiB random read",
      "operations/s",
      "higher",
      "cached; pages of mounted files dropped",
      native,
    ),
    coldRead: row("cold-sequential-read", "cold sequential read", ...rate, "new cache; memory backed before each turn"),
    coldSmall: row("cold-small-files", `cold read of ${FAR_FILES} small files`, ...seconds, far),
    coldSmallRequests: row("cold-small-files-requests", "requests for that", "requests", "lower", "GET and HEAD"),
  };
}
