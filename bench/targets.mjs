/**
 * Holds podfs against the targets of the design: every row a ratio of two things measured in turn in this run.
 *
 *   node bench/targets.mjs [--quick] [--only=NAME,…] [--json=FILE]
 *
 * Rows: data, nopassthrough, lookup, tar, cold, link, million. Needs root, /dev/fuse, fio and the built project.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { Bench, fio, PROJECT, printRows, ratioRow, seconds, secondsAsync, shell } from "./support/bench.mjs";

const options = new Map(process.argv.slice(2).map((arg) => arg.replace(/^--/, "").split("=")));
const quick = options.has("quick");
const only = options.get("only")?.split(",");
const ROUNDS = quick ? 3 : 7;
const FILE_MIB = quick ? 256 : 1024;
const RANDOM_SECONDS = quick ? 1 : 3;
/** As in src/fuse/native/session.ts. */
const SPIN_MICROS = 50;
const rows = [];

/** Sequential and random reads and writes and mapped reads of one file, here and on the cache's own filesystem. */
function dataRows(label, target, ...mountOptions) {
  const bench = new Bench();
  try {
    const native = bench.path("native");
    const mounted = bench.mount(bench.path("store"), "workspace", "--create", "--durability", "local", ...mountOptions);
    const jobs = [
      ["sequential write, new file", { rw: "write", blockSize: "1M" }, "bytesPerSecond", true],
      [
        "4 KiB random write, new file",
        { rw: "randwrite", blockSize: "4k", runtimeSeconds: RANDOM_SECONDS },
        "operationsPerSecond",
        true,
      ],
      ["sequential read", { rw: "read", blockSize: "1M" }, "bytesPerSecond", false],
      [
        "4 KiB random read",
        { rw: "randread", blockSize: "4k", runtimeSeconds: RANDOM_SECONDS },
        "operationsPerSecond",
        false,
      ],
      ["mmap read", { rw: "read", blockSize: "64k", engine: "mmap" }, "bytesPerSecond", false],
    ];
    for (const [name, job, figure, fresh] of jobs) {
      const pairs = [];
      for (let round = 0; round < ROUNDS; round++) {
        const file = fresh ? `${name.replaceAll(/\W/g, "-")}-${round}` : "read";
        const run = (directory) => {
          // The same warm page cache on both sides: these rows are about what the filesystem adds.
          if (!fresh && round === 0)
            shell(`dd if=/dev/urandom of=${join(directory, file)} bs=1M count=${FILE_MIB} status=none`);
          const result = fio(join(directory, file), { ...job, sizeMiB: FILE_MIB })[figure];
          if (fresh) shell(`rm ${join(directory, file)}`);
          return result;
        };
        const yardstick = run(native);
        pairs.push({ ours: run(mounted), yardstick });
      }
      rows.push(ratioRow(`${label}${name}`, target, figure === "bytesPerSecond" ? "B/s" : "/s", pairs));
    }
    bench.unmount(mounted);
  } finally {
    bench.dispose();
  }
}

