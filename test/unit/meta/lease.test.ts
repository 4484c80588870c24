import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MemoryStore, type ObjectStore, withFaults } from "../../../src/backend/index.js";
import { ROOT_INO, type SegmentSeq } from "../../../src/base/index.js";
import { LeaseKeeper } from "../../../src/meta/lease/lease-keeper.js";
import { readLease } from "../../../src/meta/lease/lease-object.js";
import { MetaError } from "../../../src/meta/meta-error.js";
import { ManualClock } from "../../support/manual-clock.js";
import { createFile, keysOf, MetaFixture, shipAll, treeOf } from "../../support/meta-fixture.js";

const holder = (id: string) => ({ id, host: `host-${id}`, pid: 7, mountpoint: `/mnt/${id}` });
const TTL_MS = 30_000;

async function kindOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof MetaError ? error.kind : String(error);
}

describe.each([true, false])("lease, conditional writes: %s", (conditional) => {
  let backend: ObjectStore;
  let clock: ManualClock;
  const keepers: LeaseKeeper[] = [];

  beforeEach(async () => {
    backend = new MemoryStore();
    if (conditional) await backend.probe();
    clock = new ManualClock();
  });

  afterEach(() => {
    for (const keeper of keepers.splice(0)) keeper.stopRenewing();
  });

  async function acquire(id: string, takeOver = false): Promise<LeaseKeeper> {
    const acquiring = LeaseKeeper.acquire({ store: backend, clock, holder: holder(id) }, takeOver);
    const keeper = await passing(acquiring);
    keepers.push(keeper);
    return keeper;
  }

  /** Lets time pass, for the pause between writing and reading again, until the promise settles. */
  async function passing<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const settle = () => {
      settled = true;
    };
    promise.then(settle, settle);
    while (!settled) await clock.advance(100);
    return promise;
  }

  it("counts epochs up with every holder", async () => {
    const a = await acquire("a");
    expect(a.epoch).toBe(1);
    await a.release();
    expect((await acquire("b")).epoch).toBe(2);
  });

  it("refuses a second writer with a line that names the first", async () => {
    await acquire("a");
    await expect(acquire("b")).rejects.toThrow(/\/mnt\/a on host-a \(pid 7\).*expires in .*--take-over/);
    expect(await kindOf(acquire("b"))).toBe("lease-held");
  });

  it("lets the same cache directory go on at once after a crash", async () => {
    const a = await acquire("a");
    a.stopRenewing();
    expect((await acquire("a")).epoch).toBe(2);
  });

  it("is kept by renewal, and can be taken some seconds after the last one", async () => {
    const a = await acquire("a");
    await clock.advance(5 * TTL_MS);
    expect(await kindOf(acquire("b"))).toBe("lease-held");
    a.stopRenewing();
    await clock.advance(TTL_MS + 6000);
    expect((await acquire("b")).epoch).toBe(2);
  });

  it("can be taken from a live holder, who hears of it with the next renewal", async () => {
    const a = await acquire("a");
    const reasons: string[] = [];
    a.onLost((reason) => reasons.push(reason));
    await acquire("b", true);
    await clock.advance(TTL_MS / 3);
    expect(reasons).toEqual([expect.stringContaining("/mnt/b on host-b")]);
    expect(a.held).toBe(false);
    expect(await kindOf(a.ensure())).toBe("lease-lost");
    expect(await kindOf(a.verify())).toBe("lease-lost");
    await a.release();
    expect((await readLease(backend))?.lease.holder.id).toBe("b");
  });

  it("asks before it writes when it was stalled for longer than the lease lasts", async () => {
    const a = await acquire("a");
    a.stopRenewing();
    await clock.advance(TTL_MS * 2);
    await a.ensure();
    expect(a.held).toBe(true);
    a.stopRenewing();
    await clock.advance(TTL_MS * 2);
    await acquire("b");
    expect(await kindOf(a.ensure())).toBe("lease-lost");
  });

  it("is not lost while the backend does not answer", async () => {
    let down = false;
    backend = withFaults(backend, () => (down ? { error: "unavailable" } : undefined), clock);
    const a = await acquire("a");
    down = true;
    await clock.advance(TTL_MS * 3);
    expect(a.held).toBe(true);
    down = false;
    await clock.advance(TTL_MS / 3);
    await a.verify();
    expect(a.held).toBe(true);
  });

  it("remembers where epochs begin, without those that shipped nothing", async () => {
    const a = await acquire("a");
    await a.begin(1 as SegmentSeq, undefined);
    await a.release();
    const b = await acquire("b");
    await b.begin(1 as SegmentSeq, undefined);
    await b.release();
    const c = await acquire("c");
    await c.begin(4 as SegmentSeq, undefined);
    expect((await readLease(backend))?.lease.beginsAt).toEqual([
      { epoch: 2, seq: 1 },
      { epoch: 3, seq: 4 },
    ]);
  });

  it("goes to one of several that ask at the same moment", async () => {
    const asking = ["a", "b", "c", "d"].map((id) =>
      LeaseKeeper.acquire({ store: backend, clock, holder: holder(id) }, false),
    );
    const winners = (await passing(Promise.allSettled(asking))).flatMap((result) =>
      result.status === "fulfilled" ? [result.value] : [],
    );
    keepers.push(...winners);
    expect(winners).toHaveLength(1);
  });
});

