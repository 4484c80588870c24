import { describe, expect, it } from "vitest";
import { BackendError } from "../../../src/backend/index.js";
import { InvariantError } from "../../../src/base/index.js";
import { CacheError } from "../../../src/cache/index.js";
import { FsError } from "../../../src/fs/index.js";
import { Errno, errnoOf, isAnswer } from "../../../src/fuse/errno.js";
import { FailureReport } from "../../../src/fuse/failure-report.js";
import { MetaError } from "../../../src/meta/index.js";
import { PublishError } from "../../../src/publish/index.js";
import { TransferError } from "../../../src/transfer/index.js";
import { ManualClock } from "../../support/manual-clock.js";

const systemError = (code: string) => Object.assign(new Error(`${code}: it failed`), { code });

describe("the errno of a failure", () => {
  it.each([
    ["ENOENT", new FsError("not-found", "")],
    ["ENODATA", new FsError("no-attribute", "")],
    ["ENXIO", new FsError("no-data-beyond", "")],
    ["EOPNOTSUPP", new FsError("not-supported", "")],
    ["ENOSPC", new CacheError("no-space", "")],
    ["ESTALE", new CacheError("gone", "")],
    ["EIO", new CacheError("corrupt", "")],
    ["EROFS", new MetaError("lease-lost", "")],
    ["EROFS", new PublishError("lease-lost", "")],
    ["EIO", new PublishError("refused", "")],
    ["EIO", new BackendError("access-denied", "")],
    ["EINTR", new TransferError("aborted", "")],
    ["EFBIG", systemError("EFBIG")],
    ["EOPNOTSUPP", systemError("EOPNOTSUPP")],
    ["EIO", systemError("ERR_INVALID_ARG_TYPE")],
    ["EIO", new InvariantError("")],
    ["EIO", new TypeError("")],
    ["EIO", "thrown text"],
  ] as const)("is %s for %s", (name, error) => {
    expect(errnoOf(error)).toBe(Errno[name]);
  });

  it("is an answer when a rule or the disk says so, else a failure", () => {
    expect([new FsError("exists", ""), systemError("ENOSPC"), systemError("EINVAL")].map(isAnswer)).toEqual([
      true,
      true,
      true,
    ]);
    const failures = [systemError("EIO"), new CacheError("fetch-failed", ""), new TypeError("")];
    expect(failures.map(isAnswer)).toEqual([false, false, false]);
  });
});

describe("failure reports", () => {
  function setUp() {
    const clock = new ManualClock();
    const logged: [level: string, details: object, message: string][] = [];
    const invariants: Error[] = [];
    const log = {
      warn: (details: object, message: string) => void logged.push(["warn", details, message]),
      error: (details: object, message: string) => void logged.push(["error", details, message]),
    };
    const failures = new FailureReport({ log, clock, onInvariant: (error) => void invariants.push(error) });
    return { clock, logged, invariants, failures };
  }

  it("log failures and not answers, each once in a while with how often it came", async () => {
    const { clock, logged, failures } = setUp();
    const down = new CacheError("fetch-failed", "the backend is down");
    expect(failures.errno(new FsError("not-found", "no such name"), "lookup", 1)).toBe(Errno.ENOENT);
    for (let count = 0; count < 5; count++) expect(failures.errno(down, "open", 7)).toBe(Errno.EIO);
    failures.errno(down, "fsync", 7);
    expect(logged.map(([level, , message]) => [level, message])).toEqual([
      ["warn", "open failed"],
      ["warn", "fsync failed"],
    ]);
    expect(logged[0]?.[1]).toEqual({ err: down, operation: "open", ino: 7 });
    await clock.advance(10_000);
    failures.errno(down, "open", 8);
    expect(logged[2]?.[1]).toEqual({ err: down, operation: "open", ino: 8, repeated: 4 });
  });

  it("stop the mount when an invariant is broken", () => {
    const { logged, invariants, failures } = setUp();
    const broken = new InvariantError("two and two are five");
    expect(failures.errno(broken, "rename", 3)).toBe(Errno.EIO);
    expect(invariants).toEqual([broken]);
    expect(logged).toHaveLength(1);
  });
});
