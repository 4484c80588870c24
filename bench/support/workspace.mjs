import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { callMount } from "../../dist/mount/index.js";
import { killCommands, PROJECT, run } from "./commands.mjs";
import { LoopReader, loopEnvironment } from "./loop-reader.mjs";
import { deleteDiscarded, scratchDirectory } from "./machine.mjs";

const PROGRAM = join(PROJECT, "dist/cli/main.js");

/** What has to be cleaned up should the user press Ctrl-C. */
const open = new Set();

let isInterrupted = false;

/** At the end, or on Ctrl-C: unmounts and deletes whatever is there still. Nothing can be mounted from here on. */
export async function disposeAll() {
  isInterrupted = true;
  killCommands();
  for (const workspace of open) await workspace.dispose();
  await deleteDiscarded();
}

/**
 * A machine of its own as far as podfs can tell, in a temporary directory: state, caches, mounts of podfs and of others.
 * `dispose` ends all of it, and gives its room back.
 */
export class Workspace {
  #discard;
  /** How to end what was mounted or started, newest last. */
  #endings = new Map();
  #disposed;

  constructor(directory, discard) {
    this.directory = directory;
    this.#discard = discard;
    this.environment = {
      ...process.env,
      PODFS_STATE_DIR: join(directory, "state"),
      XDG_CACHE_HOME: join(directory, "cache"),
      AWS_EC2_METADATA_DISABLED: "true",
    };
  }

  /** @param environment of every podfs command: credentials, as a rule */
  static async create(environment = {}) {
    const { directory, discard } = await scratchDirectory("podfs-bench-");
    const workspace = new Workspace(directory, discard);
    Object.assign(workspace.environment, environment);
    open.add(workspace);
    await workspace.path("loop");
    return workspace;
  }

  /** A directory in it, made if it is not there. @throws Error the run was interrupted */
  async path(...names) {
    if (isInterrupted) throw new Error("interrupted");
    const path = join(this.directory, ...names);
    await mkdir(path, { recursive: true });
    return path;
  }

  async podfs(...args) {
    return await run(process.execPath, [PROGRAM, ...args], { env: this.environment });
  }

  /** Mounts a volume on a directory of the workspace; the daemon's event loop is watched from its start. */
  async mount(volume, name, ...options) {
    const directory = join(this.directory, "loop");
    return await this.#mount(volume, name, options, directory);
  }

  /** Where the event loop itself is what takes the time: watching it takes a tenth of it. */
  async mountUnwatched(volume, name, ...options) {
    return await this.#mount(volume, name, options);
  }

  /** @param loopDirectory where the daemon reports how its event loop does */
  async #mount(volume, name, options, loopDirectory) {
    const mountpoint = await this.path(name);
    const watch = loopDirectory === undefined ? {} : loopEnvironment(loopDirectory);
    const args = [PROGRAM, "mount", "--json", ...options, volume, mountpoint];
    const { pid } = JSON.parse(await run(process.execPath, args, { env: { ...this.environment, ...watch } }));
    const loop = loopDirectory === undefined ? undefined : new LoopReader(pid, loopDirectory);
    const mount = new Mount(this, mountpoint, pid, loop);
    this.onDispose(mount, () => mount.unmount());
    return mount;
  }

  /** Has `end` called at the end, unless {@link forget} is told before that it is not needed any more. */
  onDispose(thing, end) {
    this.#endings.set(thing, end);
  }

  forget(thing) {
    this.#endings.delete(thing);
  }

  /** Once, whoever asks: the end of a family, or Ctrl-C in the middle of it. */
  async dispose() {
    this.#disposed ??= this.#disposeOnce();
    await this.#disposed;
  }

  async #disposeOnce() {
    for (const [thing, end] of [...this.#endings].reverse()) {
      this.#endings.delete(thing);
      await end().catch((error) => console.error(`bench: ${error.message}`));
    }
    // Whatever would not go: deleting below must not reach into a mount.
    const mounts = (await readFile("/proc/self/mounts", "utf8")).split("\n").map((line) => line.split(" ")[1] ?? "");
    for (const mountpoint of mounts.filter((path) => path.startsWith(`${this.directory}/`)))
      await run("umount", ["-l", mountpoint]);
    await this.#discard();
    open.delete(this);
  }
}

/** A mounted volume. */
class Mount {
  #workspace;

  constructor(workspace, directory, pid, loop) {
    this.#workspace = workspace;
    this.directory = directory;
    this.pid = pid;
    /** @type {LoopReader} of a mount that is watched */
    this.loop = loop;
  }

  /** Waits until everything is in the volume. Not by `podfs flush`: starting a process would be part of what is timed. */
  async flush() {
    const { PODFS_STATE_DIR: stateDir } = this.#workspace.environment;
    await callMount(this.directory, { command: "flush" }, { stateDir, onProgress: () => {} });
  }

  /** Forgets cached content that is in the volume: the next read is cold. */
  async dropCache() {
    await this.#workspace.podfs("cache", "drop", this.directory);
  }

  /** Bytes of a line of /proc/PID/status: VmRSS, RssFile, RssAnon … */
  async memory(line = "VmRSS") {
    const status = await readFile(`/proc/${this.pid}/status`, "utf8");
    return Number(new RegExp(`^${line}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) * 1024;
  }

  async unmount() {
    try {
      await this.#workspace.podfs("umount", this.directory);
    } catch (error) {
      await run("umount", ["-l", this.directory]).catch(() => {});
      throw error;
    } finally {
      this.#workspace.forget(this);
    }
  }
}
