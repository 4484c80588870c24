import type { Command } from "commander";
import { UserError } from "../base/index.js";
import { processEnvironment, stateDirectory } from "../config/index.js";
import { callMount, podfsMountpoints, readMountTable, resolveMountpoint, type StatusReport } from "../mount/index.js";
import { renderStatus } from "./render-status.js";

const EXAMPLES = `
Examples:
  podfs status                    every mount on this machine
  podfs status /workspace
  podfs status --json /workspace | jq .publish.pendingBytes

With --json, one mount is an object, and every mount an array of them.`;

const ANSWER_TIMEOUT_MS = 5000;

export function setUpStatus(program: Command): void {
  program
    .command("status")
    .description("say what a mount is doing: cache, uploads, backend, requests")
    .argument("[MOUNTPOINT]", "where the volume is mounted; without it, every mount")
    .option("--json", "print as JSON, sizes in bytes and times in milliseconds")
    .addHelpText("after", EXAMPLES)
    .action(async (path: string | undefined, flags: { readonly json?: boolean }) => {
      if (path === undefined) {
        await reportAll(flags.json === true);
        return;
      }
      const report = await askStatus(await resolveMountpoint(path));
      process.stdout.write(flags.json === true ? `${JSON.stringify(report, null, 2)}\n` : renderStatus(report));
    });
}

function askStatus(mountpoint: string): Promise<StatusReport> {
  const stateDir = stateDirectory(processEnvironment());
  return callMount(mountpoint, { command: "status" }, { stateDir, timeoutMs: ANSWER_TIMEOUT_MS });
}

async function reportAll(json: boolean): Promise<void> {
  const mountpoints = podfsMountpoints(await readMountTable());
  const answers = await Promise.allSettled(mountpoints.map(askStatus));
  const reports = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
  if (json) process.stdout.write(`${JSON.stringify(reports, null, 2)}\n`);
  else if (mountpoints.length === 0) process.stdout.write("nothing is mounted by podfs on this machine\n");
  else process.stdout.write(reports.map((report) => renderStatus(report)).join("\n"));
  // One mount in trouble must not keep the others from being shown.
  const failures = answers.flatMap((answer) => (answer.status === "rejected" ? String(answer.reason.message) : []));
  if (failures.length > 0) throw new UserError(failures.join("; "));
}