describe("fencing", () => {
  let fixture: MetaFixture;

  beforeEach(async () => {
    fixture = new MetaFixture();
    await fixture.create();
  });

  afterEach(() => fixture.close());

  it("makes a stalled writer's segment count for nothing, and keeps its work", async () => {
    let stalled: (() => void) | undefined;
    const resumed = new Promise<void>((resolve) => {
      stalled = resolve;
    });
    let stall = false;
    const slow = new Proxy(fixture.backend, {
      get(target, property) {
        const value = Reflect.get(target, property);
        if (property !== "put") return typeof value === "function" ? value.bind(target) : value;
        return async (...args: Parameters<ObjectStore["put"]>) => {
          if (stall && args[0].startsWith("meta/log/")) await resumed;
          return target.put(...args);
        };
      },
    });
    const a = await fixture.writer("a", { store: slow });
    createFile(a.metadata, ROOT_INO, "before");
    await shipAll(a);
    createFile(a.metadata, ROOT_INO, "zombie");
    const lost: string[] = [];
    a.log.onLeaseLost((reason) => lost.push(reason));
    stall = true;
    const shipping = shipAll(a);
    shipping.catch(() => {});
    await new Promise(setImmediate);

    const b = await fixture.writer("b", { takeOver: true });
    createFile(b.metadata, ROOT_INO, "successor");
    stalled?.();
    expect(await kindOf(shipping)).toBe("lease-lost");
    expect(lost).toHaveLength(1);
    expect(a.log.lease.held).toBe(false);
    expect(Array.from(a.metadata.pendingOperations())).toHaveLength(1);
    expect(await kindOf(shipAll(a))).toBe("lease-lost");

    await shipAll(b);
    const tree = treeOf(b.metadata);
    expect(Object.keys(tree)).toEqual(["/", "/before", "/successor"]);
    await b.close();
    // Both segments are there under the same number; only the successor's counts.
    expect(await keysOf(fixture.backend, "meta/log/")).toHaveLength(3);
    const c = await fixture.writer("c");
    expect(treeOf(c.metadata)).toEqual(tree);
  });

  it("counts a segment that was there before the takeover, though its writer cannot know", async () => {
    let fail = false;
    const flaky = withFaults(fixture.backend, ({ operation, key }) =>
      fail && operation === "get" && key === "meta/lease" ? { error: "unavailable" } : undefined,
    );
    const a = await fixture.writer("a", { store: flaky });
    createFile(a.metadata, ROOT_INO, "unconfirmed");
    fail = true;
    await expect(shipAll(a)).rejects.toThrow("injected fault");
    expect(Array.from(a.metadata.pendingOperations())).toHaveLength(2);

    const b = await fixture.writer("b", { takeOver: true });
    expect(Object.keys(treeOf(b.metadata))).toEqual(["/", "/unconfirmed"]);
    await b.close();
    fail = false;
    await fixture.abandon(a);
    // Its own segment settles its operations; what the other wrote since is then just news.
    const again = await fixture.writer("a");
    expect(Array.from(again.metadata.pendingOperations())).toEqual([]);
    expect(Object.keys(treeOf(again.metadata))).toEqual(["/", "/unconfirmed"]);
  });

  it("puts the same bytes again when it does not know whether a segment arrived", async () => {
    let lose = true;
    const flaky = withFaults(fixture.backend, ({ operation, key }) =>
      lose && operation === "put" && key.startsWith("meta/log/") ? { error: "unavailable", when: "after" } : undefined,
    );
    const a = await fixture.writer("a", { store: flaky });
    createFile(a.metadata, ROOT_INO, "one");
    await expect(shipAll(a)).rejects.toThrow("injected fault");
    createFile(a.metadata, ROOT_INO, "two");
    lose = false;
    await shipAll(a);
    expect(Array.from(a.metadata.pendingOperations())).toEqual([]);
    expect(await keysOf(fixture.backend, "meta/log/")).toHaveLength(2);
    const tree = treeOf(a.metadata);
    await a.close();
    const b = await fixture.writer("b");
    expect(treeOf(b.metadata)).toEqual(tree);
  });
});
