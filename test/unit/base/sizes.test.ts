import { describe, expect, it } from "vitest";
import { formatBytes, formatDuration, parseDurationMs, parseSizeBytes, UserError } from "../../../src/base/index.js";

describe("parseSizeBytes", () => {
  it.each([
    ["0", 0],
    ["4096", 4096],
    ["4096B", 4096],
    ["1k", 1024],
    ["64MiB", 64 * 1024 ** 2],
    ["64 mib", 64 * 1024 ** 2],
    ["200G", 200 * 1024 ** 3],
    ["1.5T", 1.5 * 1024 ** 4],
    ["10GB", 10_000_000_000],
    [" 7P ", 7 * 1024 ** 5],
  ])("reads %j", (text, expected) => {
    expect(parseSizeBytes(text, "--cache-size")).toBe(expected);
  });

  it.each(["", "G", "-1", "1e9", "1,5G", "10X", "10 G B", "0x10", "99999999P", "١"])("refuses %j", (text) => {
    expect(() => parseSizeBytes(text, "--cache-size")).toThrow(UserError);
    expect(() => parseSizeBytes(text, "--cache-size")).toThrow(/^--cache-size: /);
  });
});

describe("parseDurationMs", () => {
  it.each([
    ["0", 0],
    ["500ms", 500],
    ["30s", 30_000],
    ["10m", 600_000],
    ["1.5h", 5_400_000],
    ["2D", 172_800_000],
  ])("reads %j", (text, expected) => {
    expect(parseDurationMs(text, "--timeout")).toBe(expected);
  });

  it.each(["", "30", "-1s", "1w", "s"])("refuses %j", (text) => {
    expect(() => parseDurationMs(text, "--timeout")).toThrow(/^--timeout: .* is not a time/);
  });
});

describe("formatBytes", () => {
  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1 KiB"],
    [1536, "1.5 KiB"],
    [1024 ** 2 - 1, "1 MiB"],
    [200 * 1024 ** 3, "200 GiB"],
    [12.345 * 1024 ** 4, "12.3 TiB"],
    [5000 * 1024 ** 5, "5000 PiB"],
  ])("shows %d as %s", (bytes, expected) => {
    expect(formatBytes(bytes)).toBe(expected);
  });
});

describe("formatDuration", () => {
  it.each([
    [0, "0 ms"],
    [250.4, "250 ms"],
    [4200, "4.2 s"],
    [59_960, "1 min"],
    [200_000, "3 min 20 s"],
    [18_720_000, "5 h 12 min"],
    [183_600_000, "2 d 3 h"],
  ])("shows %d as %s", (ms, expected) => {
    expect(formatDuration(ms)).toBe(expected);
  });
});
