/** The npm package fuse-native under the thinnest filesystem there is: what its way of serving requests costs. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { prepare, startMount, stopMount } from "./support.mjs";

const require = createRequire(import.meta.url);

/** @type {import("./support.mjs").Peer} */
export const fuseNative = {
  name: "fuse-native",
  available() {
    try {
      require("fuse-native");
      return true;
    } catch (error) {
      return `the npm package fuse-native does not load: ${error.message.split("\n")[0]}`;
    }
  },
  version: async () => require("fuse-native/package.json").version,
  // libfuse 2 numbers inodes by path: two names of one file look like two files.
  cannot: ["mtime", "hard link"],
  notes: "no bucket behind it: a local directory served back, for the overhead of the transport alone",

  async mount({ directory, cacheDirectory }) {
    const mountpoint = prepare({ directory, cacheDirectory });
    const daemon = join(import.meta.dirname, "fuse-native-daemon.mjs");
    const mount = await startMount({
      program: process.execPath,
      directory,
      mountpoint,
      args: [daemon, mountpoint, cacheDirectory],
    });
    return { mountpoint, flush: async () => {}, unmount: () => stopMount(mount) };
  },
};
