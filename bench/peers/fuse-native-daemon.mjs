/**
 * Serves a directory back through the npm package fuse-native until it is unmounted.
 *
 *   node bench/peers/fuse-native-daemon.mjs MOUNTPOINT DIRECTORY
 *
 * Every operation is a synchronous call: a hop to libuv's threads and back would cost more than the call, and the row
 * is about what the package costs.
 */
import { execFile } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { join } from "node:path";
import { isMounted } from "./support.mjs";

const Fuse = createRequire(import.meta.url)("fuse-native");
const [mountpoint, directory] = process.argv.slice(2);
const LOOK_EVERY_MS = 200;

const at = (path) => join(directory, path);

/** Answers with what `action` returns, or with the errno it failed with. */
function operation(action) {
  return (...args) => {
    const done = args.pop();
    let result;
    try {
      result = action(...args);
    } catch (error) {
      return done(-(constants.errno[error.code] ?? constants.errno.EIO));
    }
    return done(0, ...(result === undefined ? [] : [].concat(result)));
  };
}

/** Like {@link operation}, for the two whose status is a count. */
function transfer(action) {
  return (_path, fd, buffer, length, position, done) => {
    try {
      done(action(fd, buffer, 0, length, position));
    } catch (error) {
      done(-(constants.errno[error.code] ?? constants.errno.EIO));
    }
  };
}

const operations = {
  getattr: operation((path) => fs.lstatSync(at(path))),
  fgetattr: operation((_path, fd) => fs.fstatSync(fd)),
  statfs: operation(() => {
    const { bsize, blocks, bfree, bavail, files, ffree } = fs.statfsSync(directory);
    // The package has 32 bits for each.
    const small = (count) => Math.min(count, 0xffff_ffff);
    const counts = { blocks: small(blocks), bfree: small(bfree), bavail: small(bavail), files, ffree, favail: ffree };
    return { bsize, frsize: bsize, ...counts, fsid: 0, flag: 0, namemax: 255 };
  }),
  readdir: operation((path) => [fs.readdirSync(at(path))]),
  readlink: operation((path) => fs.readlinkSync(at(path))),
  truncate: operation((path, size) => fs.truncateSync(at(path), size)),
  ftruncate: operation((_path, fd, size) => fs.ftruncateSync(fd, size)),
  utimens: operation((path, atimeMs, mtimeMs) => fs.lutimesSync(at(path), atimeMs / 1000, mtimeMs / 1000)),
  chown: operation((path, uid, gid) => fs.lchownSync(at(path), uid, gid)),
  chmod: operation((path, mode) => fs.chmodSync(at(path), mode)),
  mkdir: operation((path, mode) => void fs.mkdirSync(at(path), mode)),
  unlink: operation((path) => fs.unlinkSync(at(path))),
  rmdir: operation((path) => fs.rmdirSync(at(path))),
  rename: operation((from, to) => fs.renameSync(at(from), at(to))),
  link: operation((existing, path) => fs.linkSync(at(existing), at(path))),
  symlink: operation((target, path) => fs.symlinkSync(target, at(path))),
  open: operation((path, flags) => fs.openSync(at(path), flags)),
  create: operation((path, mode) => fs.openSync(at(path), fs.constants.O_RDWR | fs.constants.O_CREAT, mode)),
  read: transfer(fs.readSync),
  write: transfer(fs.writeSync),
  flush: operation(() => {}),
  fsync: operation((_path, _dataOnly, fd) => fs.fsyncSync(fd)),
  fsyncdir: operation(() => {}),
  release: operation((_path, fd) => fs.closeSync(fd)),
};

const options = {
  // More than 4 KiB a write: libfuse 2 needs to be told, and the package passes only this one through as it is.
  fsname: "directory,big_writes",
  subtype: "peer",
  // Nobody else changes the directory.
  entryTimeout: "3600",
  attrTimeout: "3600",
  kernelCache: true,
  defaultPermissions: true,
  timeout: false,
};

// A daemon that just dies leaves a dead mount behind.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => execFile("umount", ["-l", mountpoint]));

new Fuse(mountpoint, operations, options).mount((error) => {
  if (error) throw error;
  // The package does not say that it was unmounted.
  setInterval(() => isMounted(mountpoint) || process.exit(), LOOK_EVERY_MS);
});
