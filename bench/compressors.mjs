// Measures what podfs could compress chunks with: speed and ratio on the kinds of data a workspace holds, in chunks
// of 1 MiB (large files) and 8 KiB (a small file is one chunk). Result and choice: docs/decisions/0002-compressor.md.
//
//   node bench/compressors.mjs [--from DIR]
//
// Candidates that are not installed are skipped by name; --from adds a directory whose node_modules are tried too.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import zlib from "node:zlib";

const MIB = 1 << 20;
const CORPUS_BYTES = 4 * MIB;
const ROUND_MS = 300;
const root = path.join(path.dirname(fileURLToPath(import.meta.url)), "..");
const { values: options } = parseArgs({ options: { from: { type: "string" } } });
const requires = [root, ...(options.from ? [options.from] : [])].map((dir) => createRequire(path.join(dir, "x.js")));

const candidates = [
  await candidate("lz4-napi", ["lz4-napi"], (lz4) => [
    (data) => lz4.compressSync(data),
    (data) => lz4.uncompressSync(data),
  ]),
  await candidate("snappy", ["snappy"], (snappy) => [
    (data) => snappy.compressSync(data),
    (data) => snappy.uncompressSync(data, { asBuffer: true }),
  ]),
  ...(await Promise.all(
    [1, 3].map((level) =>
      candidate(`@toondepauw/node-zstd, level ${level}`, ["@toondepauw/node-zstd"], ({ Encoder, Decoder }) => {
        const encoder = new Encoder(level);
        const decoder = new Decoder();
        return [(data) => encoder.encodeSync(data), (data) => decoder.decodeSync(data)];
      }),
    ),
  )),
  ...(await Promise.all(
    [1, 3].map((level) =>
      candidate(`@hpcc-js/wasm-zstd, level ${level}`, ["@hpcc-js/wasm-zstd"], async ({ Zstd }) => {
        const zstd = await Zstd.load();
        return [(data) => zstd.compress(data, level), (data) => zstd.decompress(data)];
      }),
    ),
  )),
  ...(await Promise.all(
    [1, 3].map((level) =>
      candidate(`@bokuweb/zstd-wasm, level ${level}`, ["@bokuweb/zstd-wasm"], async (zstd) => {
        await zstd.init();
        // One context for all chunks, as src/format/compressor.ts does: zstd.compress() makes one per call.
        const context = zstd.createCCtx();
        const noDictionary = new Uint8Array(0);
        return [(data) => zstd.compressUsingDict(context, data, noDictionary, level), (data) => zstd.decompress(data)];
      }),
    ),
  )),
  zlib.zstdCompressSync === undefined
    ? skipped("node:zlib zstd, level 1", `not in Node ${process.versions.node}`)
    : {
        name: "node:zlib zstd, level 1",
        compress: (data) => zlib.zstdCompressSync(data, { params: { [zlib.constants.ZSTD_c_compressionLevel]: 1 } }),
        decompress: (data) => zlib.zstdDecompressSync(data),
      },
  {
    name: "node:zlib raw deflate, level 1",
    compress: (data) => zlib.deflateRawSync(data, { level: 1 }),
    decompress: (data) => zlib.inflateRawSync(data),
  },
].filter((entry) => entry !== undefined);

for (const chunkBytes of [MIB, 8192]) {
  console.log(`\nChunks of ${chunkBytes / 1024} KiB: ratio, compress MB/s, decompress MB/s\n`);
  const corpora = corpus();
  console.log(`| | ${corpora.map(([name]) => name).join(" | ")} |\n|---|${corpora.map(() => "---|").join("")}`);
  for (const { name, compress, decompress } of candidates) {
    const cells = corpora.map(([, data]) => measure(split(data, chunkBytes), compress, decompress));
    console.log(`| ${name} | ${cells.join(" | ")} |`);
  }
}

