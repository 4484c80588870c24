import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { buildSimulatedDriver } from "./support/simulated-driver.js";

const SOURCES = fileURLToPath(new URL("./simulated-cuda", import.meta.url));

test("the simulated driver is as strict as it says", () => {
  const make = ["--silent", "-C", SOURCES, "check", `OUT=${buildSimulatedDriver()}`];
  expect(execFileSync("make", make, { encoding: "utf8" })).toBe("as strict as it says\n");
});
