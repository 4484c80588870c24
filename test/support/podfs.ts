import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import type { StatusReport } from "../../src/mount/control-protocol.js";

const execute = promisify(execFile);
const PROJECT = resolve(import.meta.dirname, "../..");
const PROGRAM = join(PROJECT, "dist/cli/main.js");
const OUTPUT_BYTES_MAX = 64 << 20;
/** A slow machine is still uploading when a pod would have been ended. */
const DRAIN_TIMEOUT = "4m";

export interface CommandOutcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ForegroundMount {
  readonly process: ChildProcess;
  readonly ended: Promise<CommandOutcome>;
}

/** Why mounts cannot be tested on this machine; undefined when they can. Tests skip with it, visibly. */
export function mountObstacle(): string | undefined {
  if (!existsSync("/dev/fuse")) return "there is no /dev/fuse";
  if (process.getuid?.() !== 0) return "mount(2) needs root";
  return undefined;
}

/**
 * A machine of its own, as far as podfs can tell: state and caches in a temporary directory. Everything it started
 * is unmounted and ended by {@link dispose}, also when the test failed.
 */
export class PodfsMachine {
  readonly #mounts = new Map<string, number>();

  private constructor(
    readonly directory: string,
    readonly environment: NodeJS.ProcessEnv,
  ) {}

  static async create(environment: NodeJS.ProcessEnv = {}): Promise<PodfsMachine> {
    const directory = await mkdtemp(join(tmpdir(), "podfs-test-"));
    const own = { PODFS_STATE_DIR: join(directory, "state"), XDG_CACHE_HOME: join(directory, "cache") };
    return new PodfsMachine(directory, { ...process.env, ...own, ...environment });
  }

  async path(...names: string[]): Promise<string> {
    const path = join(this.directory, ...names);
    await mkdir(path, { recursive: true });
    return path;
  }

  /** Runs the command line to its end, whatever its exit code. */
  async run(...args: string[]): Promise<CommandOutcome> {
    try {
      const { stdout, stderr } = await execute(process.execPath, [PROGRAM, ...args], {
        env: this.environment,
        maxBuffer: OUTPUT_BYTES_MAX,
      });
      return { code: 0, stdout, stderr };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: unknown; stdout?: string; stderr?: string };
      if (typeof code !== "number") throw error;
      return { code, stdout: stdout ?? "", stderr: stderr ?? "" };
    }
  }

  /** Like {@link run}, and fails the test when the command does. */
  async runOk(...args: string[]): Promise<string> {
    const outcome = await this.run(...args);
    if (outcome.code !== 0) throw new Error(`podfs ${args.join(" ")}: exit ${outcome.code}: ${outcome.stderr}`);
    return outcome.stdout;
  }

  /** Mounts in the background; resolves when the mount answers. */
  async mount(volume: string, mountpoint: string, ...options: string[]): Promise<{ readonly pid: number }> {
    const summary = JSON.parse(await this.runOk("mount", "--json", ...options, volume, mountpoint)) as { pid: number };
    this.#mounts.set(mountpoint, summary.pid);
    return summary;
  }

  /** Serves a mount in a process of ours, as a container does; resolves when it answers, or the process has ended. */
  async mountInForeground(volume: string, mountpoint: string, ...options: string[]): Promise<ForegroundMount> {
    const args = [PROGRAM, "mount", "--foreground", "--json", ...options, volume, mountpoint];
    const child = spawn(process.execPath, args, { env: this.environment, stdio: ["ignore", "pipe", "pipe"] });
    if (child.pid !== undefined) this.#mounts.set(mountpoint, child.pid);
    let stdout = "";
    let stderr = "";
    child.stderr.on("data", (text) => {
      stderr += text;
    });
    const ended = new Promise<CommandOutcome>((resolve) => {
      child.once("close", (code) => {
        this.#mounts.delete(mountpoint);
        resolve({ code: code ?? -1, stdout, stderr });
      });
    });
    const answers = new Promise<void>((resolve) => {
      child.stdout.on("data", (text) => {
        stdout += text;
        if (stdout.includes("\n")) resolve();
      });
    });
    await Promise.race([answers, ended]);
    return { process: child, ended };
  }

  /** A mount that is too busy to answer in time is asked again: for how long is the test's own limit. */
  async status(mountpoint: string): Promise<StatusReport> {
    for (;;) {
      const { code, stdout, stderr } = await this.run("status", "--json", mountpoint);
      if (code === 0) return JSON.parse(stdout) as StatusReport;
      if (!stderr.includes("has not answered")) throw new Error(`podfs status: exit ${code}: ${stderr}`);
    }
  }

  async flush(mountpoint: string): Promise<void> {
    await this.runOk("flush", mountpoint);
  }

  async unmount(mountpoint: string, ...options: string[]): Promise<string> {
    const said = await this.runOk("umount", "--timeout", DRAIN_TIMEOUT, ...options, mountpoint);
    this.#mounts.delete(mountpoint);
    return said;
  }

  /** kill -9 of the daemon; resolves when it is gone. The mount point stays behind, dead. */
  async kill(mountpoint: string): Promise<void> {
    const pid = this.#mounts.get(mountpoint);
    if (pid === undefined) throw new Error(`nothing of this machine is mounted on ${mountpoint}`);
    process.kill(pid, "SIGKILL");
    await waitUntil(() => !isRunning(pid), "the killed daemon is gone");
  }

  async dispose(): Promise<void> {
    for (const [mountpoint, pid] of this.#mounts) {
      await execute("umount", ["-l", mountpoint]).catch(() => undefined);
      if (isRunning(pid)) process.kill(pid, "SIGKILL");
    }
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }

  /** The log of the mount, for a failure's report. */
  async log(mountpoint: string): Promise<string> {
    const { stdout } = await execute("sh", ["-c", 'cat "$0"/*/daemon.log', String(this.environment.PODFS_STATE_DIR)]);
    return `log of ${mountpoint}:\n${stdout}`;
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !existsSync(`/proc/${pid}/stat`) || !isZombie(pid);
  } catch {
    return false;
  }
}

function isZombie(pid: number): boolean {
  try {
    return / Z /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
  } catch {
    return true;
  }
}

/** Polls until `condition` holds. @throws after a generous time, naming `what` did not happen. */
export async function waitUntil(condition: () => boolean | Promise<boolean>, what: string, limitMs = 120_000) {
  const end = Date.now() + limitMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`still waiting after ${limitMs} ms: ${what}`);
    await new Promise((resume) => setTimeout(resume, 20));
  }
}

/** Runs a shell command in a directory and returns its output; its error output is in the error if it fails. */
export async function shell(directory: string, script: string, environment: NodeJS.ProcessEnv = {}): Promise<string> {
  const { stdout } = await execute("bash", ["--norc", "-euo", "pipefail", "-c", script], {
    cwd: directory,
    env: { ...process.env, ...environment },
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  return stdout;
}

/** Starts a shell command that goes on by itself; the caller ends it. */
export function background(directory: string, script: string): ChildProcess {
  return spawn("bash", ["--norc", "-euo", "pipefail", "-c", script], { cwd: directory, stdio: "ignore" });
}
