import { readFile } from "node:fs/promises";

/** One line of /proc/self/mountinfo. */
export interface MountEntry {
  readonly mountpoint: string;
  /** With subtype: `ext4`, `fuse.podfs`. */
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** What podfs mounts are called in the mount table. */
export const PODFS_MOUNT_TYPE = "fuse.podfs";

/**
 * All mounts this process sees, in the order they were made. Unlike stat(2), reading the table never waits for a
 * filesystem that hangs.
 */
export async function readMountTable(): Promise<MountEntry[]> {
  return parseMountTable(await readFile("/proc/self/mountinfo", "latin1"));
}

/** Fields as in proc_pid_mountinfo(5): fixed ones, optional ones, a lone "-", type, source, super options. */
export function parseMountTable(text: string): MountEntry[] {
  return text.split("\n").flatMap((line) => {
    const fields = line.split(" ");
    const separator = fields.indexOf("-", 6);
    const [mountpoint, options] = [fields[4], fields[5]];
    const [type, source] = [fields[separator + 1], fields[separator + 2]];
    if (separator < 0 || mountpoint === undefined || type === undefined) return [];
    return {
      mountpoint: decodeOctal(mountpoint),
      type,
      source: decodeOctal(source ?? ""),
      options: (options ?? "").split(","),
    };
  });
}

/** The mount whose root is exactly `path`; of several on top of each other, the one that is seen. */
export function mountAt(table: readonly MountEntry[], path: string): MountEntry | undefined {
  return table.findLast((entry) => entry.mountpoint === path);
}

/** Where podfs volumes are mounted, each place once. */
export function podfsMountpoints(table: readonly MountEntry[]): string[] {
  return [...new Set(table.filter(({ type }) => type === PODFS_MOUNT_TYPE).map(({ mountpoint }) => mountpoint))];
}

/** The mount that `path`, absolute and without symlinks, lies in. */
export function mountOf(table: readonly MountEntry[], path: string): MountEntry | undefined {
  return table
    .filter(({ mountpoint }) => mountpoint === "/" || path === mountpoint || path.startsWith(`${mountpoint}/`))
    .reduce<MountEntry | undefined>(
      (best, entry) => (best === undefined || entry.mountpoint.length >= best.mountpoint.length ? entry : best),
      undefined,
    );
}

/** Blank, tab, newline and backslash are written as three octal digits; the rest are UTF-8 bytes. */
function decodeOctal(field: string): string {
  const bytes = field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
  return Buffer.from(bytes, "latin1").toString("utf8");
}
