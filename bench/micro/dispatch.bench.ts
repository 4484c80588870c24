/** Requests from the kernel's bytes to the reply's bytes, through real metadata: everything but the kernel and the wake-up. */
import { afterAll, bench, describe } from "vitest";
import { type Ino, ROOT_INO } from "../../src/base/index.js";
import { EXCLUSIVE_VALIDITY } from "../../src/fuse/index.js";
import { handlerOf } from "../../src/fuse/native/dispatch.js";
import { Opcode } from "../../src/fuse/native/opcodes.js";
import { OpenModes } from "../../src/fuse/native/open-modes.js";
import { Reply } from "../../src/fuse/native/reply.js";
import { Request } from "../../src/fuse/native/request.js";
import { FsFixture } from "../../test/support/fs-fixture.js";
import { message, struct } from "../../test/support/fuse-messages.js";

const FILES = 1000;
const REPLY_BYTES = 256 << 10;
const fixture = new FsFixture();
const directory = fixture.directory("directory");
const inos: Ino[] = [];
for (let index = 0; index < FILES; index++) inos.push(await fixture.file(`file-${index}`, directory));

const requestBytes = new Uint8Array(4096);
const session = { bind: () => {}, unbind: () => {}, openBacking: () => -1, closeBacking: () => {} };
const context = {
  request: new Request(requestBytes),
  reply: new Reply(new Uint8Array(REPLY_BYTES), EXCLUSIVE_VALIDITY),
  fileSystem: fixture.fs,
  openModes: new OpenModes({ session, onPassthroughLost: () => {} }),
  knownDirectories: { missed: () => {} },
  flushOnClose: false,
  syncAll: async () => undefined,
};

/** A function that answers one request after the other. */
function answering(opcode: number, messages: readonly Buffer[]): () => void {
  const handler = handlerOf(opcode);
  let next = 0;
  return () => {
    const bytes = messages[next++ % messages.length] as Buffer;
    requestBytes.set(bytes);
    context.request.load(bytes.length);
    handler(context);
  };
}

afterAll(() => fixture.dispose());

describe("requests", () => {
  const each = (opcode: number, body: (index: number) => Buffer | string, ino: (index: number) => Ino) =>
    answering(
      opcode,
      inos.map((_, index) => message(opcode, ino(index), body(index))),
    );
  const getattrIn = struct([4, 0], [4, 0], [8, 0]);
  const inDirectory = () => directory;
  const ofFile = (index: number) => inos[index] as Ino;

  bench(
    "lookup of a name that is not there",
    each(
      Opcode.lookup,
      (index) => `absent-${index}\0`,
      () => ROOT_INO,
    ),
  );
  bench(
    "lookup of a file",
    each(Opcode.lookup, (index) => `file-${index}\0`, inDirectory),
  );
  bench(
    "getattr of a file",
    each(Opcode.getattr, () => getattrIn, ofFile),
  );
  const handle = fixture.fs.openDirectory(directory);
  const readIn = struct([8, handle], [8, 0], [4, REPLY_BYTES], [4, 0], [8, 0], [4, 0], [4, 0]);
  bench("readdir of 1,000 files", answering(Opcode.readdir, [message(Opcode.readdir, directory, readIn)]));
  bench("readdirplus of 1,000 files", answering(Opcode.readdirplus, [message(Opcode.readdirplus, directory, readIn)]));
});
