import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";

const execute = promisify(execFile);

export interface ManifestOptions {
  /** Modification times are part of the comparison. */
  readonly times?: boolean;
  /** Paths (relative) that are left out, with what is below them. */
  readonly skip?: (path: string) => boolean;
}

/**
 * Everything two copies of a tree must have in common, one line a path: type, mode, owner, size, mtime (ns), link
 * count and first name of a hard link, symlink target, device, hash of the bytes, extended attributes.
 */
export async function treeManifest(root: string, options: ManifestOptions = {}): Promise<Map<string, string>> {
  const manifest = new Map<string, string>();
  const firstNames = new Map<bigint, string>();
  const xattrs = await readXattrs(root);
  const visit = async (path: string): Promise<void> => {
    if (options.skip?.(path)) return;
    // Names are bytes: each char of a path stands for one.
    const full = Buffer.from(join(root, path), "latin1");
    const stat = await lstat(full, { bigint: true });
    const facts = [stat.mode.toString(8), stat.uid, stat.gid];
    if (options.times ?? true) facts.push(`mtime ${stat.mtimeNs}`);
    if (!stat.isDirectory()) facts.push(`nlink ${stat.nlink}`);
    if (!stat.isDirectory() && stat.nlink > 1n) {
      if (!firstNames.has(stat.ino)) firstNames.set(stat.ino, path);
      facts.push(`link of ${firstNames.get(stat.ino)}`);
    }
    if (stat.isSymbolicLink()) facts.push(`-> ${await readlink(full, "latin1")}`);
    if (stat.isFile()) facts.push(`${stat.size} bytes ${await hashOf(full)}`);
    if (stat.isCharacterDevice() || stat.isBlockDevice()) facts.push(`device ${stat.rdev}`);
    manifest.set(path === "" ? "." : path, [...facts, xattrs.get(path) ?? ""].join(" ").trim());
    if (!stat.isDirectory()) return;
    const names = await readdir(full, "latin1");
    for (const name of names.sort()) await visit(path === "" ? name : `${path}/${name}`);
  };
  await visit("");
  return manifest;
}

async function hashOf(path: Buffer): Promise<string> {
  const hash = createHash("sha1");
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest("hex");
}

async function readXattrs(root: string): Promise<Map<string, string>> {
  const { stdout } = await execute("getfattr", ["-R", "-P", "-h", "-d", "-m", "-", "-e", "hex", "."], {
    cwd: root,
    encoding: "latin1",
    maxBuffer: 256 << 20,
  });
  const found = new Map<string, string>();
  for (const block of stdout.split("\n\n")) {
    const [header, ...lines] = block.trim().split("\n");
    if (header?.startsWith("# file: "))
      found.set(header.slice("# file: ".length).replace(/^\.$/, ""), lines.sort().join(","));
  }
  return found;
}

/** What differs, a line each, at most 20: an empty list means the trees are the same. */
export function manifestDifferences(expected: Map<string, string>, found: Map<string, string>): string[] {
  const differences: string[] = [];
  for (const [path, facts] of expected) {
    const other = found.get(path);
    if (other === undefined) differences.push(`${path} is missing`);
    else if (other !== facts) differences.push(`${path}: expected ${facts}; found ${other}`);
  }
  for (const path of found.keys()) if (!expected.has(path)) differences.push(`${path} should not be there`);
  return differences.slice(0, 20);
}
