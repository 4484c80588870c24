import { formatBytes, formatDuration } from "../../base/index.js";
import type { BenchmarkResult, Target } from "../result.js";
import { renderFigures } from "./page-figures.js";
import { PAGE_STYLE } from "./page-style.js";
import { renderTable } from "./page-table.js";
import { summarize } from "./summary.js";
import { escapeMarkup } from "./svg.js";
import { seriesClass } from "./theme.js";

/** What a page shows besides what was measured. */
export interface PageExtras {
  /** Instead of the one made from the targets' names; plain text. */
  readonly title?: string;
  /** Put before the figures; markup, already escaped. */
  readonly beforeFigures?: string;
}

/** Nothing may be fetched from anywhere: what the page shows is in it. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/** Shows the embedded result, and hands it out as a file. */
const SCRIPT = `
const text = JSON.stringify(JSON.parse(document.getElementById("result").textContent), null, 2);
document.getElementById("raw").textContent = text;
document.getElementById("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = "podfs-bench.json";
  link.click();
  URL.revokeObjectURL(link.href);
});`;

/**
 * One self-contained page that shows what was measured: it asks nothing of anybody, can be mailed or kept, and has the
 * numbers in it as JSON.
 */
export function renderHtml(result: BenchmarkResult): string {
  return renderPage(result, {});
}

/** {@link renderHtml} with something added. */
export function renderPage(result: BenchmarkResult, extras: PageExtras): string {
  const title = extras.title ?? titleOf(result.targets);
  const summaries = summarize(result);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>${escapeMarkup(title)} – podfs bench</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<div class="wrap">
${renderHeader(result, title)}
<main>
${extras.beforeFigures ?? ""}
${renderFigures(result, summaries)}
${renderTable(result, summaries)}
${renderGuide(result)}
</main>
<footer>podfs ${escapeMarkup(result.version)}, ${escapeMarkup(result.startedAt)}. This page is self-contained: keep it, or send it on.</footer>
</div>
<script type="application/json" id="result">${embedJson(result)}</script>
<script>${SCRIPT}
</script>
</body>
</html>
`;
}

function titleOf(targets: readonly Target[]): string {
  const [first, second] = targets.map(({ name }) => name);
  if (first === undefined) return "Nothing was measured";
  if (second === undefined) return `How fast is ${first}?`;
  return targets.length === 2
    ? `${first} and ${second}, side by side`
    : `${first} and ${targets.length - 1} others, side by side`;
}

function renderHeader({ machine, targets, startedAt, durationSeconds }: BenchmarkResult, title: string): string {
  const when = startedAt.replace(/^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}).*$/, "$1, $2 UTC");
  const places = targets.map(({ name, kind, details }, index) => {
    const role = targets.length > 1 && index === 0 ? " · the yardstick" : "";
    return (
      `<li class="place ${seriesClass(index)}"><b>${escapeMarkup(name)}</b><span>${escapeMarkup(kind + role)}</span>` +
      `<span>${escapeMarkup(details)}</span></li>`
    );
  });
  const { cpu, cores, memoryBytes, kernel, node } = machine;
  const hardware = `${cpu}, ${cores} ${cores === 1 ? "core" : "cores"}, ${formatBytes(memoryBytes)} of memory`;
  return `<header>
<p class="eyebrow">podfs bench</p>
<h1>${escapeMarkup(title)}</h1>
<p class="lead">${escapeMarkup(`Measured on ${when}, in ${formatDuration(durationSeconds * 1000)}.`)}<br>
${escapeMarkup(`${hardware}; Linux ${kernel.replace(/^Linux /, "")}, Node ${node}.`)}</p>
<ul class="places">${places.join("")}</ul>
</header>`;
}

function renderGuide({ targets }: BenchmarkResult): string {
  const yardstick = escapeMarkup(targets[0]?.name ?? "");
  const entries: (readonly [term: string, explanation: string])[] = [
    [
      "Bars and figures",
      "The median of all rounds. Whiskers, and the small print below a figure, are the slowest and the fastest round.",
    ],
    ...(targets.length > 1
      ? [
          [
            "Ratios",
            `A figure divided by that of ${yardstick} in the same round, then the median. Rounds are interleaved, so what ` +
              "disturbs the machine disturbs all places; ratios therefore say more than the figures themselves. " +
              "Where rounds disagree which place is better, neither is called so (≈).",
          ] as const,
        ]
      : []),
    [
      "Latency curves",
      "How long one operation took: at p95, 95 of 100 were faster. Each step to the right is ten times rarer, each step up ten times slower. Dots are p50, p95 and p99.",
    ],
    [
      "What to distrust",
      "Differences smaller than the whiskers, and single figures on a machine that others use too. The page cache makes repeated reads as fast as memory; cold figures say so in their names.",
    ],
  ];
  return `<section>
<h2>How to read this</h2>
<dl>${entries.map(([term, explanation]) => `<dt>${term}</dt><dd>${explanation}</dd>`).join("\n")}</dl>
<h2>All numbers</h2>
<p class="soft">Every sample of every round, and the latency histograms, as <code>podfs bench --json</code> prints them.</p>
<button type="button" id="save">Save as JSON</button>
<details><summary>Show them here</summary><pre id="raw" tabindex="0"></pre></details>
</section>`;
}

/** In a script element, only `<` can do harm. */
function embedJson(data: unknown): string {
  return JSON.stringify(data).replaceAll("<", "\\u003c");
}