/** @returns {Promise<{name: string, compress: (data: Buffer) => Uint8Array, decompress: (data: Uint8Array) => Uint8Array} | undefined>} */
async function candidate(name, [specifier], open) {
  for (const require of requires) {
    try {
      const module = await import(require.resolve(specifier));
      const [compress, decompress] = await open(module.Zstd || module.Encoder ? module : (module.default ?? module));
      compress(Buffer.from("a probe that fails here, not in the middle of the table"));
      return { name, compress, decompress };
    } catch (error) {
      if (error.code !== "MODULE_NOT_FOUND") return skipped(name, error.message);
    }
  }
  return skipped(name, "not installed");
}

function skipped(name, why) {
  console.log(`skipped: ${name} (${why.split("\n")[0]})`);
  return undefined;
}

function measure(chunks, compress, decompress) {
  const stored = chunks.map((chunk) => compress(chunk));
  stored.forEach((bytes, index) => {
    if (!chunks[index].equals(decompress(bytes))) throw new Error("round trip differs");
  });
  const rawBytes = sum(chunks);
  const ratio = (rawBytes / sum(stored)).toFixed(2);
  return `${ratio}×, ${rate(chunks, rawBytes, compress)}, ${rate(stored, rawBytes, decompress)}`;
}

function rate(items, rawBytes, work) {
  const start = performance.now();
  let rounds = 0;
  do {
    for (const item of items) work(item);
    rounds++;
  } while (performance.now() - start < ROUND_MS);
  return Math.round((rawBytes * rounds) / 1e3 / (performance.now() - start));
}

function corpus() {
  const files = (pattern) =>
    readdirSync(path.join(root, "node_modules"), { recursive: true })
      .filter((name) => pattern.test(name))
      .sort()
      .map((name) => path.join(root, "node_modules", name));
  return [
    ["source text", gather(files(/\.(ts|js|mjs|cc|h)$/))],
    ["JSON", gather(files(/\.json$/))],
    ["Python .pyc", pyc()],
    ["float weights", floats()],
    ["image noise", noise()],
  ].filter(([, data]) => data.length > 0);
}

/** The first 16 KiB of many files rather than one big one. */
function gather(names) {
  const pieces = [];
  let total = 0;
  for (const name of names) {
    if (total >= CORPUS_BYTES) break;
    const piece = readFileSync(name).subarray(0, 16384);
    pieces.push(piece);
    total += piece.length;
  }
  return Buffer.concat(pieces);
}

/** The standard library of the python3 at hand, compiled. */
function pyc() {
  const out = mkdtempSync(path.join(tmpdir(), "podfs-pyc-"));
  try {
    const script =
      "import compileall,os,sys; sys.pycache_prefix=sys.argv[1]; compileall.compile_dir(os.path.dirname(os.__file__), maxlevels=0, quiet=2)";
    spawnSync("python3", ["-c", script, out]);
    return gather(
      readdirSync(out, { recursive: true })
        .filter((name) => name.endsWith(".pyc"))
        .sort()
        .map((name) => path.join(out, name)),
    );
  } finally {
    rmSync(out, { recursive: true });
  }
}

/** bfloat16 weights of a normal distribution, as safetensors stores them: random mantissas, few exponents. */
function floats() {
  const values = new Float32Array(CORPUS_BYTES / 2);
  const random = generator(1);
  for (let index = 0; index < values.length; index++) {
    values[index] = 0.02 * Math.sqrt(-2 * Math.log(random() || 1e-9)) * Math.cos(2 * Math.PI * random());
  }
  const words = new Uint16Array(values.buffer);
  return Buffer.from(Uint16Array.from({ length: values.length }, (_, index) => words[2 * index + 1]).buffer);
}

/** What PNG, JPEG and zstd files look like. */
function noise() {
  const bytes = Buffer.allocUnsafe(CORPUS_BYTES);
  const random = generator(2);
  for (let index = 0; index < bytes.length; index++) bytes[index] = random() * 256;
  return bytes;
}

/** mulberry32: the same numbers in every run. */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function split(data, chunkBytes) {
  const chunks = [];
  for (let at = 0; at < data.length; at += chunkBytes) chunks.push(data.subarray(at, at + chunkBytes));
  return chunks;
}

function sum(items) {
  return items.reduce((total, item) => total + item.length, 0);
}
