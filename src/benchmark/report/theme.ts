/**
 * Colours of series that stay apart for every kind of colour vision (after Okabe and Ito, "Color Universal Design",
 * 2008, https://jfly.uni-koeln.de/color/), each as dark or light as its background asks for.
 */
const SERIES_LIGHT = ["#0b6bb5", "#cc4f00", "#07825f", "#a93c86", "#8a6a00", "#2487ab", "#6a4bb0", "#646c78"];
const SERIES_DARK = ["#58b1ee", "#f28f45", "#35c699", "#e48cc1", "#e2bf3f", "#86dcf2", "#b29df2", "#a7afba"];

/** Later series begin again with the first colour. */
export const SERIES_COUNT = SERIES_LIGHT.length;

export function seriesClass(index: number): string {
  return `series-${index % SERIES_COUNT}`;
}

function variables(series: readonly string[], others: string): string {
  return `${series.map((colour, index) => `--series-${index}:${colour}`).join(";")};${others}`;
}

const LIGHT = variables(
  SERIES_LIGHT,
  "--paper:#ffffff;--card:#ffffff;--ink:#1b1f26;--ink-soft:#586172;--rule:#dde1e8;--rule-strong:#9aa3b2;" +
    "--better:#07704f;--worse:#b23c00",
);
const DARK = variables(
  SERIES_DARK,
  "--paper:#101318;--card:#171b22;--ink:#e8ebf0;--ink-soft:#9ca6b6;--rule:#2a313c;--rule-strong:#5d6878;" +
    "--better:#45cf9f;--worse:#f59a5a",
);

/** Custom properties of the page and of every chart, for both colour schemes. */
export const THEME_VARIABLES = `:root{color-scheme:light dark;${LIGHT}}@media(prefers-color-scheme:dark){:root{${DARK}}}`;

const FONT = `ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif`;
export const FONT_FAMILY = FONT;

const SERIES_RULES = SERIES_LIGHT.map(
  (_, index) => `.chart .${seriesClass(index)}{--series:var(--series-${index})}`,
).join("");

/** Rules of everything that is drawn. */
export const CHART_RULES =
  `.chart{font-family:${FONT};font-size:12px;font-variant-numeric:tabular-nums}` +
  ".chart text{fill:var(--ink)}" +
  ".chart .heading{font-size:15px;font-weight:650}" +
  ".chart .note,.chart .tick,.chart .axis-title{fill:var(--ink-soft);font-size:12px}" +
  ".chart .tick{font-size:11px}" +
  ".chart .group{font-weight:600;font-size:13px}" +
  // Behind text that lines may cross.
  ".chart .group,.chart .halo{paint-order:stroke;stroke:var(--card);stroke-width:5}" +
  ".chart .name{fill:var(--ink-soft)}" +
  ".chart .value{font-weight:600}" +
  ".chart .grid{stroke:var(--rule);stroke-width:1}" +
  ".chart .base{stroke:var(--rule-strong);stroke-width:1}" +
  ".chart .reference{stroke:var(--ink);stroke-width:1.2;stroke-dasharray:4 3}" +
  ".chart .bar{fill:var(--series)}" +
  ".chart .whisker{stroke:var(--ink);stroke-width:1.3;opacity:.75}" +
  ".chart .curve{fill:none;stroke:var(--series);stroke-width:2;stroke-linejoin:round}" +
  ".chart .range{stroke:var(--series);stroke-width:2.5;stroke-linecap:round;opacity:.55}" +
  ".chart .dot{fill:var(--series);stroke:var(--card);stroke-width:1.5}" +
  ".chart text.series{fill:var(--series);font-weight:600}" +
  SERIES_RULES;

/** The style sheet of a chart that stands alone: inside an `<img>`, the reader's colour scheme counts too. */
export const CHART_STYLE = THEME_VARIABLES + CHART_RULES;

/** Alone, a chart brings its own paper: the page around it may be of the other colour scheme. */
export const CHART_BACKGROUND = `<rect width="100%" height="100%" rx="8" style="fill:var(--card)"/>`;
