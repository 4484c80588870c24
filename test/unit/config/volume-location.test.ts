import { describe, expect, test } from "vitest";
import { canonicalVolumeUrl, isDirectoryVolume } from "../../../src/config/index.js";

const canonical = (text: string): string => canonicalVolumeUrl(text, "/home/ada");

describe("the address of a volume", () => {
  test.each([
    ["store", "/home/ada/store"],
    ["/mnt/nfs/../store/", "/mnt/store"],
    ["file:///mnt/my%20store", "/mnt/my store"],
    ["s3://bucket", "s3://bucket"],
    ["s3://bucket/", "s3://bucket"],
    ["S3://bucket//a/b/", "s3://bucket/a/b"],
    [
      "s3://bucket/p?region=eu-1&endpoint=http://127.0.0.1:9000",
      "s3://bucket/p?endpoint=http://127.0.0.1:9000&region=eu-1",
    ],
  ])("%s has one spelling", (text, expected) => {
    expect(canonical(text)).toBe(expected);
    expect(canonical(expected)).toBe(expected);
  });

  test.each([
    ["", /address is empty/],
    ["gs://bucket/a", /cannot store volumes in gs:/],
    ["https://example.org/a", /cannot store volumes in https:/],
    ["s3://", /write s3:\/\/bucket\/prefix/],
    ["s3://a", /"a" cannot be the name of a bucket/],
    ["s3://bucket:9000/a", /has no port; write .*\?endpoint=http:\/\/bucket:9000/],
    ["file://other-host/a", /is not the URL of a local directory/],
  ])("%s is refused", (text, message) => {
    expect(() => canonical(text)).toThrow(message);
  });

  test("is refused when it carries credentials, without repeating them", () => {
    expect(() => canonical("s3://AKIAKEY:sEcReT@bucket/a")).toThrow(/^credentials do not belong/);
    expect(() => canonical("s3://AKIAKEY:sEcReT@bucket/a")).not.toThrow(/sEcReT|AKIAKEY/);
  });

  test("tells directories from buckets", () => {
    expect(isDirectoryVolume(canonical("store"))).toBe(true);
    expect(isDirectoryVolume(canonical("s3://bucket"))).toBe(false);
  });
});
