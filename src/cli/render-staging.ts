import { formatBytes } from "../base/index.js";
import type { StatusReport } from "../mount/index.js";
import { count } from "./count.js";

type Staging = NonNullable<StatusReport["staging"]>;
type Client = Staging["clients"][number];

/** What the mount says of checkpoints: what there was, how they are written, and who is connected. */
export function stagingLines(staging: Staging): readonly string[] {
  const { io } = staging;
  const writtenBy = io === null ? [] : [`written with ${io.engine}${inBrackets(io.reason)}`];
  return [describeTotals(staging), ...writtenBy, ...staging.clients.map(describeClient)];
}

function describeTotals({ committed, committedBytes, failed, usedBytes, memoryBytes }: Staging): string {
  const saved = `${count(committed, "checkpoint file")} (${formatBytes(committedBytes)}) saved`;
  const lost = failed === 0 ? "" : `, ${failed} failed`;
  return `${saved}${lost}; ${formatBytes(usedBytes)} of ${formatBytes(memoryBytes)} of memory in use`;
}

function describeClient({ pid, client, mode, reason, ringBytes, saves }: Client): string {
  const running = saves === 0 ? "" : `, ${count(saves, "save")} running`;
  return `pid ${pid}, ${client}: ${mode}${inBrackets(reason)}, ${formatBytes(ringBytes)}${running}`;
}

function inBrackets(reason: string): string {
  return reason === "" ? "" : ` (${reason})`;
}
