import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { Deferred, ROOT_INO, shareLoop } from "../../../src/base/index.js";
import { loadAddon } from "../../../src/native/index.js";
import type { PublishStatus } from "../../../src/publish/index.js";
import { kindOf, nameOf, O_RDWR, O_TRUNC, USER } from "../../support/fs-fixture.js";
import { ManualClock } from "../../support/manual-clock.js";
import { waitUntil } from "../../support/podfs.js";
import { digest, hold, type PublisherUnderTest, publishersUnderTest } from "./publisher-under-test.js";

const PACK = /\/pack\//;
const addonProblem = kindOf(loadAddon);

/** Calls `hook` before each call of a method, with how many there have been. */
function onCall<Key extends string>(
  object: Record<Key, (...args: never[]) => unknown>,
  method: Key,
  hook: (count: number) => void,
): void {
  const original = object[method].bind(object);
  let count = 0;
  object[method] = ((...args: never[]) => {
    hook(++count);
    return original(...args);
  }) as (typeof object)[Key];
}

describe.skipIf(addonProblem !== "none")("BackgroundPublisher with many files (needs the native addon)", () => {
  const lab = publishersUnderTest();

  /** Closed files, and the digests of what is in them. The loop has a turn now and then, as in a mount. */
  async function writeMany(machine: PublisherUnderTest, count: number): Promise<Map<string, string>> {
    const expected = new Map<string, string>();
    for (let i = 0; i < count; i++) {
      const bytes = Buffer.from(`file ${i}`);
      await machine.write(`f${i}`, bytes);
      expected.set(`f${i}`, digest(bytes));
      if (i % 50 === 49) await new Promise(setImmediate);
    }
    return expected;
  }

  it("looks at each of many files a few times, not at all of them for each upload", async () => {
    const machine = await lab.start();
    const packs = hold(lab.server, "PUT", PACK);
    const count = 20_000;
    let looks = 0;
    onCall(machine.volume.metadata, "local", () => looks++);
    onCall(machine.cache, "opened", () => looks++);
    await writeMany(machine, count);
    const written = looks;
    expect(machine.publisher.status()).toMatchObject({ pendingFiles: count });
    expect(looks - written).toBe(0);
    packs.release();
    await machine.publisher.syncAll();
    expect(machine.publisher.status()).toMatchObject({ pendingFiles: 0, pendingBytes: 0, pendingOperations: 0 });
    expect(looks).toBeLessThan(12 * count);
  });

  it("publishes two thousand small files in two packs", async () => {
    const clock = new ManualClock();
    const machine = await lab.start({ clock });
    await writeMany(machine, 2000);
    const before = lab.server.requests.length;
    await waitUntil(async () => {
      await clock.advance(500);
      return machine.publisher.status().pendingOperations === 0;
    }, "all is published");
    const packs = lab.server.requests.slice(before).filter(({ method, path }) => method === "PUT" && PACK.test(path));
    expect(packs.length).toBe(2);
  });

  it("does not begin before all of them are urged when somebody asks for everything: the packs would not be full", async () => {
    const clock = new ManualClock();
    const machine = await lab.start({ clock });
    await writeMany(machine, 2000);
    const packs = hold(lab.server, "PUT", PACK);
    // Background work has used up this turn of the loop, so urging takes several: the scheduler looks for work in between.
    while (shareLoop() === undefined);
    const synced = machine.publisher.syncAll();
    await clock.advance(100);
    packs.release();
    await waitUntil(async () => {
      await clock.advance(500);
      return machine.publisher.status().pendingOperations === 0;
    }, "all is published");
    await synced;
    expect(packs.count()).toBe(2);
  });

  it("loses nothing of files that are written, removed, replaced and fsynced while they are being published", async () => {
    const machine = await lab.start();
    const expected = await writeMany(machine, 1500);
    const synced = machine.publisher.syncAll();
    const fsyncs: Promise<void>[] = [];
    for (let i = 0; i < 1500; i += 3) {
      const name = `f${i}`;
      const bytes = randomBytes(100 + i);
      const { ino } = machine.volume.metadata.dentry(ROOT_INO, nameOf(name))!;
      if (i % 2 === 0) {
        const file = await machine.open(ino, O_RDWR | O_TRUNC);
        await file.write(bytes);
        if (i % 5 === 0) fsyncs.push(file.sync().finally(file.close));
        else file.close();
        expected.set(name, digest(bytes));
      } else if (i % 5 === 0) {
        machine.fs.unlink(USER, ROOT_INO, nameOf(name));
        expected.delete(name);
      } else {
        await machine.write("new", bytes);
        machine.rename("new", name);
        expected.set(name, digest(bytes));
      }
      if (i % 30 === 0) await new Promise(setImmediate);
    }
    await Promise.all([synced, ...fsyncs]);
    await machine.publisher.syncAll();
    expect(await (await machine.reader()).files()).toEqual(expected);
    expect(machine.publisher.status()).toMatchObject({ pendingFiles: 0, pendingBytes: 0, pendingOperations: 0 });
    expect(machine.warnings).toEqual([]);
  });

  it.each([
    { when: "are recorded", recordedMin: 300, looksMin: 0 },
    { when: "are settled", recordedMin: 1000, looksMin: 300 },
  ])("can be stopped while files $when, and publishes them after the next start", async ({ recordedMin, looksMin }) => {
    const first = await lab.start();
    const packs = hold(lab.server, "PUT", PACK);
    const expected = await writeMany(first, 1000);
    const stopped = new Deferred<PublishStatus>();
    let recorded = 0;
    let looks = 0;
    const stopWhenReached = (): void => {
      if (recorded < recordedMin || looks++ < looksMin) return;
      looks = Number.NEGATIVE_INFINITY;
      // Between one file and the next.
      queueMicrotask(() => stopped.resolve(first.publisher.drain(0)));
    };
    onCall(first.cache, "finishUpload", () => {
      recorded++;
      if (looksMin === 0) stopWhenReached();
    });
    onCall(first.volume.metadata, "local", stopWhenReached);
    const synced = expect(first.publisher.syncAll()).rejects.toMatchObject({ kind: "stopped" });
    await waitUntil(() => packs.count() > 0, "an upload is under way");
    packs.release();
    await synced;
    expect((await stopped.promise).pendingOperations).toBeGreaterThan(1000);
    await first.end();
    const second = await lab.start({ from: first });
    await second.publisher.syncAll();
    expect(await (await second.reader()).files()).toEqual(expected);
    expect(second.publisher.status()).toMatchObject({ pendingFiles: 0, pendingOperations: 0 });
  });

  it("tells who asks for everything when the backend refuses it, and publishes it once it does not", async () => {
    const machine = await lab.start();
    lab.server.trouble = ({ method, path }) =>
      method === "PUT" && PACK.test(path) ? { status: 403, code: "AccessDenied" } : undefined;
    const expected = await writeMany(machine, 100);
    await expect(machine.publisher.syncAll()).rejects.toThrow("AccessDenied");
    lab.server.trouble = undefined;
    await machine.publisher.syncAll();
    expect(await (await machine.reader()).files()).toEqual(expected);
  });
});
