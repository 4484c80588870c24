import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CacheError } from "../../../src/cache/errors.js";
import { completeFile, mappedFile } from "../../../src/cache/open-files.js";
import { loadAddon } from "../../../src/native/index.js";

describe("content files over a descriptor", () => {
  const addon = loadAddon();
  const events = { onMiss: () => {}, onTrigger: () => {} };
  let directory: string;
  let path: string;

  beforeEach(() => {
    directory = mkdtempSync(join(realpathSync(tmpdir()), "podfs-open-"));
    path = join(directory, "file");
    writeFileSync(path, "content");
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test("read and write without a map, where a trigger does nothing", async () => {
    const file = completeFile(addon, openSync(path, "r+"));
    file.setTrigger(0);
    expect(await file.write(Buffer.from("CON"), 0)).toBe(3);
    const into = Buffer.alloc(7);
    expect(await file.read(into, 0)).toBe(7);
    expect([into.toString(), file.complete]).toEqual(["CONtent", true]);
    file.close();
  });

  test("close it once when the block map cannot be used: the next file may have its number", async () => {
    const mapPath = `${path}.map`;
    writeFileSync(mapPath, Buffer.alloc(8192, 7));
    const fd = openSync(path, "r+");
    expect(() => mappedFile(addon, fd, mapPath, events)).toThrow(CacheError);
    const others: number[] = [];
    for (let i = 0; i < 8; i++) others.push(openSync(path, "r"));
    for (let i = 0; i < 50; i++) await stat(path); // What was left to threads is done.
    const open = readdirSync("/proc/self/fd").filter((one) => others.includes(Number(one)));
    expect(open.map((one) => readlinkSync(`/proc/self/fd/${one}`))).toEqual(others.map(() => path));
    for (const other of others) closeSync(other);
  });
});
