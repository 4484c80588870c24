/** The two small servers podfs is held against: a bare C loop, and its own engine with next to no JavaScript above it. */
import { spawn } from "node:child_process";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PROJECT, run, waitUntil } from "./commands.mjs";

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
 * @returns where it is mounted, the file in it and the one below, and the process
 */
export async function mountYardstick(workspace, kind) {
  const directory = join(workspace.directory, `on-${kind}`);
  const backing = join(workspace.directory, `below-${kind}`);
  await mkdir(directory);
  await writeFile(backing, "");
  const program =
    kind === "bare-loop" ? [await compile(workspace, kind)] : [process.execPath, join(NATIVE, `${kind}.mjs`)];
  const [command, ...args] = [...program, directory, backing, String(SPIN_MICROS)];
  // It ends when it is unmounted.
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit"] });
  const unmount = () => run("umount", [directory]).catch(() => run("umount", ["-l", directory]));
  workspace.onDispose(child, unmount);
  await waitUntil(() => isServed(directory), `${kind} serves ${directory}`);
  return { directory, backing, file: join(directory, "file"), pid: child.pid };
}

async function isServed(directory) {
  return await stat(join(directory, "file")).then(
    () => true,
    () => false,
  );
}
