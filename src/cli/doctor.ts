import type { Command } from "commander";
import { cacheRoot, processEnvironment } from "../config/index.js";
import { checkCacheFilesystem, checkDirectIo, checkReflink, nearestDirectory } from "./doctor/cache-checks.js";
import { type Check, type Finding, messageOf } from "./doctor/finding.js";
import { checkGpu } from "./doctor/gpu-check.js";
import { checkIoUring, checkMemoryLock, checkSeccomp } from "./doctor/limit-checks.js";
import {
  checkAddon,
  checkFuseDevice,
  checkFusermount,
  checkKernel,
  checkMountRight,
  checkNode,
  checkPassthrough,
  type LoadedAddon,
} from "./doctor/mount-checks.js";
import { renderFindings } from "./doctor/render-findings.js";
import { checkStaging } from "./doctor/staging-check.js";
import type { SetExitCode } from "./program.js";

const EXAMPLES = `
Examples:
  podfs doctor
  podfs doctor --cache-dir /local/podfs
  podfs doctor --json | jq '.findings[] | select(.verdict != "ok")'

Tries what it can and leaves nothing behind. The exit code is 1 if podfs cannot
mount here.`;

export function setUpDoctor(program: Command, setExitCode: SetExitCode): void {
  program
    .command("doctor")
    .description("find out what this machine lets podfs do, and how to improve on it")
    .option("--cache-dir <path>", "where the cache is going to be")
    .option("--json", "print as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (flags: { readonly cacheDir?: string; readonly json?: boolean }) => {
      const findings = await examine(flags.cacheDir ?? cacheRoot(processEnvironment()));
      const works = findings.every(({ verdict }) => verdict !== "fail");
      if (flags.json === true) process.stdout.write(`${JSON.stringify({ works, findings }, null, 2)}\n`);
      else process.stdout.write(renderFindings(findings, process.stdout.columns ?? 80));
      if (!works) setExitCode(1);
    });
}

async function examine(cacheDir: string): Promise<Finding[]> {
  const loaded = await load();
  const directory = await nearestDirectory(cacheDir);
  const checks: readonly Check[] = [
    checkNode,
    checkKernel,
    () => checkAddon(loaded),
    checkFuseDevice,
    checkMountRight,
    checkFusermount,
    () => checkPassthrough(loaded, directory),
    () => checkCacheFilesystem(cacheDir, directory),
    () => checkReflink(directory),
    () => checkDirectIo(directory),
    () => checkIoUring(loaded),
    checkMemoryLock,
    checkSeccomp,
    () => checkGpu(loaded),
    () => checkStaging(loaded),
  ];
  const findings: Finding[] = [];
  // One after the other: they are quick, and some would disturb each other.
  for (const check of checks) findings.push(await check());
  return findings;
}

async function load(): Promise<LoadedAddon> {
  try {
    const { loadAddon } = await import("../native/index.js");
    return { addon: loadAddon() };
  } catch (error) {
    return { error: messageOf(error).split("\n")[0] ?? "" };
  }
}
