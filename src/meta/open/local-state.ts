import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Whether the local store may be believed: a file beside it, so that a doubtful store need not be opened to know. */
export interface LocalState {
  /** Of the machine's start in which the store was last used. */
  readonly bootId: string;
  /** It was closed and synced after its last use. */
  readonly clean: boolean;
  /** Grows with every power loss: cached content of an earlier epoch may be garbage. */
  readonly trustEpoch: number;
}

export interface OpenedLocalState extends LocalState {
  /** False after a power loss, and when there is no state at all. */
  readonly trusted: boolean;
}

const FILE = "state.json";
const BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id";

/** The id of the machine's present start: proc(5). */
export async function readBootId(): Promise<string> {
  return (await readFile(BOOT_ID_FILE, "utf8")).trim();
}

/**
 * Reads the state and marks the store as in use, durably, before anything is written to it.
 *
 * @param discard Deletes a store that is not trusted: before the mark is made, or a crash right after it would leave a
 *   store that looks trusted.
 */
export async function beginLocalState(
  folder: string,
  bootId: string,
  discard: () => Promise<void>,
): Promise<OpenedLocalState> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const before = await readState(folder);
  const trusted = before !== undefined && (before.clean || before.bootId === bootId);
  const trustEpoch = (before?.trustEpoch ?? 0) + (trusted ? 0 : 1);
  if (!trusted) await discard();
  const state = { bootId, clean: false, trustEpoch };
  await writeState(folder, state);
  return { ...state, trusted };
}

/** After the store was synced and closed. */
export async function endLocalState(folder: string, state: LocalState): Promise<void> {
  const { bootId, trustEpoch } = state;
  await writeState(folder, { bootId, trustEpoch, clean: true });
}

async function readState(folder: string): Promise<LocalState | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, FILE), "utf8")) as LocalState;
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    if (missing || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

async function writeState(folder: string, state: LocalState): Promise<void> {
  const path = join(folder, FILE);
  const file = await open(`${path}.new`, "w", 0o600);
  try {
    await file.writeFile(`${JSON.stringify(state)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
  const parent = await open(dirname(path), "r");
  try {
    await parent.sync();
  } finally {
    await parent.close();
  }
}
