/**
 * What podfs is held against besides peers: a bare C loop, its own engine with next to no JavaScript above it, and
 * libfuse's own passthrough filesystem.
 */
import { spawn } from "node:child_process";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startMount, stopMount } from "../peers/support.mjs";
import { bash, PROJECT, run, waitUntil } from "./commands.mjs";

/** How long podfs looks for the next request before it sleeps; src/fuse/native/session.ts. */
const SPIN_MICROS = 50;
const NATIVE = join(PROJECT, "bench/native");

/** Compiles one of bench/native/ into the workspace. */
export async function compile(workspace, name) {
  const binary = join(workspace.directory, name);
  await run("cc", ["-O2", "-pthread", "-o", binary, join(NATIVE, `${name}.c`)]);
  return binary;
}

/**
 * Mounts a directory with one `file`, served over a file of the scratch filesystem by pread and pwrite.
 *
 * @param {"bare-loop" | "minimal-session"} kind
 * @param {{ name?: string, workNanos?: number }} [options] `workNanos`: the bare loop computes for so long per request
 * @returns where it is mounted, the file in it and the one below, and the process
 */
export async function mountYardstick(workspace, kind, { name = kind, workNanos } = {}) {
  const directory = join(workspace.directory, `on-${name}`);
  const backing = join(workspace.directory, `below-${name}`);
  await mkdir(directory);
  await writeFile(backing, "");
  const program =
    kind === "bare-loop" ? [await compile(workspace, kind)] : [process.execPath, join(NATIVE, `${kind}.mjs`)];
  const [command, ...args] = [...program, directory, backing, String(SPIN_MICROS)];
  if (workNanos !== undefined) args.push(String(workNanos));
  // It ends when it is unmounted.
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit"] });
  const unmount = () => run("umount", [directory]).catch(() => run("umount", ["-l", directory]));
  workspace.onDispose(child, unmount);
  await waitUntil(() => isServed(directory), `${kind} serves ${directory}`);
  return { directory, backing, file: join(directory, "file"), pid: child.pid };
}

/** The name of what {@link mountFloor} mounts. */
export const FLOOR = "passthrough_ll";
/** Where Debian's package libfuse3-dev has libfuse's examples. */
const FLOOR_SOURCE = `/usr/share/doc/libfuse3-dev/examples/${FLOOR}.c`;

/**
 * libfuse's `example/passthrough_ll.c`: a directory of the scratch filesystem through FUSE's low-level interface, in C, with
 * threads as requests need them. It keeps nothing and uploads nothing, and lets the kernel keep all it may: what a tree costs
 * there is what FUSE itself costs on this machine.
 *
 * @returns where it is mounted, or `skipped` with the reason
 */
export async function mountFloor(workspace) {
  const place = await workspace.path("on-floor");
  const program = join(place, FLOOR);
  try {
    await bash(`cc -O2 -o ${program} ${FLOOR_SOURCE} $(pkg-config --cflags --libs fuse3)`);
  } catch (error) {
    return { skipped: `libfuse's ${FLOOR} cannot be compiled (Debian: libfuse3-dev, pkg-config): ${error.message}` };
  }
  const directory = join(place, "mnt");
  await mkdir(directory);
  const below = await workspace.path("below-floor");
  const mount = await startMount({
    program,
    args: ["-f", "-o", `source=${below},cache=always`, directory],
    directory: place,
    mountpoint: directory,
  });
  workspace.onDispose(mount, () => stopMount(mount));
  return { directory, flush: async () => {} };
}

async function isServed(directory) {
  return await stat(join(directory, "file")).then(
    () => true,
    () => false,
  );
}
