import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type HandleId, type Ino, type Name, ROOT_INO } from "../../../src/base/index.js";
import { EXCLUSIVE_VALIDITY } from "../../../src/fuse/index.js";
import { handlerOf } from "../../../src/fuse/native/dispatch.js";
import { Opcode, operationName } from "../../../src/fuse/native/opcodes.js";
import { OpenModes } from "../../../src/fuse/native/open-modes.js";
import { Reply } from "../../../src/fuse/native/reply.js";
import { Request } from "../../../src/fuse/native/request.js";
import { loadAddon, REPLY_NONE } from "../../../src/native/index.js";
import { message, struct } from "../../support/fuse-messages.js";
import { TinyFileSystem } from "../../support/tiny-file-system.js";

const CALLER = { uid: 0, gid: 0, pid: 1 };
const name = (text: string) => text as Name;

describe("request handlers", () => {
  let directory: string;
  let fileSystem: TinyFileSystem;
  const replyBytes = new Uint8Array(65_536);
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "podfs-handlers-"));
    fileSystem = new TinyFileSystem({ addon: loadAddon(), directory, mode: "served" });
  });
  afterEach(() => {
    fileSystem.close();
    rmSync(directory, { recursive: true });
  });

  /** The body of the answer, or what else the handler returned. */
  function ask(opcode: number, ino: Ino, ...body: readonly (Buffer | string)[]): Buffer | number {
    const bytes = message(opcode, ino, ...body);
    const request = new Request(new Uint8Array(bytes));
    request.load(bytes.length);
    const session = { bind: () => {}, unbind: () => {}, openBacking: () => -1, closeBacking: () => {} };
    const outcome = handlerOf(opcode)({
      request,
      reply: new Reply(replyBytes.fill(0xaa), EXCLUSIVE_VALIDITY),
      fileSystem,
      openModes: new OpenModes({ session, onPassthroughLost: () => {} }),
      knownDirectories: { missed: () => {} },
      flushOnClose: false,
      syncAll: async () => undefined,
    });
    if (typeof outcome !== "number") throw new Error("a handler waits");
    return outcome > 0 ? Buffer.from(replyBytes.subarray(0, outcome)) : outcome;
  }

  it("answer that a name is not there with an entry the kernel keeps", () => {
    const body = ask(Opcode.lookup, ROOT_INO, "nothing\0") as Buffer;
    expect(body).toHaveLength(128);
    expect(body.readBigUInt64LE(0)).toBe(0n);
    expect(body.readBigUInt64LE(16)).toBeGreaterThan(1_000_000n);
    expect(() => ask(Opcode.lookup, ROOT_INO, `${"x".repeat(256)}\0`)).toThrow(/name-too-long/);
  });

  it("count lookups and take them back, one or many at once, without a reply", () => {
    const inos = ["a", "b"].map((text) => fileSystem.makeDirectory(CALLER, ROOT_INO, name(text), 0o755).ino);
    ask(Opcode.lookup, ROOT_INO, "a\0");
    expect(fileSystem.lookups).toBe(3);
    expect(ask(Opcode.forget, inos[0] as Ino, struct([8, 1]))).toBe(REPLY_NONE);
    expect(fileSystem.lookups).toBe(2);
    const ones = inos.map((ino) => struct([8, ino], [8, 1]));
    expect(ask(Opcode.batchForget, 0 as Ino, struct([4, 2], [4, 0]), ...ones)).toBe(REPLY_NONE);
    expect(fileSystem.lookups).toBe(0);
  });

  it("list what fits, padded with zeros, and go on where they stopped", () => {
    for (let index = 0; index < 5; index++) fileSystem.makeNode(CALLER, ROOT_INO, name(`file-${index}`), 0o100644, 0);
    const handle = fileSystem.openDirectory(ROOT_INO);
    const list = (offset: number, size: number) =>
      ask(Opcode.readdir, ROOT_INO, struct([8, handle], [8, offset], [4, size], [4, 0], [8, 0], [4, 0], [4, 0]));
    // "." and ".." take 32 bytes each, "file-n" too.
    const first = list(0, 32 * 3 + 31) as Buffer;
    expect(first).toHaveLength(96);
    const dirent = (ino: number, off: number, type: number, text: string) =>
      Buffer.concat([struct([8, ino], [8, off], [4, text.length], [4, type]), Buffer.from(text.padEnd(8, "\0"))]);
    expect(first).toEqual(Buffer.concat([dirent(1, 1, 4, "."), dirent(1, 2, 4, ".."), dirent(2, 3, 8, "file-0")]));
    expect(list(3, 4096)).toHaveLength(32 * 4);
    expect(list(7, 4096)).toBe(0);
    expect(list(0, 31)).toBe(0);
  });

  it("count entries with attributes as lookups if they fit, and neither . nor ..", () => {
    for (let index = 0; index < 5; index++) {
      const { ino } = fileSystem.makeNode(CALLER, ROOT_INO, name(`file-${index}`), 0o100644, 0);
      fileSystem.forget(ino, 1);
    }
    const handle = fileSystem.openDirectory(ROOT_INO);
    const list = (offset: number, size: number) =>
      ask(Opcode.readdirplus, ROOT_INO, struct([8, handle], [8, offset], [4, size], [4, 0], [8, 0], [4, 0], [4, 0]));
    const first = list(0, 160 * 4 + 159) as Buffer;
    expect(first).toHaveLength(160 * 4);
    const nodeids = [0, 1, 2, 3].map((index) => first.readBigUInt64LE(index * 160));
    expect(nodeids).toEqual([0n, 0n, 2n, 3n]);
    expect(fileSystem.lookups).toBe(2);
    expect(list(4, 65_536)).toHaveLength(160 * 3);
    expect(fileSystem.lookups).toBe(5);
  });

  it("tell how long an attribute is, give it if there is room, and say so if not", () => {
    const { ino } = fileSystem.makeNode(CALLER, ROOT_INO, name("f"), 0o100644, 0);
    expect(ask(Opcode.setxattr, ino, struct([4, 3], [4, 0]), "user.a\0abc")).toBe(0);
    expect(ask(Opcode.setxattr, ino, struct([4, 0], [4, 0]), "user.bc\0")).toBe(0);
    const get = (size: number) => ask(Opcode.getxattr, ino, struct([4, size], [4, 0]), "user.a\0");
    expect(get(0)).toEqual(struct([4, 3], [4, 0]));
    expect(get(3)).toEqual(Buffer.from("abc"));
    expect(get(2)).toBe(-34);
    const list = (size: number) => ask(Opcode.listxattr, ino, struct([4, size], [4, 0]));
    expect(list(0)).toEqual(struct([4, 15], [4, 0]));
    expect(list(15)).toEqual(Buffer.from("user.a\0user.bc\0"));
    expect(list(14)).toBe(-34);
  });

  it("rename by mode, and refuse what they do not know", () => {
    for (const text of ["a", "b"]) fileSystem.makeDirectory(CALLER, ROOT_INO, name(text), 0o755);
    const rename = (flags: number, names: string) =>
      ask(Opcode.rename2, ROOT_INO, struct([8, 1], [4, flags], [4, 0]), names);
    expect(() => rename(1, "a\0b\0")).toThrow(/exists/);
    expect(rename(2, "a\0b\0")).toBe(0);
    expect(() => rename(4, "a\0c\0")).toThrow(/flags 4/);
    expect(ask(Opcode.rename, ROOT_INO, struct([8, 1]), "a\0c\0")).toBe(0);
    expect(() => fileSystem.lookup(ROOT_INO, name("a"))).toThrow(/not-found/);
  });

  it("refuse what is not theirs", () => {
    expect(ask(Opcode.access, ROOT_INO, struct([4, 7], [4, 0]))).toBe(-38);
    expect(ask(Opcode.read, ROOT_INO)).toBe(-5);
    expect(ask(Opcode.getlk, ROOT_INO)).toBe(-38);
    expect(ask(63, ROOT_INO)).toBe(-38);
    expect(operationName(63)).toBe("opcode63");
    expect(() => ask(Opcode.release, ROOT_INO, struct([8, 12345], [4, 0], [4, 0], [8, 0]))).toThrow(/bad-handle/);
    expect(fileSystem.openHandles).toBe(0);
    expect(fileSystem.openDirectory(ROOT_INO)).toBe(1 as HandleId);
  });
});
