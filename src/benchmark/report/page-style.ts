import { CHART_RULES, FONT_FAMILY, SERIES_COUNT, seriesClass, THEME_VARIABLES } from "./theme.js";

const SWATCHES = Array.from(
  { length: SERIES_COUNT },
  (_, index) => `.${seriesClass(index)}{--series:var(--series-${index})}`,
).join("");

/** The page's style sheet; the charts' rules are part of it. */
export const PAGE_STYLE = `${THEME_VARIABLES}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 ${FONT_FAMILY};font-variant-numeric:tabular-nums;
  -webkit-text-size-adjust:100%}
.wrap{max-width:1080px;margin:0 auto;padding:clamp(20px,4vw,48px) clamp(16px,3vw,32px) 64px}
.eyebrow{margin:0 0 6px;font-size:13px;font-weight:650;letter-spacing:.08em;text-transform:uppercase;color:var(--ink-soft)}
h1{margin:0;font-size:clamp(26px,4.4vw,40px);line-height:1.15;letter-spacing:-.02em;text-wrap:balance;overflow-wrap:anywhere}
h2{margin:56px 0 4px;font-size:22px;line-height:1.25;letter-spacing:-.01em}
p{margin:8px 0;max-width:68ch}
.soft{color:var(--ink-soft)}
.lead{font-size:15px;color:var(--ink-soft)}
.places{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,240px),1fr));gap:12px;margin:28px 0 0;padding:0;
  list-style:none}
.place{padding:14px 16px;background:var(--card);border:1px solid var(--rule);border-radius:10px;
  border-left:5px solid var(--series);overflow-wrap:anywhere}
.place b{display:block;font-size:16px}
.place span{display:block;font-size:13px;line-height:1.45;color:var(--ink-soft)}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch}
.scroll:focus-visible{outline:2px solid var(--series-0);outline-offset:2px}
table{width:100%;border-collapse:collapse;font-size:14px;line-height:1.35}
caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
th,td{padding:8px 12px;text-align:right;vertical-align:top;border-bottom:1px solid var(--rule);white-space:nowrap}
th{font-weight:600}
thead th{vertical-align:bottom;border-bottom:2px solid var(--rule-strong);white-space:normal;overflow-wrap:anywhere;
  min-width:9em}
th:first-child,td:first-child{text-align:left;padding-left:0;white-space:normal;min-width:11em}
td:last-child,thead th:last-child{padding-right:0}
tbody th{font-weight:450}
.block th{padding-top:22px;font-size:13px;font-weight:650;color:var(--ink-soft)}
.named{display:inline-block;position:relative;padding-left:1.15em;text-align:left}
.named::before{content:"";position:absolute;left:0;top:.34em;width:.7em;height:.7em;border-radius:2px;background:var(--series)}
.needs th,.needs td{text-align:left;white-space:normal;min-width:12em}
.figure{font-weight:600}
small{display:block;font-size:12px;font-weight:400;color:var(--ink-soft)}
.ratio{display:block;font-size:13px;font-weight:600}
.better{color:var(--better)}.worse{color:var(--worse)}.same{color:var(--ink-soft)}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,420px),1fr));gap:16px;
  margin-top:16px;align-items:start}
figure{margin:0;padding:6px 4px;background:var(--card);border:1px solid var(--rule);border-radius:10px;min-width:0}
figure.whole{margin-top:16px}
figure table{width:auto;min-width:100%;font-size:13px}
figure .scroll{padding:0 14px 10px}
figure td,figure th{padding:5px 8px}
figure thead th{min-width:0;border-bottom-width:1px}
figure th:first-child{min-width:6em;overflow-wrap:anywhere}
@media(max-width:560px){figure table{font-size:12px}figure td,figure th{padding:5px 4px}figure .scroll{padding:0 8px 8px}}
figure tr:last-child td,figure tr:last-child th{border-bottom:0}
.chart{display:block;width:100%;height:auto;margin:0 auto}
.narrow{display:none}@media(max-width:720px){.narrow{display:block}.wide{display:none}}
.plots .chart{max-width:540px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:6px 20px;max-width:76ch;font-size:15px}
dt{font-weight:600}dd{margin:0;color:var(--ink-soft)}
@media(max-width:560px){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:10px}}
button{font:inherit;font-size:14px;font-weight:600;color:var(--ink);background:var(--card);border:1px solid var(--rule-strong);
  border-radius:8px;padding:8px 14px;cursor:pointer}
button:hover{border-color:var(--ink)}
pre{max-height:420px;overflow:auto;padding:14px;font-size:12px;line-height:1.45;background:var(--card);
  border:1px solid var(--rule);border-radius:10px}
summary{cursor:pointer;margin-top:12px;font-size:14px}
footer{margin-top:64px;padding-top:16px;border-top:1px solid var(--rule);font-size:13px;color:var(--ink-soft)}
@media print{body{background:#fff}figure,.place{break-inside:avoid}button,details{display:none}}
${SWATCHES}
${CHART_RULES}`;
