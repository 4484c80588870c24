import { readFileSync } from "node:fs";
import { mkdtemp, readFile, realpath, rm } from "node:fs/promises";
import { cpus, release, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { run } from "./commands.mjs";

/** Where benchmarks put their files: see `PODFS_BENCH_DIR` in docs/OPERATIONS.md. */
export const SCRATCH = process.env.PODFS_BENCH_DIR ?? tmpdir();

/** The machine, as the report describes it. */
export async function describeMachine() {
  const [type] = (await run("stat", ["-f", "-c", "%T", SCRATCH])).split("\n");
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    system: /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "Linux",
    scratchFilesystem: type === "ext2/ext3" ? "ext4" : type,
  };
}

/** Numbers of the processors that this process, and what it starts, may run on. */
export async function processors() {
  const [, list] = /^Cpus_allowed_list:\s*(.+)$/m.exec(await readFile("/proc/self/status", "utf8")) ?? [];
  return (list ?? "").split(",").flatMap((range) => {
    const [first, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

/** What the yardstick "the cache directory's own filesystem" is called. */
export async function nativeName() {
  return (await describeMachine()).scratchFilesystem;
}

const PROBES = {
  root: async () => (process.getuid?.() === 0 ? undefined : "mount(2) needs root"),
  fuse: async () => ((await succeeds("test", "-e", "/dev/fuse")) ? undefined : "there is no /dev/fuse"),
  fio: () => program("fio"),
  cc: () => program("cc"),
  git: () => program("git"),
  npm: () => program("npm"),
  python3: () => program("python3"),
  pip: async () => ((await succeeds("python3", "-m", "pip", "--version")) ? undefined : "pip is not installed"),
};

/** Why these rows cannot be measured here; undefined when they can. @param needs keys of the table above */
export async function obstacle(needs) {
  for (const need of needs) {
    const reason = await PROBES[need]();
    if (reason !== undefined) return reason;
  }
  return undefined;
}

async function program(name) {
  return (await succeeds("sh", "-c", `command -v ${name}`)) ? undefined : `${name} is not installed`;
}

function succeeds(command, ...args) {
  return run(command, args).then(
    () => true,
    () => false,
  );
}

/** Of what nobody needs any more. */
const discarded = new Set();

/**
 * A directory of its own on the scratch filesystem. `discard` gives its room back, and leaves its small files where they are
 * until {@link deleteDiscarded}: ext4 searches past inodes deleted in the last minutes, and who comes next would make files slowly.
 */
export async function scratchDirectory(prefix) {
  const directory = await mkdtemp(join(await realpath(SCRATCH), prefix));
  return {
    directory,
    discard: async () => {
      discarded.add(directory);
      await run("find", [directory, "-xdev", "-type", "f", "-size", "+4M", "-delete"]);
    },
  };
}

/** At the end of all measurements. */
export async function deleteDiscarded() {
  for (const directory of discarded) await rm(directory, { recursive: true, force: true, maxRetries: 5 });
  discarded.clear();
}
