import { describe, expect, it } from "vitest";
import { barChart, formatValue, latencyChart, lineChart, renderHtml } from "../../../src/benchmark/report/index.js";
import { percentileNs } from "../../../src/benchmark/report/latencies.js";
import { spreadOf, summarize } from "../../../src/benchmark/report/summary.js";
import type { BenchmarkResult, Latencies } from "../../../src/benchmark/result.js";
import { sampleResult } from "./sample-result.js";

const HOSTILE = `</script><script>alert(1)</script>"'&<b>`;
/** Namespaces are names, not addresses anything is fetched from. */
const withoutNamespaces = (page: string): string => page.replaceAll("http://www.w3.org/2000/svg", "");
const count = (text: string, part: string): number => text.split(part).length - 1;

describe("the report page", () => {
  it.each([1, 2, 4])("shows every measurement of %i targets, asks nothing of the network", (targetCount) => {
    const result = sampleResult(targetCount);
    const page = renderHtml(result);
    for (const { name } of result.targets) expect(page.includes(name), name).toBe(true);
    for (const { title } of result.measurements)
      expect(page.toLowerCase().includes(title.toLowerCase()), title).toBe(true);
    expect(/https?:|src=|@import|url\(/.exec(withoutNamespaces(page))).toBeNull();
    expect(page.includes("default-src 'none'")).toBe(true);
    expect(count(page, "<svg")).toBe(count(page, "</svg>"));
    expect(page.includes("At a glance")).toBe(targetCount > 1);
    expect(/NaN|undefined|Infinity/.exec(page)).toBeNull();
  });

  it("gives every id once, and every chart a title and a description", () => {
    const page = renderHtml(sampleResult(4));
    const ids = [...page.matchAll(/ id="([^"]+)"/g)].map((match) => match[1]);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [, title, description] of page.matchAll(/role="img" aria-labelledby="(\S+) (\S+)"/g)) {
      expect(ids).toContain(title);
      expect(ids).toContain(description);
    }
  });

  it("carries the result as JSON", () => {
    const result = sampleResult(2);
    const embedded = /<script type="application\/json" id="result">(.*?)<\/script>/s.exec(renderHtml(result))?.[1];
    expect(JSON.parse(embedded ?? "")).toEqual(result);
  });

  it("escapes whatever names hold", () => {
    const result = sampleResult(2);
    const hostile: BenchmarkResult = {
      ...result,
      machine: { ...result.machine, cpu: HOSTILE },
      targets: result.targets.map((target) => ({ ...target, name: HOSTILE, details: HOSTILE })),
      measurements: result.measurements.map((one) => ({ ...one, title: HOSTILE, group: HOSTILE })),
    };
    const page = renderHtml(hostile);
    expect(page).not.toContain("<b>'");
    expect(page).not.toContain("alert(1)</script><");
    expect(count(page, "<script")).toBe(2);
    expect(count(page, "</script>")).toBe(2);
  });

  it("shows what one target could not do as a dash", () => {
    const result = sampleResult(2);
    const measurements = result.measurements.map((one) => ({
      ...one,
      samples: one.samples.filter(({ target }) => target === 0),
    }));
    const page = renderHtml({ ...result, measurements });
    expect(page).toContain(`<span class="soft">–</span>`);
    expect(page).not.toMatch(/NaN|Infinity/);
    expect(renderHtml({ ...result, measurements: [] })).toContain("</html>");
  });
});

describe("charts", () => {
  it("are complete SVG files for both colour schemes", () => {
    const charts = [
      barChart({
        title: "Reads",
        unit: "ratio",
        groups: [{ label: "<sequential>", bars: [{ label: "podfs & co", value: 0.97, low: 0.9, high: 1 }] }],
        reference: { value: 0.9, label: "target" },
      }),
      lineChart({
        title: "Growth",
        x: { label: "files", scale: "log" },
        y: { label: "time per file", scale: "linear", unit: "s" },
        series: [{ label: "podfs", points: [1, 10, 100].map((files) => [files * 1000, files * 1e-6] as const) }],
      }),
      latencyChart({ title: "Latency", series: [{ label: "podfs", latency: TEN }] }),
      latencyChart({ title: "Nothing", series: [] }),
      barChart({ title: "Nothing", unit: "B", groups: [] }),
    ];
    for (const chart of charts) {
      expect(chart).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg".*<\/svg>\n$/s);
      expect(chart).toContain("prefers-color-scheme:dark");
      expect(withoutNamespaces(chart)).not.toMatch(/NaN|undefined|Infinity|http/);
    }
    expect(charts[0]).toContain("podfs &#38; co");
  });

  it("writes the value and the whisker of every bar", () => {
    const bars = [
      { label: "one", value: 2 ** 30, low: 2 ** 29, high: 2 ** 31 },
      { label: "other", value: 2 ** 20, low: 2 ** 20, high: 2 ** 20 },
    ];
    const chart = barChart({ title: "Speed", unit: "B/s", groups: [{ label: "read", bars }] });
    expect(chart).toContain(">1.00 GiB/s</text>");
    expect(chart).toContain(">1.00 MiB/s</text>");
    expect(count(chart, `class="whisker"`)).toBe(3);
  });
});

const TEN: Latencies = {
  ...{ count: 10, minNs: 900, meanNs: 2500, maxNs: 11_000 },
  buckets: [
    [1000, 5],
    [2000, 4],
    [12_000, 1],
  ],
};

describe("figures", () => {
  it("takes percentiles from the buckets", () => {
    expect([50, 90, 99].map((percentile) => percentileNs(TEN, percentile))).toEqual([1000, 2000, 11_000]);
  });

  it("takes ratios within rounds, and calls nothing better that rounds disagree about", () => {
    const base = sampleResult(2);
    const measurement = { ...base.measurements[0]!, better: "lower" as const };
    const of = (values: readonly (readonly [number, number])[]) => {
      const samples = values.flatMap((pair, round) => pair.map((value, target) => ({ target, round, value })));
      return summarize({ ...base, measurements: [{ ...measurement, samples }] })[0]!.targets[1]!;
    };
    // The machine was ten times slower in the second round: that is not the target's doing.
    expect(
      of([
        [1, 2],
        [10, 20],
        [1, 2.5],
      ]),
    ).toMatchObject({ ratio: { median: 2, low: 2, high: 2.5 }, verdict: "worse" });
    expect(
      of([
        [1, 0.5],
        [1, 0.6],
      ]),
    ).toMatchObject({ verdict: "better" });
    expect(
      of([
        [1, 0.5],
        [1, 1.1],
      ]),
    ).toMatchObject({ verdict: "same" });
    expect(spreadOf([])).toBeUndefined();
  });

  it.each([
    [1.23 * 2 ** 30, "B/s", "1.23 GiB/s"],
    [48_100, "operations/s", "48.1 k/s"],
    [0.00087, "s", "870 µs"],
    [0.93, "ratio", "0.93×"],
    [0, "count", "0"],
    [999_900, "count", "1.00 M"],
    [Number.NaN, "s", "–"],
  ] as const)("writes %d %s as %s", (value, unit, text) => {
    expect(formatValue(value, unit)).toBe(text);
  });
});
