import { spawn } from "node:child_process";
import { afterEach, describe, expect, it } from "vitest";
import { loadPackage } from "../../src/fuse/fuse-native/package.js";
import { FuseNativeTransport } from "../../src/fuse/index.js";
import { mountObstacle, shell } from "../support/podfs.js";
import { TinyMount } from "../support/tiny-mount.js";

/** The package is optional, and needs libfuse 2. */
function packageObstacle(): string | undefined {
  try {
    loadPackage();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
const obstacle = mountObstacle() ?? packageObstacle();

describe.skipIf(obstacle !== undefined)(`the fuse-native transport (${obstacle ?? "real mounts"})`, () => {
  let mount: TinyMount;
  afterEach(async () => {
    await mount.dispose();
    expect(mount.reports).toEqual(["end:"]);
  });
  const create = async (changes = {}) => {
    mount = await TinyMount.create(new FuseNativeTransport(), "served", changes);
  };
  // Nothing of this process may touch the mount on the event-loop thread, which answers for it.
  const inMount = (script: string) => shell("/", `cd ${mount.mountpoint}\n${script}`);
  const python = (script: string) => inMount(`python3 - <<'PY'\n${script}\nPY`);

  it("says how it is mounted, and counts what it is asked", async () => {
    await create({ source: "a, b" });
    expect(mount.mounted.passthrough).toBe(false);
    expect(await shell("/", `grep ' ${mount.mountpoint} ' /proc/self/mountinfo`)).toMatch(
      / - fuse\.podfs a,\\040b rw,/,
    );
    await inMount('echo hello > a && test "$(cat a)" = hello');
    // The kernel does not wait for the answer to a release.
    await expect.poll(() => mount.mounted.counters()).toMatchObject({ create: 1, write: 1, release: 2 });
  });

  it("keeps names: files, directories, links, nodes, renames", async () => {
    await create();
    const listing = await inMount(`
      echo one > one && mkdir -p d/e && mv one d/e/two && ln d/e/two d/e/three && ln -s e/two d/link && cat d/link
      test "$(stat -c %h d/e/two)" = 2 && test "$(stat -c %i d/e/two)" = "$(stat -c %i d/e/three)"
      rm d/e/three && test "$(stat -c %h d/e/two)" = 1
      mkfifo fifo && mknod null c 1 3 && test "$(stat -c '%t:%T' null)" = 1:3
      ! rmdir d 2>/dev/null && ! mkdir d 2>/dev/null && ! cat nothing 2>/dev/null
      mv d/e d/f && test "$(cat d/f/two)" = one && mkdir d/e && echo new > d/e/two && test "$(cat d/e/two d/f/two)" = "$(printf 'new\\none')"
      rm -r d/e && mv d/f d/e && mkdir ☃ && : > ☃/ü && test -e ☃/ü && rm -r ☃
      echo a > a && echo b > b && mv -f a b && test "$(cat b)" = a
      readlink d/link && find . | LC_ALL=C sort | tr '\\n' ' '
    `);
    expect(listing).toBe("one\ne/two\n. ./b ./d ./d/e ./d/e/two ./d/link ./fifo ./null ");
    await expect.poll(() => mount.fileSystem.openHandles).toBe(0);
  });

  it("keeps attributes: modes, owners, both times to the millisecond, sizes", async () => {
    await create();
    await inMount(`
      umask 027 && : > f && mkdir d && test "$(stat -c %a f d | tr '\\n' ' ')" = "640 750 "
      chown 123:456 f && chmod 4711 f && test "$(stat -c '%a %u %g' f)" = "4711 123 456" && chown :7 f && test "$(stat -c '%u %g' f)" = "123 7"
      python3 -c 'import os; os.utime("f", ns=(1_500_000_000_123_000_000, 1_600_000_000_456_000_000))'
      test "$(stat -c '%.3X %.3Y' f)" = "1500000000.123 1600000000.456"
      truncate -s 5000000000 f && test "$(stat -c %s f)" = 5000000000 && truncate -s 3 f && test "$(stat -c %s f)" = 3
      df . > /dev/null && test "$(stat -f -c %l .)" = 255
    `);
  });

  it("keeps bytes: copies, appends, deleted files that are open, mappings, fsync", async () => {
    await create();
    await inMount(`
      head -c 3000000 /dev/urandom > data && cp data copy && cmp data copy
      echo a > log && echo b >> log && test "$(cat log)" = "$(printf 'a\\nb')" && : > log && test ! -s log
    `);
    await python(`
import mmap, os
with open("map", "w+b") as f:
    f.truncate(1 << 20)
    m = mmap.mmap(f.fileno(), 0); m[500000:500005] = b"hello"; m.flush(); m.close()
assert open("map", "rb").read()[500000:500005] == b"hello"
f = open("gone", "w+b"); f.write(b"x" * 100000); f.flush(); os.unlink("gone")
f.seek(0); assert len(f.read()) == 100000 and not os.path.exists("gone"); f.close()
b = os.open("part", os.O_CREAT | os.O_RDWR); os.write(b, b"part"); os.ftruncate(b, 2); os.fsync(b)
d = os.open(".", os.O_RDONLY); os.fsync(d); os.close(d); os.close(b)
assert open("part").read() == "pa"
try: os.open("part", os.O_CREAT | os.O_EXCL); assert False
except FileExistsError: pass
`);
    expect(mount.fileSystem.syncs).toBeGreaterThanOrEqual(2);
    expect(await inMount("ls -A | tr '\\n' ' '")).toBe("copy data log map part ");
  });

  it("keeps extended attributes", async () => {
    await create();
    await inMount(`
      : > f && setfattr -n user.a -v one f && setfattr -n user.empty f && setfattr -n user.b -v "$(head -c 60000 /dev/zero | tr '\\0' x)" f
      test "$(getfattr --only-values -n user.a f)" = one && test "$(getfattr --only-values -n user.b f | wc -c)" = 60000
      test "$(getfattr f | grep -c user)" = 3 && setfattr -x user.a f && ! getfattr -n user.a f 2>/dev/null
    `);
    await python(`
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
small = ctypes.create_string_buffer(8)
assert libc.getxattr(b"f", b"user.b", small, 8) == -1 and ctypes.get_errno() == 34
assert libc.listxattr(b"f", small, 8) == -1 and ctypes.get_errno() == 34
`);
  });

  it("runs SQLite, tar, find and rm -rf over hundreds of files, and keeps locks", async () => {
    await create();
    await python(`
import sqlite3, os
db = sqlite3.connect("work.db")
db.execute("create table t (id integer primary key, text)")
with db: db.executemany("insert into t(text) values (?)", [("row %d" % i,) for i in range(200)])
assert sqlite3.connect("work.db").execute("pragma integrity_check").fetchone() == ("ok",)
os.mkdir("tree")
for i in range(300): open(f"tree/{i}", "w").write(str(i))
`);
    await inMount(`
      exec 9> lock && flock 9 && ! flock -n lock true && exec 9>&-
      tar cf all.tar tree && mkdir again && tar xf all.tar -C again && diff -r tree again/tree && test $(find again -type f | wc -l) = 300
      rm -rf tree again all.tar && test $(ls | wc -l) = 2
    `);
    await expect.poll(() => mount.fileSystem.openHandles).toBe(0);
  });

  it("makes writes wait while the gate is closed", async () => {
    await create();
    mount.mounted.setWriteGate(false);
    let written = false;
    const writing = inMount("echo x > f").then(() => {
      written = true;
    });
    await expect.poll(() => mount.mounted.counters().write).toBe(1);
    expect(written).toBe(false);
    mount.mounted.setWriteGate(true);
    await writing;
    expect(await inMount("cat f")).toBe("x\n");
  });

  it("is busy while somebody is in it, notices that somebody else unmounted it, and closes what was open", async () => {
    await create();
    const user = spawn("bash", ["-c", 'exec 8> "$0"/open-file && read -r', mount.mountpoint]);
    await expect.poll(() => mount.fileSystem.openHandles).toBe(1);
    await expect(mount.mounted.unmount()).rejects.toMatchObject({ kind: "busy" });
    await shell("/", `umount -l ${mount.mountpoint}`);
    await expect.poll(() => mount.reports).toEqual(["end:"]);
    expect(mount.fileSystem.openHandles).toBe(0);
    const gone = new Promise((resolve) => user.on("exit", resolve));
    user.stdin.end();
    await gone;
  });
});
