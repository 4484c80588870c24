import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { type Epoch, ROOT_INO } from "../../../src/base/index.js";
import { decodeLease, encodeLease, LEASE_OBJECT_KEY } from "../../../src/format/index.js";
import { loadAddon } from "../../../src/native/index.js";
import { kindOf, nameOf, O_RDWR, O_TRUNC, USER } from "../../support/fs-fixture.js";
import { ManualClock } from "../../support/manual-clock.js";
import { waitUntil } from "../../support/podfs.js";
import { digest, hold, holdEach, publishersUnderTest } from "./publisher-under-test.js";

const PACK = /\/pack\//;
const LOG = /\/meta\/log\//;
const MIB = 1 << 20;

const addonProblem = kindOf(loadAddon);

describe.skipIf(addonProblem !== "none")("BackgroundPublisher (needs the native addon)", () => {
  const lab = publishersUnderTest();

  /** Lets the publisher's time pass, with enough real time in between for what it has started. */
  async function pass(clock: ManualClock, ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 500) {
      await clock.advance(500);
      await pause(10);
    }
  }

  async function passUntil(clock: ManualClock, condition: () => boolean | Promise<boolean>, what: string) {
    await waitUntil(async () => {
      await clock.advance(100);
      return await condition();
    }, what);
  }

  const putsSince = (start: number) =>
    lab.server.requests.slice(start).filter(({ method, path }) => method === "PUT" && !path.endsWith("/meta/lease"));

  it("publishes by itself, soon after a file was closed", async () => {
    const machine = await lab.start();
    const bytes = randomBytes(3 * MIB + 5);
    await machine.write("file", bytes);
    await machine.write("empty", Buffer.alloc(0));
    const reader = await machine.reader();
    await waitUntil(async () => (await reader.files()).size === 2, "both are published");
    expect((await reader.files()).get("file")).toBe(digest(bytes));
    expect(machine.publisher.status()).toMatchObject({ pendingFiles: 0, pendingBytes: 0, pendingOperations: 0 });
  });

  it("begins with a large file as soon as it is closed, and waits for more with a small one", async () => {
    const machine = await lab.start({ clock: new ManualClock() });
    const before = lab.server.requests.length;
    const packs = () => putsSince(before).filter(({ path }) => PACK.test(path)).length;
    await machine.write("small", randomBytes(MIB));
    await pause(300);
    expect(packs()).toBe(0);
    await machine.write("large", randomBytes(15 * MIB));
    await waitUntil(() => packs() === 2, "both are uploaded, although no time has passed");
  });

  it("shows the old file or a new one while it is replaced again and again, never an empty or a half one", async () => {
    const clock = new ManualClock();
    const machine = await lab.start({ clock });
    const versions = [1, 2, 3].map((n) => randomBytes(n * MIB + n));
    const [old, second, third] = versions as [Buffer, Buffer, Buffer];
    const whole = versions.map(digest);
    await machine.write("x", old);
    await passUntil(clock, () => machine.publisher.status().pendingOperations === 0, "the old one is published");
    const reader = await machine.reader();
    const packs = hold(lab.server, "PUT", PACK);
    await machine.write("x.tmp", second);
    machine.rename("x.tmp", "x");
    await passUntil(clock, () => packs.count() > 0, "the second one is under way");
    await pass(clock, 6_000);
    expect(await reader.files()).toEqual(new Map([["x", digest(old)]]));
    // The second one is replaced before it is uploaded: nothing of it may be seen.
    await machine.write("x.tmp", third);
    machine.rename("x.tmp", "x");
    await pass(clock, 12_000);
    expect(await reader.files()).toEqual(new Map([["x", digest(old)]]));
    packs.release();
    await passUntil(
      clock,
      async () => {
        const files = await reader.files();
        for (const found of files.values()) expect(whole).toContain(found);
        expect(whole).toContain(files.get("x"));
        return files.get("x") === digest(third);
      },
      "the newest is published",
    );
    expect([...(await reader.files()).keys()]).toEqual(["x"]);
  });

  it("publishes a version whose upload ends after the next one has replaced it", async () => {
    const machine = await lab.start();
    const reader = await machine.reader();
    const versions = [3, 20, 21, 2].map((n) => randomBytes(n * MIB + n)) as [Buffer, Buffer, Buffer, Buffer];
    const published = async () => {
      const files = await reader.files();
      for (const found of files.values()) expect(versions.map(digest)).toContain(found);
      return files.get("x");
    };
    const replace = async (bytes: Buffer): Promise<void> => {
      await machine.write("x.tmp", bytes);
      machine.rename("x.tmp", "x");
    };
    await replace(versions[0]);
    await machine.publisher.syncAll();
    const packs = holdEach(lab.server, "PUT", PACK);
    await replace(versions[1]);
    await waitUntil(() => packs.length === 1, "the second is on its way");
    await replace(versions[2]);
    await waitUntil(() => packs.length === 2, "the third is on its way");
    expect(await published()).toBe(digest(versions[0]));
    packs[0]?.resolve();
    await waitUntil(async () => (await published()) === digest(versions[1]), "the second is published");
    await replace(versions[3]);
    await waitUntil(() => packs.length === 3, "the fourth is on its way");
    packs[1]?.resolve();
    await waitUntil(async () => (await published()) === digest(versions[2]), "the third is published");
    packs[2]?.resolve();
    await machine.publisher.syncAll();
    expect(await reader.files()).toEqual(new Map([["x", digest(versions[3])]]));
    expect(machine.publisher.status()).toMatchObject({ pendingFiles: 0, pendingOperations: 0 });
  });

  it("goes on after a restart with what has replaced a version that was uploaded late", async () => {
    const first = await lab.start();
    const old = randomBytes(MIB);
    const late = randomBytes(20 * MIB);
    const newest = randomBytes(5 * MIB);
    await first.write("x", old);
    await first.publisher.syncAll();
    const packs = holdEach(lab.server, "PUT", PACK);
    await first.write("x.tmp", late);
    first.rename("x.tmp", "x");
    await waitUntil(() => packs.length === 1, "the late one is on its way");
    await first.write("x.tmp", newest);
    first.rename("x.tmp", "x");
    await waitUntil(() => packs.length === 2, "the newest is on its way");
    packs[0]?.resolve();
    await waitUntil(
      async () => (await (await first.reader()).files()).get("x") === digest(late),
      "the late one is seen",
    );
    // Killed, as far as one process can tell.
    await first.publisher.drain(0);
    packs[1]?.resolve();
    lab.server.trouble = undefined;
    await first.end();
    const second = await lab.start({ from: first });
    await second.publisher.syncAll();
    expect(await (await second.reader()).files()).toEqual(new Map([["x", digest(newest)]]));
  });

  it("never shows a file without its content because it was moved into a directory that waits", async () => {
    const clock = new ManualClock();
    const machine = await lab.start({ clock });
    const busy = machine.makeDirectory("busy");
    const reader = await machine.reader();
    const big = randomBytes(5 * MIB);
    const packs = hold(lab.server, "PUT", PACK);
    await machine.write("big", big, busy);
    await passUntil(clock, () => packs.count() > 0, "the large one is under way");
    lab.server.trouble = undefined;
    const small = Buffer.from("small");
    await machine.write("f", small);
    machine.rename("f", "f", ROOT_INO, busy);
    const gone = await machine.write("gone", small);
    machine.rename("gone", "gone", ROOT_INO, busy);
    machine.fs.unlink(USER, busy, nameOf("gone"));
    expect(gone).toBeGreaterThan(0);
    await pass(clock, 12_000);
    for (const found of (await reader.files()).values()) expect(found).toBe(digest(small));
    packs.release();
    await passUntil(clock, () => machine.publisher.status().pendingOperations === 0, "all is published");
    expect(await reader.files()).toEqual(
      new Map([
        ["busy/big", digest(big)],
        ["busy/f", digest(small)],
      ]),
    );
  });

  it("keeps the order of a directory when it publishes by itself", async () => {
    const clock = new ManualClock();
    const machine = await lab.start({ clock });
    const reader = await machine.reader();
    const packs = hold(lab.server, "PUT", PACK);
    await machine.write("a", randomBytes(5 * MIB));
    await passUntil(clock, () => packs.count() > 0, "the first is under way");
    lab.server.trouble = undefined;
    await machine.write("b", Buffer.from("a is complete"));
    await pass(clock, 12_000);
    expect([...(await reader.files()).keys()]).toEqual([]);
    packs.release();
    await passUntil(clock, () => machine.publisher.status().pendingOperations === 0, "both are published");
    expect([...(await reader.files()).keys()]).toEqual(["a", "b"]);
  });

  it("does not let an fsync wait for the uploads of large files, even for those that are fsynced themselves", async () => {
    const machine = await lab.start();
    const elsewhere = machine.makeDirectory("elsewhere");
    const packs = hold(lab.server, "PUT", PACK);
    const large = [1, 2, 3].map(() => randomBytes(66 * MIB));
    const syncs: Promise<void>[] = [];
    for (const [index, bytes] of large.entries()) {
      const file = await machine.create(`large-${index}`, index === 0 ? elsewhere : ROOT_INO);
      await file.write(bytes);
      syncs.push(file.sync().finally(file.close));
    }
    // As many as there are places but one.
    await waitUntil(() => packs.count() >= 5, "the large ones are under way");
    lab.server.trouble = undefined;
    const here = await machine.create("small");
    const there = await machine.create("small", elsewhere);
    await here.write(Buffer.from("here"));
    await there.write(Buffer.from("there"));
    await Promise.all([here.sync(), there.sync()]);
    here.close();
    there.close();
    const reader = await machine.reader();
    expect([...(await reader.files()).keys()].sort()).toEqual(["elsewhere/small", "small"]);
    packs.release();
    await Promise.all(syncs);
    const files = await reader.files();
    expect(files.size).toBe(5);
    for (const [index, bytes] of large.entries()) {
      expect(files.get(index === 0 ? "elsewhere/large-0" : `large-${index}`)).toBe(digest(bytes));
    }
  });

  it("shares packs and segments among many fsyncs", async () => {
    const machine = await lab.start();
    const files = await Promise.all(Array.from({ length: 50 }, (_, i) => machine.create(`file-${i}`)));
    await Promise.all(files.map((file, i) => file.write(randomBytes(1000 + i))));
    const before = lab.server.requests.length;
    await Promise.all(files.map((file) => file.sync()));
    expect(putsSince(before).length).toBeLessThanOrEqual(6);
    expect((await (await machine.reader()).files()).size).toBe(50);
    for (const file of files) file.close();
  });

  it("publishes a file that stays open every half minute", async () => {
    const clock = new ManualClock();
    const machine = await lab.start({ clock });
    const reader = await machine.reader();
    const before = lab.server.requests.length;
    const file = await machine.create("log");
    await file.write(Buffer.from("one"));
    await pass(clock, 29_000);
    expect(putsSince(before).filter(({ path }) => PACK.test(path))).toEqual([]);
    await pass(clock, 1_500);
    const published = async () => (await reader.files()).get("log");
    await waitUntil(() => putsSince(before).some(({ path }) => PACK.test(path)), "its content is recorded");
    await passUntil(clock, async () => (await published()) === digest("one"), "it is published");
    await file.write(Buffer.from(" two"), 3);
    await passUntil(clock, async () => (await published()) === digest("one two"), "it is published again");
    file.close();
  });

  it("goes on while the backend fails, says so, and publishes everything afterwards", async () => {
    const machine = await lab.start();
    lab.server.trouble = ({ method }) => (method === "PUT" ? { status: 503, code: "SlowDown" } : undefined);
    const file = await machine.create("file");
    await file.write(Buffer.from("first"));
    let synced = false;
    const sync = file.sync().then(() => {
      synced = true;
    });
    await waitUntil(() => machine.publisher.status().lastError !== undefined, "the status tells");
    await machine.write("other", Buffer.from("written meanwhile"));
    expect(synced).toBe(false);
    expect(machine.publisher.status()).toMatchObject({ pendingFiles: 2, pendingBytes: 22 });
    lab.server.trouble = undefined;
    await sync;
    await machine.publisher.syncAll();
    file.close();
    const files = await (await machine.reader()).files();
    expect(files.get("file")).toBe(digest("first"));
    expect(files.get("other")).toBe(digest("written meanwhile"));
    expect(machine.publisher.status().lastError).toBeUndefined();
  });

  it.each([
    { what: "packs", refused: PACK },
    { what: "segments", refused: LOG },
  ])(
    "fails an fsync when the backend refuses $what, loses nothing, and publishes it once it does not",
    async ({ refused }) => {
      const machine = await lab.start();
      await machine.publisher.syncAll();
      lab.server.trouble = ({ method, path }) =>
        method === "PUT" && refused.test(path) ? { status: 403, code: "AccessDenied" } : undefined;
      const file = await machine.create("file");
      await file.write(Buffer.from("precious"));
      await expect(file.sync()).rejects.toThrow("AccessDenied");
      expect(machine.publisher.status().lastError).toContain("AccessDenied");
      expect(machine.publisher.status().pendingOperations).toBeGreaterThan(0);
      lab.server.trouble = undefined;
      await machine.publisher.syncAll();
      file.close();
      expect((await (await machine.reader()).files()).get("file")).toBe(digest("precious"));
    },
  );

  it("stops draining at the deadline, says what is left, and publishes that after the next start", async () => {
    const first = await lab.start();
    const packs = hold(lab.server, "PUT", PACK);
    const bytes = randomBytes(2 * MIB);
    await first.write("file", bytes);
    await first.write("other", Buffer.from("other"));
    const left = await first.publisher.drain(500);
    expect(left).toMatchObject({ pendingFiles: 2, pendingBytes: 2 * MIB + 5 });
    expect(left.pendingOperations).toBeGreaterThan(0);
    await expect(first.publisher.syncAll()).rejects.toMatchObject({ kind: "stopped" });
    packs.release();
    lab.server.trouble = undefined;
    await first.end();
    const second = await lab.start({ from: first });
    await second.publisher.syncAll();
    const files = await (await second.reader()).files();
    expect(files.get("file")).toBe(digest(bytes));
    expect(files.get("other")).toBe(digest("other"));
  });

  it("knows since when files are dirty that an earlier mount has left, and which were removed", async () => {
    const first = await lab.start();
    const packs = hold(lab.server, "PUT", PACK);
    await first.write("file", Buffer.from("left"));
    const writtenMs = Date.now();
    await first.write("removed", Buffer.from("not left"));
    await first.write("opened", Buffer.alloc(10));
    await waitUntil(() => packs.count() > 0, "the upload is under way");
    first.fs.unlink(USER, ROOT_INO, nameOf("removed"));
    expect(await first.publisher.drain(0)).toMatchObject({ pendingFiles: 2, pendingBytes: 14 });
    await first.end();
    const second = await lab.start({ from: first });
    const ageMs = Date.now() - writtenMs;
    const status = second.publisher.status();
    expect(status).toMatchObject({ pendingFiles: 2, pendingBytes: 14 });
    expect(status.oldestDirtyAgeMs).toBeGreaterThanOrEqual(ageMs);
    packs.release();
    await second.publisher.syncAll();
    expect(second.publisher.status()).toMatchObject({ pendingFiles: 0, pendingBytes: 0, oldestDirtyAgeMs: 0 });
    const file = await second.open(second.volume.metadata.dentry(ROOT_INO, nameOf("opened"))!.ino, O_RDWR);
    expect(second.publisher.status()).toMatchObject({ pendingFiles: 1, pendingBytes: 10 });
    file.close();
    expect(second.publisher.status()).toMatchObject({ pendingFiles: 0, pendingBytes: 0 });
  });

  it("stops when the lease is lost, keeps what it has, and tells those who wait", async () => {
    const machine = await lab.start();
    await machine.publisher.syncAll();
    const file = await machine.create("file");
    await file.write(Buffer.from("mine"));
    const { body } = await machine.store.get(LEASE_OBJECT_KEY);
    const lease = decodeLease(body);
    await machine.store.put(LEASE_OBJECT_KEY, encodeLease({ ...lease, epoch: (lease.epoch + 1) as Epoch }));
    await expect(file.sync()).rejects.toMatchObject({ kind: "lease-lost" });
    await expect(file.sync()).rejects.toMatchObject({ kind: "lease-lost" });
    await expect(machine.publisher.syncAll()).rejects.toMatchObject({ kind: "lease-lost" });
    expect(machine.publisher.status().lastError).toBeDefined();
    expect(machine.publisher.status().pendingOperations).toBeGreaterThan(0);
    file.close();
  });

  describe("while a file is being uploaded", () => {
    it.each(["append", "truncate", "rewrite"] as const)("survives its %s", async (change) => {
      const machine = await lab.start();
      const reader = await machine.reader();
      const packs = hold(lab.server, "PUT", PACK);
      const first = randomBytes(5 * MIB);
      const ino = await machine.write("file", first);
      await waitUntil(() => packs.count() > 0, "the upload is under way");
      const more = randomBytes(MIB + 1);
      const file = await machine.open(ino, change === "rewrite" ? O_RDWR | O_TRUNC : O_RDWR);
      if (change === "append") await file.write(more, first.length);
      else if (change === "rewrite") await file.write(more);
      else await machine.fs.setAttributes(USER, ino, { sizeBytes: MIB, handle: file.handle });
      const expected = { append: Buffer.concat([first, more]), truncate: first.subarray(0, MIB), rewrite: more }[
        change
      ];
      expect([...(await reader.files()).keys()]).toEqual([]);
      packs.release();
      await waitUntil(async () => {
        const found = (await reader.files()).get("file");
        expect([undefined, digest(first), digest(expected)]).toContain(found);
        if (found === digest(first)) await file.sync();
        return found === digest(expected);
      }, "the change is published");
      file.close();
    });

    it("lets it be removed, and publishes nothing of it", async () => {
      const machine = await lab.start();
      const reader = await machine.reader();
      const packs = hold(lab.server, "PUT", PACK);
      await machine.write("file", randomBytes(5 * MIB));
      await waitUntil(() => packs.count() > 0, "the upload is under way");
      machine.fs.unlink(USER, ROOT_INO, nameOf("file"));
      packs.release();
      await machine.publisher.syncAll();
      expect([...(await reader.files()).keys()]).toEqual([]);
      expect(machine.publisher.status()).toMatchObject({ pendingFiles: 0, pendingOperations: 0 });
    });

    it("does not hold up the fsync of its directory when it is replaced meanwhile", async () => {
      const machine = await lab.start();
      const packs = hold(lab.server, "PUT", PACK);
      await machine.write("x", randomBytes(5 * MIB));
      const synced = machine.publisher.syncDirectory(ROOT_INO);
      await waitUntil(() => packs.count() > 0, "the upload is under way");
      const replacement = await machine.create("x.tmp");
      await replacement.write(Buffer.from("new"));
      machine.rename("x.tmp", "x");
      packs.release();
      // Not closed: nobody but the fsync asks for it.
      await synced;
      expect((await (await machine.reader()).files()).get("x")).toBe(digest("new"));
      replacement.close();
    });
  });
});
