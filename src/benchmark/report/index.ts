export { type Bar, type BarChart, type BarGroup, barChart } from "./bar-chart.js";
export { type ChartUnit, formatValue } from "./format-value.js";
export { mergeLatencies, percentileNs } from "./latencies.js";
export { type LatencyChart, type LatencySeries, latencyChart } from "./latency-chart.js";
export { type LineAxis, type LineChart, type LineSeries, lineChart } from "./line-chart.js";
export { type PageExtras, renderHtml, renderPage } from "./page.js";
export { type ChartFrame, escapeMarkup } from "./svg.js";