/** `tar x` of 2,000 small files, objects they become, and reading them cold from a backend 30 ms away. */
async function smallFileRows() {
  const bench = new Bench({ AWS_ACCESS_KEY_ID: "S3RVER", AWS_SECRET_ACCESS_KEY: "S3RVER" });
  const server = await slowS3(bench.path("s3"), 30);
  try {
    shell(
      `python3 - <<'PY'
import io, random, tarfile
rng = random.Random(7)
with tarfile.open("files.tar", "w") as tar:
    for i in range(2000):
        info = tarfile.TarInfo("set/%02d/%04d.bin" % (i % 20, i)); info.size = rng.randrange(1024, 15360)
        tar.addfile(info, io.BytesIO(rng.randbytes(info.size)))
PY`,
      bench.directory,
    );
    const store = bench.path("store");
    const native = bench.path("native");
    const mounted = bench.mount(store, "workspace", "--create");
    const tar = (directory) => {
      shell(`rm -rf ${directory}/set`);
      return seconds(() => shell(`tar xf ${bench.directory}/files.tar -C ${directory}`));
    };
    const pairs = [];
    for (let round = 0; round < ROUNDS; round++) {
      const yardstick = tar(native);
      pairs.push({ ours: tar(mounted), yardstick });
    }
    rows.push(ratioRow("tar x of 2,000 small files", "≤ 6", "s", pairs));
    bench.unmount(mounted);

    const url = `s3://bench/small?endpoint=${server.endpoint}&region=us-east-1`;
    const source = bench.mount(url, "source", "--create");
    tar(source);
    bench.podfs("flush", source);
    bench.unmount(source);
    const client = new S3Client({ endpoint: server.endpoint, region: "us-east-1", forcePathStyle: true, credentials });
    const { KeyCount } = await client.send(new ListObjectsV2Command({ Bucket: "bench", Prefix: "small/" }));
    rows.push({ name: "objects they become (metadata included)", target: "≤ 6", unit: "objects", ours: KeyCount });

    bench.environment.XDG_CACHE_HOME = bench.path("cold-cache");
    const cold = bench.mount(url, "cold", "--read-only");
    const ours = seconds(() => shell(`find ${cold} -type f -exec cat {} + | wc -c`));
    await client.send(new PutObjectCommand({ Bucket: "bench", Key: "one", Body: Buffer.alloc(8192) }));
    const each = await secondsAsync(async () => {
      for (let i = 0; i < 50; i++)
        await (await client.send(new GetObjectCommand({ Bucket: "bench", Key: "one" }))).Body.transformToByteArray();
    });
    const pair = { ours, yardstick: (each / 50) * 2000 };
    rows.push(ratioRow("cold read of them, 30 ms per request", "≤ 1/30 = 0.033", "s", [pair]));
    rows.push({
      name: "  GETs for that, mount included",
      target: "≤ 10",
      unit: "requests",
      ours: bench.status(cold).backend.gets,
    });
    bench.unmount(cold);
  } finally {
    server.stop();
    bench.dispose();
  }
}

