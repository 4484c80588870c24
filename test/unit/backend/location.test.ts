import { describe, expect, it } from "vitest";
import { openBackend } from "../../../src/backend/index.js";
import { formatS3Location } from "../../../src/backend/s3/s3-location.js";
import { UserError } from "../../../src/base/index.js";

const env = {};

function errorOf(location: string, environment = env): string {
  try {
    openBackend(location, { env: environment });
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
  throw new Error(`${location} was accepted`);
}

describe("openBackend", () => {
  it.each([
    ["/mnt/nfs/store", "/mnt/nfs/store"],
    ["/mnt/nfs/store/", "/mnt/nfs/store"],
    ["store", "/home/me/store"],
    ["../store", "/home/store"],
    ["file:///mnt/my%20store", "/mnt/my store"],
    ["/mnt/what?#", "/mnt/what?#"],
  ])("takes %s for a directory", (location, path) => {
    expect(openBackend(location, { cwd: "/home/me", env })).toEqual({ kind: "directory", path });
  });

  it("takes an S3 URL without parameters for AWS itself", () => {
    expect(openBackend("s3://bucket/team/volume/", { env })).toMatchObject({
      kind: "s3",
      bucket: "bucket",
      prefix: "team/volume",
      endpoint: undefined,
      region: undefined,
      pathStyle: false,
      signBodies: false,
    });
    expect(openBackend("s3://bucket", { env })).toMatchObject({ bucket: "bucket", prefix: "" });
  });

  it("uses path style and some region with an endpoint of its own", () => {
    expect(openBackend("s3://bucket/p?endpoint=http://127.0.0.1:9000/", { env })).toMatchObject({
      endpoint: "http://127.0.0.1:9000",
      region: "us-east-1",
      pathStyle: true,
    });
    expect(
      openBackend("s3://b-1/p?endpoint=https://s3.example.com&pathStyle=false&region=eu-1", { env }),
    ).toMatchObject({
      endpoint: "https://s3.example.com",
      region: "eu-1",
      pathStyle: false,
    });
  });

  it("reads the environment for what the URL does not say", () => {
    const environment = { AWS_ENDPOINT_URL: "http://a:1", AWS_DEFAULT_REGION: "eu-2" };
    expect(openBackend("s3://bucket/p", { env: environment })).toMatchObject({
      endpoint: "http://a:1",
      region: "eu-2",
    });
    expect(
      openBackend("s3://bucket/p?endpoint=http://c:3&region=eu-9", {
        env: { ...environment, AWS_ENDPOINT_URL_S3: "http://b:2", AWS_REGION: "eu-3" },
      }),
    ).toMatchObject({ endpoint: "http://c:3", region: "eu-9" });
  });

  it.each([
    "s3://bucket/team/volume",
    "s3://bucket",
    "s3://bucket/a%20b?endpoint=http://127.0.0.1:9000&region=us-east-1",
    "s3://bucket/p?endpoint=https://s3.example.com&region=eu-1&pathStyle=false",
    "s3://bucket/p?endpoint=http://127.0.0.1:9000&region=us-east-1&signBodies=true",
  ])("is undone by formatting: %s", (location) => {
    const config = openBackend(location, { env });
    if (config.kind !== "s3") throw new Error("not S3");
    expect(formatS3Location(config)).toBe(location);
    expect(structuredClone(config)).toEqual(config);
  });

  it.each([
    ["", /empty/],
    ["a\0b", /NUL/],
    ["gs://bucket/p", /unknown kind of backend gs/],
    ["https://bucket.s3.amazonaws.com/p", /unknown kind of backend https/],
    ["s3:bucket", /s3:\/\/bucket\/prefix/],
    ["s3://", /bucket/],
    ["s3:///prefix", /bucket/],
    ["s3://b@d!/p", /credentials|bucket/],
    ["s3://%zz/p", /not a bucket name/],
    ["s3://bucket:9000/p", /not a bucket name/],
    ["s3://bucket/a//b", /empty/],
    ["s3://bucket/%zz", /%/],
    ["s3://bucket/%00", /control/],
    [`s3://bucket/${"x".repeat(501)}`, /longer/],
    ["s3://bucket/p#fragment", /#/],
    ["s3://bucket/p?regoin=x", /unknown parameter "regoin"/],
    ["s3://bucket/p?region=a&region=b", /more than one region/],
    ["s3://bucket/p?region=a%20b", /not a region/],
    ["s3://bucket/p?pathStyle=maybe", /pathStyle/],
    ["s3://bucket/p?signBodies=maybe", /signBodies/],
    ["s3://bucket/p?endpoint=127.0.0.1:9000", /valid URL|http/],
    ["s3://bucket/p?endpoint=ftp://host", /http/],
    ["file://host/path", /file URL/],
  ])("refuses %j with one line", (location, saying) => {
    const message = errorOf(location);
    expect(message).toMatch(saying);
    expect(message).not.toContain("\n");
  });

  it("does not let a prefix leave its place", () => {
    // WHATWG URLs resolve dots themselves, encoded or not; what is left must still be a clean prefix.
    expect(openBackend("s3://bucket/a/%2e%2e/b", { env })).toMatchObject({ prefix: "b" });
  });

  it.each([
    "s3://KEY:hunter2@bucket/p",
    "s3://bucket/p?endpoint=http://KEY:hunter2@host",
    "s3://bucket/p?secret=hunter2",
    "s3://bucket:hunter2/p",
    "s3://bucket/p?endpoint=hunter2",
  ])("does not repeat the secret in %s", (location) => {
    expect(errorOf(location)).not.toContain("hunter2");
  });
});
