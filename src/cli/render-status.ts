import { formatBytes, formatDuration } from "../base/index.js";
import type { StatusReport } from "../mount/index.js";
import { count, filesAndBytes } from "./count.js";
import { stagingLines } from "./render-staging.js";

const BAR_WIDTH = 20;
const OPERATIONS_SHOWN = 5;

/** The report for people: a line for each thing one wants to know, most urgent first. Ends with a newline. */
export function renderStatus(report: StatusReport): string {
  const rows: (readonly [label: string, text: string])[] = [
    ["volume", report.volume.uuid + (report.volume.readOnly ? ", read-only" : "")],
    ["backend", report.volume.backend],
    ["upload", describeUpload(report)],
    ["cache", describeCache(report.cache)],
    ["", report.cache.directory],
    ["traffic", describeTraffic(report.backend)],
    ["requests", describeRequests(report.fuse.requests)],
    ...(report.staging ? labelled("staging", stagingLines(report.staging)) : []),
    ["transport", report.transport + describePassthrough(report)],
    ["lease", report.lease === null ? "none" : `epoch ${report.lease.epoch}, held by ${report.lease.holder}`],
    ["process", `pid ${report.pid}, podfs ${report.version}, up ${formatDuration(report.uptimeMs)}`],
  ];
  const { lastError } = report.publish;
  if (lastError !== null) rows.splice(3, 0, ["", `last error: ${lastError}`]);
  const width = Math.max(...rows.map(([label]) => label.length));
  const lines = rows.map(([label, text]) => `  ${label.padEnd(width)}  ${text}`);
  return `${[`${report.mountpoint}${describeState(report.state)}`, ...lines].join("\n")}\n`;
}

/** The label stands before the first line. */
function labelled(label: string, lines: readonly string[]): (readonly [label: string, text: string])[] {
  return lines.map((text, index) => [index === 0 ? label : "", text]);
}

function describeState(state: StatusReport["state"]): string {
  switch (state) {
    case "mounted":
      return "";
    case "stopping":
      return "  (being unmounted)";
    case "fenced":
      return "  (another pod took the volume: nothing is written any more)";
  }
}

function describeUpload({ publish }: StatusReport): string {
  if (publish.pendingFiles === 0 && publish.pendingOperations === 0) return "everything is in the volume";
  const age = publish.oldestDirtyAgeMs === 0 ? "" : `, oldest since ${formatDuration(publish.oldestDirtyAgeMs)}`;
  if (publish.pendingFiles === 0) return `${count(publish.pendingOperations, "metadata change")} to go${age}`;
  return `${filesAndBytes(publish)} to go${age}`;
}

function describeCache({ usedBytes, limitBytes, dirtyBytes }: StatusReport["cache"]): string {
  const share = limitBytes === 0 ? 0 : Math.min(1, usedBytes / limitBytes);
  const filled = Math.round(share * BAR_WIDTH);
  const bar = "#".repeat(filled) + ".".repeat(BAR_WIDTH - filled);
  const dirty = dirtyBytes === 0 ? "" : `, ${formatBytes(dirtyBytes)} of it not uploaded`;
  return `[${bar}] ${formatBytes(usedBytes)} of ${formatBytes(limitBytes)}${dirty}`;
}

function describeTraffic(backend: StatusReport["backend"]): string {
  const trouble = [
    ...(backend.retries > 0 ? [count(backend.retries, "retry").replace(/retrys$/, "retries")] : []),
    ...(backend.errors > 0 ? [count(backend.errors, "error")] : []),
  ];
  const out = `${formatBytes(backend.putBytes)} out (${count(backend.puts, "put")})`;
  const into = `${formatBytes(backend.getBytes)} in (${count(backend.gets, "get")})`;
  return [out, into, ...trouble].join(", ");
}

function describeRequests(requests: Readonly<Record<string, number>>): string {
  const operations = Object.entries(requests).sort(([, left], [, right]) => right - left);
  const total = operations.reduce((sum, [, number]) => sum + number, 0);
  if (total === 0) return "none yet";
  const shown = operations
    .slice(0, OPERATIONS_SHOWN)
    .map(([name, number]) => `${name.toLowerCase()} ${number.toLocaleString("en-US")}`);
  return `${total.toLocaleString("en-US")}: ${shown.join(", ")}${operations.length > OPERATIONS_SHOWN ? " …" : ""}`;
}

function describePassthrough({ passthrough, passthroughReason }: StatusReport): string {
  return passthrough ? ", passthrough yes" : `, passthrough no (${passthroughReason})`;
}