const credentials = { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" };

/** Cold sequential read and publish, against the SDK moving the same bytes to and from memory. */
async function linkRows() {
  const bench = new Bench({ AWS_ACCESS_KEY_ID: "S3RVER", AWS_SECRET_ACCESS_KEY: "S3RVER" });
  const server = await slowS3(bench.path("s3"), 0);
  try {
    const client = new S3Client({ endpoint: server.direct, region: "us-east-1", forcePathStyle: true, credentials });
    const pieces = FILE_MIB / 64;
    const put = [];
    const get = [];
    for (let round = 0; round < Math.min(3, ROUNDS); round++) {
      const url = `s3://bench/link-${round}?endpoint=${server.direct}&region=us-east-1`;
      const bodies = Array.from({ length: pieces }, () => randomBytes(64 << 20));
      const sdkPut = await secondsAsync(() =>
        Promise.all(
          bodies.map((Body, i) =>
            client.send(new PutObjectCommand({ Bucket: "bench", Key: `sdk-${round}-${i}`, Body })),
          ),
        ),
      );
      const source = bench.mount(url, `source-${round}`, "--create");
      const ours = seconds(() => {
        shell(`dd if=/dev/urandom of=${source}/file bs=1M count=${FILE_MIB} status=none`);
        bench.podfs("flush", source);
      });
      const generate = seconds(() =>
        shell(`dd if=/dev/urandom of=${bench.directory}/plain bs=1M count=${FILE_MIB} status=none`),
      );
      put.push({ ours: FILE_MIB / (ours - generate), yardstick: FILE_MIB / sdkPut });
      bench.unmount(source);
      const sdkGet = await secondsAsync(() =>
        Promise.all(
          bodies.map(async (_body, i) =>
            (
              await client.send(new GetObjectCommand({ Bucket: "bench", Key: `sdk-${round}-${i}` }))
            ).Body.transformToByteArray(),
          ),
        ),
      );
      bench.environment.XDG_CACHE_HOME = bench.path(`cold-cache-${round}`);
      const cold = bench.mount(url, `cold-${round}`, "--read-only");
      const read = seconds(() => shell(`dd if=${cold}/file of=/dev/null bs=1M status=none`));
      get.push({ ours: FILE_MIB / read, yardstick: FILE_MIB / sdkGet });
      bench.unmount(cold);
    }
    rows.push(ratioRow("publish, large file", "≥ 0.9 × SDK", "MiB/s", put));
    rows.push(ratioRow("cold sequential read, large file", "≥ 0.9 × SDK", "MiB/s", get));
  } finally {
    server.stop();
    bench.dispose();
  }
}

/** Round trips of a metadata request, against a bare C loop that answers the same from memory. */
function lookupRow() {
  const bench = new Bench();
  try {
    const mounted = bench.mount(bench.path("store"), "workspace", "--create");
    const bare = bench.path("bare");
    const loop = join(bench.directory, "bare-loop");
    shell(`cc -O2 -o ${loop} ${join(PROJECT, "bench/native/bare-loop.c")}`);
    writeFileSync(join(bench.directory, "bare-file"), "");
    // It spins as long as podfs does, and ends when it is unmounted.
    spawn(loop, [bare, join(bench.directory, "bare-file"), String(SPIN_MICROS)], { stdio: "ignore" });
    try {
      shell(`for i in $(seq 100); do mountpoint -q ${bare} && exit 0; sleep 0.05; done; exit 1`);
      const pairs = [];
      for (let round = 0; round < ROUNDS; round++) {
        const yardstick = lookupsPerSecond(bare, round);
        pairs.push({ ours: lookupsPerSecond(mounted, round), yardstick });
      }
      rows.push(ratioRow("lookup round trip", "≥ 0.9 × bare loop", "/s", pairs));
    } finally {
      shell(`umount ${bare} || umount -l ${bare}`);
    }
    bench.unmount(mounted);
  } finally {
    bench.dispose();
  }
}

/** Of names that are not there and never were: each is one LOOKUP, whatever the kernel remembers. */
function lookupsPerSecond(directory, round) {
  return Number(
    shell(`python3 - <<'PY'
import os, time
n = ${quick ? 20_000 : 60_000}
start = time.perf_counter()
for i in range(n):
    try: os.stat("${directory}/absent-${round}-%d" % i)
    except FileNotFoundError: pass
print(n / (time.perf_counter() - start))
PY`),
  );
}

/** Mounting a volume of a million files on a new machine, and the daemon's memory after `find` over it. */
function millionRow() {
  const files = quick ? 20_000 : 1_000_000;
  const bench = new Bench();
  try {
    const store = bench.path("store");
    const source = bench.mount(store, "source", "--create");
    const create = seconds(() =>
      shell(`python3 - <<'PY'
import os
for d in range(${files} // 1000):
    os.mkdir("${source}/%04d" % d)
    for f in range(1000): os.close(os.open("${source}/%04d/%03d" % (d, f), os.O_CREAT | os.O_WRONLY))
PY`),
    );
    rows.push({ name: `create ${files} empty files`, target: "-", unit: "files/s", ours: files / create });
    const flush = seconds(() => bench.podfs("flush", source));
    rows.push({ name: "  publish them", target: "-", unit: "s", ours: flush });
    bench.unmount(source);
    bench.environment.XDG_CACHE_HOME = bench.path("cold-cache");
    const mount = seconds(() => bench.mount(store, "cold"));
    rows.push({ name: `mount of ${files} files, new machine`, target: "≤ 10 s for 10⁶", unit: "s", ours: mount });
    const cold = bench.path("cold");
    const find = seconds(() => shell(`find ${cold} | wc -l`));
    rows.push({ name: "  find over it", target: "-", unit: "s", ours: find });
    const { pid } = bench.status(cold);
    const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
    const mapped = Number(/RssFile:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
    rows.push({ name: "  resident memory after it", target: "≤ 400 MB", unit: "B", ours: rss });
    rows.push({ name: "    of that, pages of mapped files", target: "-", unit: "B", ours: mapped });
    bench.unmount(cold);
  } finally {
    bench.dispose();
  }
}

async function slowS3(directory, latencyMs) {
  const child = spawn(process.execPath, [join(PROJECT, "bench/support/slow-s3.mjs"), directory, String(latencyMs)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const line of createInterface({ input: child.stdout }))
    return { ...JSON.parse(line), stop: () => child.kill() };
  throw new Error("the S3 server did not start");
}

const groups = {
  data: () => dataRows("", "≥ 0.9 × native"),
  nopassthrough: () => dataRows("without passthrough: ", "(see bare loop)", "--no-passthrough"),
  lookup: lookupRow,
  tar: smallFileRows,
  link: linkRows,
  million: millionRow,
};
for (const [name, measure] of Object.entries(groups)) {
  if (only !== undefined && !only.includes(name)) continue;
  const before = rows.length;
  await measure();
  printRows(rows.slice(before));
}
const [{ model }] = cpus();
const machine = { cpu: model, cores: cpus().length, memoryBytes: totalmem(), kernel: release(), node: process.version };
if (options.has("json")) writeFileSync(options.get("json"), `${JSON.stringify({ machine, rows }, null, 2)}\n`);
