import { constants } from "node:fs";
import { access, open, readFile, stat } from "node:fs/promises";
import { release } from "node:os";
import { delimiter, join } from "node:path";
import type { Addon } from "../../native/index.js";
import { type Finding, messageOf } from "./finding.js";

const PASSTHROUGH_KERNEL = { major: 6, minor: 9 };
const CAP_SYS_ADMIN = 21; // linux/capability.h

/** The addon, or why it cannot be loaded. */
export type LoadedAddon = { readonly addon: Addon } | { readonly error: string };

export async function checkNode(): Promise<Finding> {
  // Older ones do not get as far as this: see cli/main.ts.
  return { check: "Node.js", verdict: "ok", found: process.version, follows: "New enough (20.19)." };
}

export async function checkKernel(): Promise<Finding> {
  const version = release();
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const { major: wantedMajor, minor: wantedMinor } = PASSTHROUGH_KERNEL;
  const found = `Linux ${version}`;
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
    ? { check: "kernel", verdict: "ok", found, follows: "Has FUSE passthrough (6.9)." }
    : {
        check: "kernel",
        verdict: "warn",
        found,
        follows: "No FUSE passthrough before 6.9: podfs serves reads and writes itself, at a fraction of the speed.",
        fix: "choose a host or node image with a newer kernel; a container cannot bring its own.",
      };
}

export async function checkAddon(loaded: LoadedAddon): Promise<Finding> {
  return "addon" in loaded
    ? { check: "native engine", verdict: "ok", found: "loads", follows: "podfs can serve files." }
    : {
        check: "native engine",
        verdict: "fail",
        found: loaded.error,
        follows: "Nothing can be mounted: it serves the cached files, on every transport.",
        fix: "run podfs setup, which builds it again, or see build/setup.log for why it could not.",
      };
}

export async function checkFuseDevice(): Promise<Finding> {
  const check = "/dev/fuse";
  try {
    const device = await open("/dev/fuse", constants.O_RDWR);
    await device.close();
    return { check, verdict: "ok", found: "opens", follows: "The kernel's FUSE can be reached." };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const follows = "Nothing can be mounted.";
    switch (code) {
      case "ENOENT":
        return {
          check,
          verdict: "fail",
          found: "not there",
          follows,
          fix: "on a machine of your own, modprobe fuse; a container must be given it: docker run --device /dev/fuse, or a Kubernetes FUSE device plugin.",
        };
      case "EPERM":
        return {
          check,
          verdict: "fail",
          found: "there, but the container may not open it",
          follows,
          fix: "let the container's device cgroup allow it (docker run --device /dev/fuse; Kubernetes: privileged, or a FUSE device plugin).",
        };
      default:
        return { check, verdict: "fail", found: messageOf(error), follows, fix: "chmod 666 /dev/fuse, as root." };
    }
  }
}

export async function checkMountRight(): Promise<Finding> {
  const check = "right to mount";
  const status = parseStatus(await readFile("/proc/self/status", "utf8"));
  if (hasCapability(status.get("CapEff"), CAP_SYS_ADMIN)) {
    return { check, verdict: "ok", found: "CAP_SYS_ADMIN", follows: "podfs mounts by mount(2)." };
  }
  const helper = await findSetUserIdHelper();
  const fix =
    "give the container the capability (docker run --cap-add SYS_ADMIN; Kubernetes: securityContext.capabilities.add), or install fuse3.";
  if (helper === undefined) {
    return {
      check,
      verdict: "fail",
      found: "no CAP_SYS_ADMIN, and no set-user-ID fusermount3",
      follows: "Nothing can be mounted.",
      fix,
    };
  }
  if (status.get("NoNewPrivs") === "1") {
    return {
      check,
      verdict: "fail",
      found: `no CAP_SYS_ADMIN, and no_new_privs keeps ${helper} from having it`,
      follows: "Nothing can be mounted.",
      fix: "start the container without no-new-privileges (Kubernetes: allowPrivilegeEscalation: true), or with CAP_SYS_ADMIN.",
    };
  }
  return {
    check,
    verdict: "warn",
    found: `no CAP_SYS_ADMIN, but ${helper}`,
    follows: "podfs mounts through it, without passthrough, which needs the capability itself.",
    fix: "run as root with CAP_SYS_ADMIN for full speed.",
  };
}

export async function checkFusermount(): Promise<Finding> {
  const helper = await findProgram("fusermount3");
  return helper === undefined
    ? {
        check: "fusermount3",
        verdict: "warn",
        found: "not installed",
        follows: "Users without CAP_SYS_ADMIN cannot mount.",
        fix: "apt-get install fuse3.",
      }
    : { check: "fusermount3", verdict: "ok", found: helper, follows: "Users without CAP_SYS_ADMIN can mount." };
}

export async function checkPassthrough(loaded: LoadedAddon, cacheDirectory: string): Promise<Finding> {
  const check = "passthrough";
  const slower = "Reads and writes of cached files go through podfs: correct, at a fraction of the speed.";
  if ("error" in loaded) {
    return { check, verdict: "warn", found: "not tried, for want of the native engine", follows: slower };
  }
  try {
    const { ok, detail } = await loaded.addon.probe("passthrough", cacheDirectory);
    return ok
      ? { check, verdict: "ok", found: detail || "works", follows: "Cached files are read and written in the kernel." }
      : {
          check,
          verdict: "warn",
          found: detail,
          follows: slower,
          fix: "it takes Linux 6.9, CAP_SYS_ADMIN outside of user namespaces, and a cache directory on a local disk (ext4, xfs, btrfs).",
        };
  } catch (error) {
    return { check, verdict: "warn", found: messageOf(error), follows: slower };
  }
}

/** `Name:\tvalue` lines, as in /proc/self/status. */
export function parseStatus(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split("\n").flatMap((line): [string, string][] => {
      const colon = line.indexOf(":");
      return colon < 0 ? [] : [[line.slice(0, colon), line.slice(colon + 1).trim()]];
    }),
  );
}

/** @param mask as in CapEff: hexadecimal digits. */
export function hasCapability(mask: string | undefined, capability: number): boolean {
  return mask !== undefined && ((BigInt(`0x${mask}`) >> BigInt(capability)) & 1n) === 1n;
}

async function findSetUserIdHelper(): Promise<string | undefined> {
  const path = await findProgram("fusermount3");
  if (path === undefined) return undefined;
  const { mode, uid } = await stat(path);
  return uid === 0 && (mode & 0o4000) !== 0 ? path : undefined;
}

async function findProgram(name: string): Promise<string | undefined> {
  for (const directory of (process.env.PATH ?? "").split(delimiter)) {
    const path = join(directory, name);
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (directory !== "" && found) return path;
  }
  return undefined;
}
