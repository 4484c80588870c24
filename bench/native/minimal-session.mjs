// The addon with the least JavaScript above it: one file, served. Counterpart of bare-loop.c, and what the tests of
// process life and death run.
//
//   node minimal-session.mjs MOUNTPOINT FILE SPIN_MICROS [MAP]
//
// Prints "ready" when it serves, and the reason when it ends. With a block map every write is tracked; absent blocks
// stay absent.
import { openSync } from "node:fs";
import { createRequire } from "node:module";

const [mountpoint, path, spin, mapPath] = process.argv.slice(2);
const FILE_INO = 2;
const REPLY_NONE = -0x10001;
const addon = createRequire(import.meta.url)("../../build/Release/podfs.node");
const request = new Uint8Array((1 << 20) + 4096);
const reply = new Uint8Array((1 << 20) + 4096);
const input = new DataView(request.buffer);
const output = new DataView(reply.buffer);
const stat = new Float64Array(6);
const content = addon.createContentFile(
  { fd: openSync(path, "r+"), blockSize: 1 << 20, ...(mapPath ? { mapPath } : {}) },
  { onMiss() {}, onTrigger() {} },
);
let nextHandle = 1;

function writeAttr(at, ino) {
  reply.fill(0, at, at + 88);
  output.setUint32(at, ino, true);
  output.setUint32(at + 60, ino === FILE_INO ? 0o100644 : 0o40755, true);
  output.setUint32(at + 64, 1, true);
  if (ino !== FILE_INO) return;
  content.stat(stat);
  output.setBigUint64(at + 8, BigInt(stat[0]), true);
  output.setBigUint64(at + 16, BigInt(stat[1]), true);
}

function onRequest() {
  const ino = input.getUint32(16, true);
  switch (input.getUint32(4, true)) {
    case 1: // LOOKUP
      if (String.fromCharCode(...request.subarray(40, 44)) !== "file") return -2;
      reply.fill(0, 0, 40);
      output.setUint32(0, FILE_INO, true);
      writeAttr(40, FILE_INO);
      return 128;
    case 3: // GETATTR
    case 4: // SETATTR
      reply.fill(0, 0, 16);
      writeAttr(16, ino);
      return 104;
    case 14: // OPEN
    case 27: // OPENDIR
      reply.fill(0, 0, 16);
      output.setUint32(0, nextHandle, true);
      output.setUint32(8, 1 << 5, true);
      session.bind(nextHandle++, content);
      return 16;
    case 18: // RELEASE
      session.unbind(input.getUint32(40, true));
      return 0;
    case 2: // FORGET
    case 42: // BATCH_FORGET
    case 36: // INTERRUPT
      return REPLY_NONE;
    case 20: // FSYNC
    case 29: // RELEASEDIR
      return 0;
    default:
      return -38;
  }
}

const session = addon.createFuseSession(
  {
    fd: await addon.mountFuse(mountpoint, "nosuid,nodev,default_permissions", "minimal"),
    request,
    reply,
    passthrough: false,
    maxStackDepth: 1,
    dataThreads: 4,
    spinMicros: Number(spin),
    maxWriteBytes: 1 << 20,
    readOnly: false,
  },
  {
    onRequest,
    onReady: () => console.log("ready"),
    onKillPrivileges() {},
    onEnd: (error) => console.log(`ended: ${error}`),
  },
);
session.start();
