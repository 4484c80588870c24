import { statSync } from "node:fs";
import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { Ino } from "../../../src/base/index.js";
import { loadAddon } from "../../../src/native/index.js";
import { PublishError } from "../../../src/publish/index.js";
import { kindOf, nameOf, O_RDONLY, O_RDWR, ROOT_CALLER } from "../../support/fs-fixture.js";
import { waitUntil } from "../../support/podfs.js";
import { FILE, patternBytes } from "../../support/staging-client.js";
import { StagingUnderTest, type TestOptions } from "./staging-under-test.js";

const MIB = 1 << 20;
const ROOT = 1;
const addonProblem = kindOf(loadAddon);

describe.skipIf(addonProblem !== "none")("the staging server (needs the native addon)", () => {
  let under: StagingUnderTest;
  const start = async (options?: TestOptions): Promise<StagingUnderTest> => {
    under = await StagingUnderTest.start(options);
    return under;
  };
  /** Whatever has happened: nothing unnamed stays, and no ring. */
  afterEach(async () => {
    for (const client of under.clients) if (!client.closed) await client.close();
    await waitUntil(() => under.server.status().usedBytes === 0, "all rings are free");
    await waitUntil(() => under.unnamed().length === 0, "nothing without a name is left");
    await waitUntil(() => under.leftovers().length === 0, "no content file is left");
    await under.dispose();
  });

  it("listens where only its user gets in", async () => {
    await start();
    const { mode } = statSync(under.socketPath);
    expect(mode & 0o777).toBe(0o600);
  });

  it.each([0, 1, 4095, 4096, 4097, 3 * MIB + 5, 17 * MIB])("saves a file of %i bytes", async (size) => {
    await start();
    const client = await under.client();
    const bytes = patternBytes(size, size);
    const ino = await client.save({ save: 1, parent: ROOT, name: "a" }, bytes);
    expect(under.ino("a")).toBe(ino);
    expect((await under.bytes("a")).equals(bytes)).toBe(true);
    const attributes = under.fs.getAttributes(ino as Ino);
    expect(attributes).toMatchObject({ mode: 0o100644, nlink: 1, sizeBytes: size });
    expect(Math.abs(attributes.mtime.sec - Date.now() / 1000)).toBeLessThan(60);
    expect(under.metadata.local(ino as Ino)).toMatchObject({ dirty: true, complete: true, sizeBytes: size });
    expect(under.forgotten).toEqual(["1/a", "1"]);
  });

  it("takes pieces in any order, and several files at once", async () => {
    await start();
    const client = await under.client();
    const files = [patternBytes(9 * MIB + 77, 1), patternBytes(7 * MIB, 2)];
    for (const [save, bytes] of files.entries()) {
      await client.begin({ ...FILE, save, parent: ROOT, name: `f${save}`, sizeBytes: bytes.length });
    }
    for (let at = 10 * MIB; at >= 0; at -= MIB) {
      for (const [save, bytes] of files.entries()) {
        if (at < bytes.length) await client.put(save, at, bytes.subarray(at, at + MIB));
      }
    }
    for (const [save, bytes] of files.entries()) {
      await client.commit(save);
      expect((await under.bytes(`f${save}`)).equals(bytes)).toBe(true);
    }
    expect(under.server.status()).toMatchObject({ committed: 2, failed: 0, committedBytes: 16 * MIB + 77 });
  });

  it("replaces a file when asked to, whose readers keep it", async () => {
    await start();
    const old = await under.file("a", "old");
    under.fs.lookup(1 as Ino, nameOf("a"));
    const reader = await under.fs.open(old, O_RDONLY);
    const writer = await under.fs.open(old, O_RDWR);
    const client = await under.client();
    const bytes = patternBytes(5000, 1);
    const ino = await client.save({ save: 1, parent: ROOT, name: "a", replace: true }, bytes);
    expect(ino).not.toBe(old);
    expect(under.forgotten).toEqual(["1/a", "1", `${old}`]);
    expect((await under.bytes("a")).equals(bytes)).toBe(true);
    await writer.content.file.write(Buffer.from("OLD"), 0);
    const kept = Buffer.alloc(3);
    await reader.content.file.read(kept, 0);
    expect(kept.toString()).toBe("OLD");
    expect(under.fs.getAttributes(old).nlink).toBe(0);
    under.fs.release(reader.handle);
    under.fs.release(writer.handle);
    under.fs.forget(old, 1);
    expect(under.names()).toEqual(["a"]);
  });

  describe("refuses at once", () => {
    const cases = [
      { what: "a name that exists", name: "file", parent: ROOT, kind: "exists" },
      { what: "a directory's name", name: "directory", parent: ROOT, kind: "is-directory" },
      { what: "to replace a directory", name: "directory", parent: ROOT, kind: "is-directory", replace: true },
      { what: "a name that is too long", name: "n".repeat(256), parent: ROOT, kind: "invalid-name" },
      { what: "a path", name: "a/b", parent: ROOT, kind: "invalid-name" },
      { what: "no name", name: "", parent: ROOT, kind: "invalid-name" },
      { what: "a directory that is not there", name: "a", parent: 12345, kind: "not-found" },
      { what: "what does not fit the cache", name: "a", parent: ROOT, kind: "no-space", sizeBytes: 2 ** 40 },
    ];
    it.each(cases)("$what: $kind", async ({ name, parent, kind, replace = false, sizeBytes = 10 }) => {
      await start();
      await under.file("file", "x");
      const directory = under.fs.makeDirectory(ROOT_CALLER, 1 as Ino, nameOf("directory"), 0o755);
      under.fs.forget(directory.ino, 1);
      const client = await under.client();
      const begun = client.begin({ save: 1, parent, name, sizeBytes, replace, mode: 0o600 });
      await expect(begun).rejects.toMatchObject({ type: "failed", kind });
      expect(under.names()).toEqual(["directory", "file"]);
      // And goes on.
      await client.save({ save: 1, parent: ROOT, name: "next" }, patternBytes(10, 1));
    });

    it("a file where a directory should be", async () => {
      await start();
      const parent = await under.file("file", "x");
      const client = await under.client();
      const begun = client.begin({ ...FILE, save: 1, parent, name: "a", sizeBytes: 1 });
      await expect(begun).rejects.toMatchObject({ kind: "not-directory" });
    });

    it("what does not fit beside what is not uploaded yet, and evicts nothing for it", async () => {
      await start({ cacheBytes: 64 * MIB });
      const client = await under.client();
      await client.save({ save: 1, parent: ROOT, name: "first" }, patternBytes(30 * MIB, 1));
      const begun = client.begin({ ...FILE, save: 2, parent: ROOT, name: "second", sizeBytes: 40 * MIB });
      await expect(begun).rejects.toMatchObject({
        kind: "no-space",
        message: expect.stringContaining("wait for upload"),
      });
      await client.save({ save: 3, parent: ROOT, name: "third" }, patternBytes(20 * MIB, 3));
      expect(under.names()).toEqual(["first", "third"]);
    });

    it("anything, where the right to write is lost", async () => {
      await start();
      under.readOnly = true;
      const client = await under.client();
      const begun = client.begin({ ...FILE, save: 1, parent: ROOT, name: "a", sizeBytes: 1 });
      await expect(begun).rejects.toMatchObject({ kind: "read-only" });
    });
  });

  it("holds the room of a save from its beginning to its end", async () => {
    await start({ cacheBytes: 64 * MIB });
    const client = await under.client();
    await client.begin({ ...FILE, save: 1, parent: ROOT, name: "a", sizeBytes: 40 * MIB });
    expect(under.cache.usage().usedBytes).toBeGreaterThanOrEqual(40 * MIB);
    expect(under.cache.usage().usedBytes).toBeLessThan(41 * MIB);
    const second = { ...FILE, save: 2, parent: ROOT, name: "b", sizeBytes: 40 * MIB };
    await expect(client.begin(second)).rejects.toMatchObject({ kind: "no-space" });
    client.send({ type: "cancel", save: 1 });
    await waitUntil(() => under.cache.usage().usedBytes < MIB, "the room is free again");
    await client.begin(second);
  });

  describe("refuses at the commit", () => {
    const begin = async (sizeBytes = 3 * 4096) => {
      await start();
      const client = await under.client();
      await client.begin({ ...FILE, save: 1, parent: ROOT, name: "a", sizeBytes });
      return client;
    };

    it("a file with a hole", async () => {
      const client = await begin();
      await client.put(1, 8192, patternBytes(4096, 1));
      await client.put(1, 0, patternBytes(4096, 1));
      await expect(client.commit(1)).rejects.toMatchObject({
        kind: "protocol",
        message: expect.stringContaining("at 4096"),
      });
      expect(under.names()).toEqual([]);
    });

    it("a name that somebody made meanwhile", async () => {
      const client = await begin(10);
      await client.put(1, 0, patternBytes(10, 1));
      await under.file("a", "other");
      await expect(client.commit(1)).rejects.toMatchObject({ kind: "exists" });
      expect((await under.bytes("a")).toString()).toBe("other");
    });

    it("a directory that was removed meanwhile", async () => {
      await start();
      const client = await under.client();
      const { ino } = under.fs.makeDirectory(ROOT_CALLER, 1 as Ino, nameOf("d"), 0o755);
      await client.begin({ ...FILE, save: 1, parent: ino, name: "a", sizeBytes: 10 });
      await client.put(1, 0, patternBytes(10, 1));
      under.fs.removeDirectory(ROOT_CALLER, 1 as Ino, nameOf("d"));
      await expect(client.commit(1)).rejects.toMatchObject({ kind: "not-found" });
      under.fs.forget(ino, 1);
    });

    it("a right to write that was lost meanwhile", async () => {
      const client = await begin(10);
      await client.put(1, 0, patternBytes(10, 1));
      under.readOnly = true;
      await expect(client.commit(1)).rejects.toMatchObject({ kind: "read-only" });
    });
  });

  it.each([
    { what: "twice", offset: 0, length: 4096 },
    { what: "beyond the end", offset: 8192, length: 4096 },
    { what: "at an odd offset", offset: 5000, length: 3192 },
    { what: "of an odd length, not at the end", offset: 4096, length: 100 },
    { what: "of nothing", offset: 4096, length: 0 },
  ])("fails a save that hands in bytes $what, and still gives the slot back", async ({ offset, length }) => {
    await start();
    const client = await under.client();
    await client.begin({ ...FILE, save: 1, parent: ROOT, name: "a", sizeBytes: 8192 + 4000 });
    await client.put(1, 0, patternBytes(4096, 1));
    await client.answer("written");
    client.send({ type: "write", save: 1, slot: 1, offset, length });
    await expect(client.answer("begun", 1)).rejects.toMatchObject({ type: "failed", kind: "protocol" });
    expect(await client.answer("written")).toMatchObject({ slot: 1 });
    // What was on its way: answered, and no word about the save any more.
    await client.put(1, 4096, patternBytes(4096, 1));
    await client.answer("written");
    client.send({ type: "commit", save: 1, retire: [] });
    await client.save({ save: 2, parent: ROOT, name: "b" }, patternBytes(10, 1));
    expect(client.heard.filter(({ type }) => type !== "written")).toEqual([]);
  });

  it.each([
    { what: "no JSON", text: "hello\n" },
    { what: "no message", text: "[1, 2]\n" },
    { what: "wrong types", text: '{"type":"cancel","save":"1"}\n' },
    { what: "a slot there is not", text: '{"type":"write","save":1,"slot":4,"offset":0,"length":1}\n' },
    { what: "more than a slot", text: '{"type":"write","save":1,"slot":0,"offset":0,"length":2097153}\n' },
    {
      what: "another hello",
      text: `${JSON.stringify({ type: "hello", version: 1, pid: 1, client: "", mode: "shm", slots: 2, slotBytes: 2 * MIB, pidNamespace: 0, reason: "" })}\n`,
    },
    { what: "a line without end", text: "x".repeat(3 << 20) },
    {
      what: "a save that runs",
      text: '{"type":"begin","save":1,"parent":1,"name":"b","sizeBytes":1,"replace":false,"mode":0}\n',
    },
  ])("sends a client away that says $what, with one line", async ({ text }) => {
    await start();
    const client = await under.client();
    await client.begin({ ...FILE, save: 1, parent: ROOT, name: "a", sizeBytes: 4096 });
    client.sendText(text);
    await expect(client.answer("welcome")).rejects.toMatchObject({ kind: "protocol" });
    await waitUntil(() => client.closed, "it is sent away");
    expect(under.names()).toEqual([]);
    expect(under.server.status().clients).toEqual([]);
  });

  it("sends a client away that uses a slot twice at once", async () => {
    await start();
    const client = await under.client();
    await client.begin({ ...FILE, save: 1, parent: ROOT, name: "a", sizeBytes: 4 * MIB });
    const piece = { type: "write", save: 1, slot: 0, length: 2 * MIB } as const;
    client.send({ ...piece, offset: 0 });
    client.send({ ...piece, offset: 2 * MIB });
    await waitUntil(() => client.closed, "it is sent away");
    expect(client.heard).toContainEqual(expect.objectContaining({ type: "refused", kind: "protocol" }));
  });

  it.each([
    { what: "another version", hello: { version: 2 }, kind: "protocol" },
    { what: "a single slot", hello: { slots: 1 }, kind: "protocol" },
    { what: "odd slots", hello: { slotBytes: 4096 }, kind: "protocol" },
    { what: "slots larger than all memory", hello: { slotBytes: 64 * MIB }, kind: "no-memory" },
  ])("refuses a hello with $what", async ({ hello, kind }) => {
    await start();
    await expect(under.client(hello)).rejects.toMatchObject({ type: "refused", kind });
  });

  it("says why it does not copy from device memory", async () => {
    await start();
    const elsewhere = await under.client({ mode: "ipc", pidNamespace: 1 });
    expect(elsewhere.welcome).toMatchObject({ mode: "shm", reason: expect.stringContaining("PID namespace") });
    await elsewhere.begin({ ...FILE, save: 1, parent: ROOT, name: "a", sizeBytes: 1 });
    elsewhere.send({ type: "fill", save: 1, slot: 0, offset: 0, length: 1, pieces: [] });
    await expect(elsewhere.answer("copied")).rejects.toMatchObject({ kind: "protocol" });
  });

  it("survives who connects and says nothing, or hangs up in the middle of a line", async () => {
    await start();
    const silent = connect(under.socketPath);
    const rude = connect(under.socketPath);
    await new Promise((resolve) => rude.write('{"type":"hel', resolve));
    rude.destroy();
    const client = await under.client();
    await client.save({ save: 1, parent: ROOT, name: "a" }, patternBytes(10, 1));
    silent.destroy();
  });

  describe("undoes what a client leaves that hangs up", () => {
    it.each(["after its hello", "after begin", "between writes", "with writes on their way"])("%s", async (when) => {
      await start();
      const client = await under.client();
      if (when !== "after its hello") {
        await client.begin({ ...FILE, save: 1, parent: ROOT, name: "a", sizeBytes: 16 * MIB });
      }
      if (when === "between writes") {
        await client.put(1, 0, patternBytes(2 * MIB, 1));
        await client.answer("written");
      }
      if (when === "with writes on their way") await client.putAll(1, patternBytes(8 * MIB, 1));
      await client.close();
      await waitUntil(() => under.server.status().usedBytes === 0, "its ring is free");
      expect(under.names()).toEqual([]);
    });

    it("unless it has asked for the commit", async () => {
      await start();
      const client = await under.client();
      const bytes = patternBytes(6 * MIB, 1);
      await client.begin({ ...FILE, save: 1, parent: ROOT, name: "a", sizeBytes: bytes.length });
      await client.putAll(1, bytes);
      client.send({ type: "commit", save: 1, retire: [] });
      client.send({ type: "durable", save: 1 });
      await new Promise((resume) => setTimeout(resume, 5));
      await client.close();
      await waitUntil(
        () => under.names().length === 1 || under.server.status().usedBytes === 0,
        "it is committed or undone",
      );
      if (under.names().length === 1) expect((await under.bytes("a")).equals(bytes)).toBe(true);
    });
  });

  it("says when a file is in the volume, to whom asks, also later", async () => {
    await start();
    const client = await under.client();
    const ino = await client.save({ save: 1, parent: ROOT, name: "a" }, patternBytes(10, 1));
    expect(under.publishing).toEqual([ino]);
    client.send({ type: "durable", save: 1 });
    under.publish();
    await client.answer("published", 1);
    await client.durable(1);
    expect(under.publishing).toEqual([]);
  });

  it("says that a file is not in the volume yet, and asks again when the client does", async () => {
    await start();
    const client = await under.client();
    const ino = await client.save({ save: 1, parent: ROOT, name: "a" }, patternBytes(10, 1));
    under.publish(new PublishError("lease-lost", "another pod took the volume"));
    await waitUntil(() => under.publishing.length === 0, "the first attempt has failed");
    await new Promise(setImmediate);
    client.send({ type: "durable", save: 1 });
    await waitUntil(() => under.publishing.length === 1, "it is asked again");
    expect(under.publishing).toEqual([ino]);
    under.publish(new PublishError("lease-lost", "another pod took the volume"));
    await expect(client.answer("published", 1)).rejects.toMatchObject({ kind: "read-only" });
    client.send({ type: "durable", save: 99 });
    await expect(client.answer("published", 99)).rejects.toMatchObject({ kind: "protocol" });
  });

  it("brings a file into the volume after those it is to follow", async () => {
    await start();
    const client = await under.client();
    const first = await client.save({ save: 1, parent: ROOT, name: "a" }, patternBytes(10, 1));
    expect(under.publishing).toEqual([first]);
    await client.begin({ ...FILE, save: 2, parent: ROOT, name: "index", sizeBytes: 5 });
    await client.put(2, 0, patternBytes(5, 1));
    client.send({ type: "commit", save: 2, retire: [], after: ["a", "absent"] });
    const { ino } = await client.answer("committed", 2);
    // The first is asked for once more, and the index not yet.
    await waitUntil(() => under.publishing.length === 2, "what comes before is waited for");
    expect(under.publishing).toEqual([first, first]);
    client.send({ type: "durable", save: 2 });
    under.publish();
    await waitUntil(() => under.publishing.length === 1, "the index is next");
    expect(under.publishing).toEqual([ino]);
    under.publish();
    await client.answer("published", 2);
  });

  it("removes retired names when all is in the volume, but not what was saved again", async () => {
    await start();
    const client = await under.client();
    await under.file("old", "1");
    await under.file("again", "2");
    await client.save({ save: 1, parent: ROOT, name: "new" }, patternBytes(10, 1), ["old", "again", "absent"]);
    await client.save({ save: 2, parent: ROOT, name: "again", replace: true }, patternBytes(20, 1));
    expect(under.publishing).toContain("all");
    expect(under.names()).toEqual(["again", "new", "old"]);
    await client.close();
    under.publish();
    await waitUntil(() => under.names().length === 2, "the old one is gone");
    expect(under.names()).toEqual(["again", "new"]);
    expect(under.forgotten).toContain("1/old");
  });

  it("shares memory: a greedy client gets half, and eight clients all save", async () => {
    await start();
    const greedy = await under.client({ slots: 1000 });
    expect(greedy.welcome.slots).toBe(16);
    const clients = await Promise.all(Array.from({ length: 8 }, () => under.client({ slots: 2 })));
    const bytes = clients.map((_, index) => patternBytes(3 * MIB + index, index));
    await Promise.all(
      clients.map((client, index) => client.save({ save: 1, parent: ROOT, name: `c${index}` }, bytes[index]!)),
    );
    for (const [index, expected] of bytes.entries()) {
      expect((await under.bytes(`c${index}`)).equals(expected)).toBe(true);
    }
    await expect(under.client({ slotBytes: 32 * MIB })).rejects.toMatchObject({ kind: "no-memory" });
    const { clients: connected, usedBytes } = under.server.status();
    expect(connected).toHaveLength(9);
    expect(usedBytes).toBe(64 * MIB);
  });

  it("ends with the mount: saves that run fail, those that are committed are whole", async () => {
    await start();
    const client = await under.client();
    await client.begin({ ...FILE, save: 1, parent: ROOT, name: "half", sizeBytes: 16 * MIB });
    await client.putAll(1, patternBytes(4 * MIB, 1));
    const bytes = patternBytes(4 * MIB, 2);
    await client.begin({ ...FILE, save: 2, parent: ROOT, name: "whole", sizeBytes: bytes.length });
    await client.putAll(2, bytes);
    client.send({ type: "commit", save: 2, retire: [] });
    await waitUntil(() => client.heard.some(({ type }) => type === "committed"), "it is committed");
    await under.server.close();
    await expect(client.answer("begun", 1)).rejects.toMatchObject({ type: "failed", kind: "closing" });
    await waitUntil(() => client.closed, "the server has hung up");
    expect(under.names()).toEqual(["whole"]);
    expect((await under.bytes("whole")).equals(bytes)).toBe(true);
    await expect(under.client()).rejects.toThrow();
  });
});
