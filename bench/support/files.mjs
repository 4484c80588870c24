import { join } from "node:path";
import { PROJECT, run } from "./commands.mjs";

const MAKER = join(PROJECT, "bench/support/make-files.py");

/** Makes files for a benchmark: see make-files.py for the kinds. */
export async function makeFiles(kind, path, count, ...rest) {
  await run("python3", [MAKER, kind, path, String(count), ...rest.map(String)]);
}

/** Lets what was just done settle: uploads end, the disk is idle. Its time belongs to no row. */
export async function settle(...mounts) {
  for (const mount of mounts) await mount.flush();
  await run("sync", []);
}
