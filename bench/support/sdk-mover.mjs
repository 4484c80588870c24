import { writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { blake3 } from "@napi-rs/blake-hash";

const MIB = 1 << 20;
export const OBJECT_BYTES = 64 * MIB;
/** What downloaders commonly ask for at once, and how often. */
export const RANGE_BYTES = 8 * MIB;
export const PARALLEL_GETS = 16;
/** As many as podfs has in flight on two processors. */
const PARALLEL_PUTS_FROM_DISK = 6;

/**
 * The AWS SDK moving objects of 64 MiB, in one thread: from and to memory, or also doing what any cache that checks its
 * bytes has to do besides, which is the least that podfs can cost.
 */
export class SdkMover {
  /** @param {import("./s3.mjs").BenchStore} store */
  constructor(store, prefix, bodies) {
    Object.assign(this, { store, prefix, bodies });
  }

  async put() {
    await Promise.all(this.bodies.map((body, i) => this.store.put(`${this.prefix}/${i}`, body)));
  }

  async get() {
    await forEach(this.#ranges(), PARALLEL_GETS, (range) => this.#getRange(range));
  }

  /** Reads each object from a file, and hashes it twice: by its chunks, and whole. */
  async putFromDisk(path) {
    const file = await open(path);
    try {
      await forEach(this.bodies.keys(), PARALLEL_PUTS_FROM_DISK, async (i) => {
        const { buffer } = await file.read(Buffer.allocUnsafeSlow(OBJECT_BYTES), 0, OBJECT_BYTES, i * OBJECT_BYTES);
        for (const chunk of chunksOf(buffer)) blake3(chunk);
        blake3(buffer);
        await this.store.put(`${this.prefix}/from-disk-${i}`, buffer);
      });
    } finally {
      await file.close();
    }
  }

  /** Hashes each range by its chunks, and writes it to a new file. */
  async getToDisk(path) {
    const file = await open(path, "wx");
    try {
      await forEach(this.#ranges(), PARALLEL_GETS, async (range) => {
        const bytes = await this.#getRange(range);
        for (const chunk of chunksOf(bytes)) blake3(chunk);
        writeSync(file.fd, bytes, 0, bytes.length, range.object * OBJECT_BYTES + range.offset);
      });
    } finally {
      await file.close();
    }
  }

  *#ranges() {
    for (const object of this.bodies.keys()) {
      for (let offset = 0; offset < OBJECT_BYTES; offset += RANGE_BYTES) yield { object, offset };
    }
  }

  async #getRange({ object, offset }) {
    return await this.store.get(`${this.prefix}/${object}`, [offset, offset + RANGE_BYTES - 1]);
  }
}

function* chunksOf(bytes) {
  for (let offset = 0; offset < bytes.length; offset += MIB) yield bytes.subarray(offset, offset + MIB);
}

/** Does all of them, so many at a time. */
async function forEach(items, parallel, task) {
  const worker = async () => {
    for (const item of items) await task(item);
  };
  await Promise.all(Array.from({ length: parallel }, worker));
}
