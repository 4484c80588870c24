/** What a process that serves a mount runs with: switches of Node.js, an environment, and how a process gets both. */
import { CONDITION_VARIABLES_PATH, loadAddon } from "../native/index.js";

/**
 * glibc's malloc keeps what was freed for longer the larger it was, up to 32 MiB a piece (M_MMAP_THRESHOLD in mallopt(3)), in
 * each thread's arena. With fixed limits, what a checkpoint or a pack took goes back when it is freed.
 */
const MALLOC_LIMITS = { MALLOC_MMAP_THRESHOLD_: "262144", MALLOC_TRIM_THRESHOLD_: "1048576" };

/**
 * Scavenges are the most frequent garbage collections: they copy what is alive of at most 4 MiB, not 16, and without V8's
 * helper threads. Those make them shorter only where they have processors; on a busy machine the event loop waits for them, for
 * tens of milliseconds (docs/decisions/0010).
 */
const COLLECTOR = ["--max-semi-space-size=4", "--no-parallel-scavenge", "--no-concurrent-array-buffer-sweeping"];

export const SERVER_SWITCHES: readonly string[] = [...COLLECTOR, "--enable-source-maps"];

/**
 * A request makes about a kilobyte of small Buffers (keys, records), cut from pools. What the garbage collector sweeps in a pause is
 * pools: an eighth of as many as with Node's 8 KiB (docs/decisions/0010).
 */
const BUFFER_POOL_BYTES = 64 << 10;

/** What the user has set wins. */
export function serverEnvironment(variables: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...MALLOC_LIMITS, ...variables, LD_PRELOAD: preloaded(variables.LD_PRELOAD) };
}

/** What can still be set once it runs. */
export function setUpServerProcess(): void {
  Buffer.poolSize = BUFFER_POOL_BYTES;
}

/**
 * Begins this process again as one that serves a mount, with the same arguments. To be called before anything is open, or
 * printed. Returns where that has been done, and where it cannot be: then it serves with Node's own settings.
 */
export function becomeServerProcess(): void {
  const { execPath, execArgv, argv, env } = process;
  if (SERVER_SWITCHES.every((name) => execArgv.includes(name))) return;
  const variables = Object.entries(serverEnvironment(env)).filter(([, value]) => value !== undefined);
  loadAddon().replaceProcess(
    execPath,
    [execPath, ...SERVER_SWITCHES, ...execArgv, ...argv.slice(1)],
    variables.map(([name, value]) => `${name}=${value}`),
  );
}

/**
 * Ours after what the user has preloaded: a sanitizer's library, say, has to be the first. In the list, blanks and colons
 * separate names and cannot be quoted; from a directory with one in its name, podfs runs with glibc's own.
 */
function preloaded(byUser: string | undefined): string | undefined {
  if (/[\s:]/.test(CONDITION_VARIABLES_PATH)) return byUser;
  return byUser === undefined || byUser === "" ? CONDITION_VARIABLES_PATH : `${byUser}:${CONDITION_VARIABLES_PATH}`;
}
