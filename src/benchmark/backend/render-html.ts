import { escapeMarkup, renderPage } from "../report/index.js";
import { capitalized } from "../report/summary.js";
import type { BackendCheck, BackendResult } from "./result.js";

const OUTCOMES = {
  ok: { sign: "✓", words: "ok", style: "better" },
  weak: { sign: "~", words: "only with one writer at a time", style: "same" },
  failed: { sign: "✗", words: "failed", style: "worse" },
} as const;

/** The page of `podfs bench`, with what podfs needs of a backend before the figures. */
export function renderBackendHtml(result: BackendResult): string {
  const title = `How good is ${result.targets[0]?.name ?? "the backend"}?`;
  return renderPage(result, { title, beforeFigures: renderChecks(result.checks) });
}

function renderChecks(checks: readonly BackendCheck[]): string {
  return `<section>
<h2>What podfs needs of a backend</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Needs">
<table class="needs"><caption>Needs</caption>
<thead><tr><th scope="col">Need</th><th scope="col">Here</th><th scope="col">For</th><th scope="col">Without it</th></tr></thead>
<tbody>${checks.map(renderCheck).join("\n")}</tbody>
</table></div>
</section>`;
}

function renderCheck({ title, outcome, detail, need, without }: BackendCheck): string {
  const { sign, words, style } = OUTCOMES[outcome];
  return (
    `<tr><th scope="row">${escapeMarkup(capitalized(title))}</th>` +
    `<td><span class="ratio ${style}">${sign} ${words}</span><small>${escapeMarkup(detail)}</small></td>` +
    `<td>${escapeMarkup(need)}</td><td>${escapeMarkup(without)}</td></tr>`
  );
}
