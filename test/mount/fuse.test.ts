import { spawn } from "node:child_process";
import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { Deferred, type Name, ROOT_INO, systemClock } from "../../src/base/index.js";
import { NativeTransport } from "../../src/fuse/index.js";
import { loadAddon } from "../../src/native/index.js";
import { mountObstacle, shell } from "../support/podfs.js";
import { TinyMount } from "../support/tiny-mount.js";

const obstacle = mountObstacle();

describe.skipIf(obstacle !== undefined).each(["passthrough", "served"] as const)(
  `the native transport, files %s (${obstacle ?? "real mounts"})`,
  (mode) => {
    let mount: TinyMount;
    afterEach(async () => {
      await mount.dispose();
      expect(mount.reports).toEqual(["end:"]);
    });
    const create = async (changes = {}) => {
      mount = await TinyMount.create(new NativeTransport(loadAddon()), mode, changes);
      return mount.mountpoint;
    };
    /**
     * Runs in the mount; fails the test if the script does. The shell changes there itself: spawning a process in a
     * directory of our own mount would have this thread wait for itself.
     */
    const inMount = (script: string) => shell("/", `cd ${mount.mountpoint}\n${script}`);
    const python = (script: string) => inMount(`python3 - <<'PY'\n${script}\nPY`);

    it("says how it is mounted, and counts what it is asked", async () => {
      const mountpoint = await create();
      expect(mount.mounted.passthrough).toBe(mode === "passthrough");
      expect(mount.mounted.passthroughReason).toBe(mode === "passthrough" ? "" : "not asked for");
      const line = await shell("/", `grep ' ${mountpoint} ' /proc/self/mountinfo`);
      expect(line).toMatch(/ - fuse\.podfs tiny rw,.*default_permissions,allow_other/);
      expect(line).toMatch(/nosuid,nodev/);
      await inMount("echo hello > a && cat a && mkdir b && ls -l");
      const counters = mount.mounted.counters();
      expect(counters).toMatchObject({ init: 1, create: 1, mkdir: 1 });
      expect(counters.lookup).toBeGreaterThan(0);
      if (mode === "passthrough") expect(counters.write).toBeUndefined();
      else expect(counters.write).toBe(1);
    });

    it("keeps names: files, directories, links, nodes, renames with and without flags", async () => {
      await create();
      const listing = await inMount(`
        echo one > one && mkdir -p d/e && mv one d/e/two && ln d/e/two d/e/three && ln -s e/two d/link && cat d/link
        test "$(stat -c %h d/e/two)" = 2 && rm d/e/three && test "$(stat -c %h d/e/two)" = 1
        mkfifo fifo && mknod null c 1 3 && mknod disk b 300 70000
        test "$(stat -c '%t:%T' null)" = 1:3 && test "$(stat -c '%t:%T' disk)" = 12c:11170
        python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")' && test -S sock && test -p fifo
        ! rmdir d 2>/dev/null && ! mkdir d 2>/dev/null && ! cat nothing 2>/dev/null && ! ls d/e/two/x 2>/dev/null
        echo a > a && echo b > b && mv -n a b && test -e a && mv -f a b && test "$(cat b)" = a
        name=$(printf '\\377\\001 \\342\\230\\203') && : > "$name" && test -e "$name" && rm "$name"
        long=$(printf 'x%.0s' $(seq 255)) && : > $long && rm $long && ! touch x$long 2>/dev/null
        readlink d/link && find . | LC_ALL=C sort | tr '\\n' ' '
      `);
      expect(listing).toBe("one\ne/two\n. ./b ./d ./d/e ./d/e/two ./d/link ./disk ./fifo ./null ./sock ");
      await python(`
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def renameat2(a, b, flags):
    return 0 if libc.renameat2(-100, a, -100, b, flags) == 0 else ctypes.get_errno()
open("x", "w").write("x"); open("y", "w").write("y")
assert renameat2(b"x", b"y", 1) == 17
assert renameat2(b"x", b"y", 2) == 0 and open("x").read() == "y" and open("y").read() == "x"
assert renameat2(b"x", b"z", 2) == 2 and renameat2(b"x", b"z", 4) == 22 and renameat2(b"x", b"z", 1) == 0
fd = os.open("x", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
try: os.open("x", os.O_CREAT | os.O_EXCL | os.O_WRONLY); assert False
except FileExistsError: pass
`);
    });

    it("keeps attributes: modes under a umask, owners, times to the nanosecond, also before 1970", async () => {
      await create();
      await inMount(`
        umask 027 && : > f && mkdir d && test "$(stat -c %a f d | tr '\\n' ' ')" = "640 750 "
        chown 123:456 f && chmod 4711 f && test "$(stat -c '%a %u %g' f)" = "4711 123 456"
        touch -d '1969-12-31 23:59:58.123456789 UTC' f && test "$(stat -c %.9Y f)" = -1.876543211
        touch -a -d '2106-02-07 07:00:00.5 UTC' f && test "$(stat -c %.1X f)" = 4294969200.5
        test "$(stat -c %Y f)" -lt 0 && test "$(stat -c %W f)" -gt 1600000000
        truncate -s 5000000000 f && test "$(stat -c %s f)" = 5000000000 && truncate -s 3 f && test "$(stat -c %s f)" = 3
        df . >/dev/null && test "$(stat -f -c %l .)" = 255
      `);
    });

    it("takes set-id bits away when somebody else writes or truncates", async () => {
      await create();
      await inMount(`
        chmod 777 . && : > f && chmod 6777 f && setpriv --reuid 1000 --clear-groups sh -c 'echo x > f'
        test "$(stat -c %a f)" = 777 && chmod 6777 f && setpriv --reuid 1000 --clear-groups sh -c 'echo x >> f'
        sync f
      `);
      const { mode: bits } = await stat(join(mount.mountpoint, "f"));
      // A passthrough write cannot be seen: such files are not opened passthrough (ContentCache's OpenIntent).
      if (mode === "served") expect(bits & 0o6000).toBe(0);
    });

    it("keeps bytes: sparse copies, holes, appends, unlinked and temporary files, mappings", async () => {
      await create();
      await inMount(`
        head -c 3000000 /dev/urandom > data && cp data copy && cmp data copy && cp --reflink=auto --sparse=always data s && cmp data s
        truncate -s 8M holes && printf island | dd of=holes bs=1 seek=4194304 conv=notrunc status=none
        cp --sparse=always holes holes2 && cmp holes holes2 && test $(du -k holes2 | cut -f1) -lt 100
        fallocate -l 1M data2 && fallocate -p -o 0 -l 64K data2 && test $(stat -c %s data2) = 1048576
        echo a > log && echo b >> log && test "$(cat log)" = "$(printf 'a\\nb')" && : > log && test ! -s log
      `);
      await python(`
import ctypes, mmap, os
fd = os.open("holes", os.O_RDONLY)
assert os.lseek(fd, 0, os.SEEK_DATA) == 4194304 and os.lseek(fd, 0, os.SEEK_HOLE) == 0
assert os.lseek(fd, 4194304, os.SEEK_HOLE) > 4194304
with open("map", "w+b") as f:
    f.truncate(1 << 20)
    m = mmap.mmap(f.fileno(), 0)
    m[500000:500005] = b"hello"
    m.flush()
    assert os.pread(f.fileno(), 5, 500000) == b"hello"
    os.pwrite(f.fileno(), b"world", 500000)
    assert m[500000:500005] == b"world"
    m.close()
assert open("map", "rb").read()[500000:500005] == b"world"
m = open("map", "rb")
p = mmap.mmap(m.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ); m.close()
assert p[500000:500005] == b"world"
f = open("gone", "w+b"); f.write(b"x" * 100000); f.flush(); os.unlink("gone")
f.seek(0); assert len(f.read()) == 100000 and os.fstat(f.fileno()).st_nlink == 0
t = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600); os.write(t, b"temporary")
assert ctypes.CDLL(None).linkat(-100, b"/proc/self/fd/%d" % t, -100, b"named", 0x400) == 0
assert open("named").read() == "temporary"
a = os.open("data", os.O_RDONLY); b = os.open("part", os.O_CREAT | os.O_RDWR)
assert os.copy_file_range(a, b, 100000, 5, 7) == 100000
assert os.pread(b, 100000, 7) == os.pread(a, 100000, 5)
os.fsync(b); os.fdatasync(b); os.fsync(os.open(".", os.O_RDONLY))
big = os.urandom(5 << 20); open("big", "wb").write(big); assert open("big", "rb").read() == big
`);
      expect(mount.fileSystem.syncs).toBeGreaterThanOrEqual(3);
    });

    it("keeps extended attributes", async () => {
      await create();
      await inMount(`
        : > f && setfattr -n user.a -v one f && setfattr -n user.empty f && setfattr -n user.b -v "$(head -c 60000 /dev/zero | tr '\\0' x)" f
        test "$(getfattr --only-values -n user.a f)" = one && test "$(getfattr --only-values -n user.b f | wc -c)" = 60000
        test "$(getfattr f | grep -c user)" = 3 && setfattr -x user.a f && ! getfattr -n user.a f 2>/dev/null
        setfattr -n user.dir -v d . && getfattr -n user.dir . >/dev/null
      `);
      await python(`
import os
try: os.setxattr("f", "user.b", b"", os.XATTR_CREATE); assert False
except FileExistsError: pass
try: os.setxattr("f", "user.c", b"", os.XATTR_REPLACE); assert False
except OSError as e: assert e.errno == 61
`);
    });

    it("keeps locks", async () => {
      await create();
      await inMount(`exec 9> lock && flock 9 && ! flock -n lock true && exec 9>&- && flock -n lock true`);
      await python(`
import fcntl, os
f = open("lock", "w"); fcntl.lockf(f, fcntl.LOCK_EX, 10, 0)
pid = os.fork()
if pid == 0:
    g = open("lock", "r+")
    fcntl.lockf(g, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 10)
    try: fcntl.lockf(g, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0); os._exit(1)
    except BlockingIOError: os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
`);
    });

    it("runs SQLite in WAL mode, tar, find and rm -rf over thousands of files", async () => {
      await create();
      await python(`
import sqlite3
db = sqlite3.connect("work.db")
assert db.execute("pragma journal_mode=wal").fetchone() == ("wal",)
db.execute("create table t (id integer primary key, text)")
for batch in range(5):
    with db: db.executemany("insert into t(text) values (?)", [("row %d" % i,) for i in range(200)])
other = sqlite3.connect("work.db")
assert other.execute("select count(*) from t").fetchone() == (1000,)
assert other.execute("pragma integrity_check").fetchone() == ("ok",)
import os
for d in range(10):
    os.mkdir(f"tree{d}")
    for i in range(200): open(f"tree{d}/a-rather-long-file-name-{i}", "w").write(str(i))
`);
      const outcome = await inMount(`
        test $(find tree* -type f | wc -l) = 2000 && test $(ls -f tree3 | wc -l) = 202
        tar cf all.tar tree* && mkdir again && tar xf all.tar -C again && diff -r tree5 again/tree5
        rm -rf tree* again all.tar work.db* && ls -A
      `);
      expect(outcome).toBe("");
      expect(mount.mounted.counters().readdirplus).toBeGreaterThan(0);
    });

    it("lets two handles read and write one file, and its content live as long as one is open", async () => {
      await create();
      await python(`
import os
w = os.open("f", os.O_CREAT | os.O_WRONLY); r = os.open("f", os.O_RDONLY); rw = os.open("f", os.O_RDWR)
os.write(w, b"first"); assert os.read(r, 10) == b"first" and os.fstat(r).st_size == 5
os.pwrite(rw, b"F", 0); os.close(w); assert os.pread(r, 5, 0) == b"First"
os.ftruncate(rw, 2); assert os.fstat(r).st_size == 2; os.close(rw)
again = os.open("f", os.O_RDWR | os.O_APPEND); os.write(again, b"!"); assert os.pread(r, 5, 0) == b"Fi!"
`);
      await expect.poll(() => mount.fileSystem.openHandles).toBe(0);
    });

    it("asks flush only when close must wait, and never for readers", async () => {
      const mountpoint = await create({ flushOnClose: true });
      await writeFile(join(mountpoint, "f"), "x");
      await inMount("cat f f f");
      expect(mount.fileSystem.flushes).toBe(1);
      await mount.dispose();
      await create();
      await inMount("echo x > f && cat f");
      expect(mount.fileSystem.flushes).toBe(0);
    });

    it("lets go who is killed while he waits, and nobody for a signal he handles", async () => {
      await create();
      mount.fileSystem.hold = new Deferred();
      const program = `
import ctypes, os, signal
signal.signal(signal.SIGALRM, lambda *_: None); signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
fd = os.open(str(os.getpid()), os.O_CREAT | os.O_WRONLY)
libc = ctypes.CDLL(None, use_errno=True)
r = libc.fsync(fd), ctypes.get_errno()
signal.setitimer(signal.ITIMER_REAL, 0); print(r)`;
      const killed = spawn("bash", ["-c", 'cd "$0" && exec python3 -c "$1"', mount.mountpoint, program]);
      const exit = new Promise((resolve) => killed.on("exit", (_, signal) => resolve(signal)));
      const patient = python(program);
      await expect.poll(() => mount.fileSystem.syncs).toBe(2);
      await systemClock.sleep(300);
      killed.kill("SIGKILL");
      expect(await exit).toBe("SIGKILL");
      mount.fileSystem.hold.resolve();
      mount.fileSystem.hold = undefined;
      expect(await patient).toBe("(0, 0)\n");
      await expect.poll(() => mount.fileSystem.openHandles).toBe(0);
    });

    it("releases what was opened for somebody who is gone", async () => {
      await create();
      await inMount("echo x > f");
      mount.fileSystem.hold = new Deferred();
      const killed = spawn("bash", ["-c", 'cd "$0" && exec cat f', mount.mountpoint]);
      const exit = new Promise((resolve) => killed.on("exit", (_, signal) => resolve(signal)));
      await expect.poll(() => mount.mounted.counters().open).toBe(1);
      killed.kill("SIGTERM");
      expect(await exit).toBe("SIGTERM");
      mount.fileSystem.hold.resolve();
      mount.fileSystem.hold = undefined;
      expect(await inMount("cat f")).toBe("x\n");
      await expect.poll(() => mount.fileSystem.openHandles).toBe(0);
    });

    it("forgets what others have changed when it is told", async () => {
      await create();
      await inMount("mkdir d && ! test -e d/new && chmod 700 d && stat d");
      const caller = { uid: 0, gid: 0, pid: 1 };
      const { ino: directory } = mount.fileSystem.lookup(ROOT_INO, "d" as Name);
      mount.fileSystem.makeDirectory(caller, directory, "new" as Name, 0o755);
      void mount.fileSystem.setAttributes(caller, directory, { mode: 0o711 });
      expect(await inMount("test -e d/new || echo unseen; stat -c %a d")).toBe("unseen\n700\n");
      mount.mounted.invalidateEntry(directory, "new" as Name);
      mount.mounted.invalidateInode(directory);
      await expect.poll(() => inMount("test -e d/new || echo unseen; stat -c %a d")).toBe("711\n");
      mount.fileSystem.forget(directory, 1);
    });

    it.runIf(mode === "served")("makes writes wait while the gate is closed", async () => {
      await create();
      await inMount(": > f");
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

    it("is busy while somebody is in it, and frees what is open when it goes all the same", async () => {
      await create();
      const user = spawn("bash", ["-c", 'exec 8> "$0"/open-file && read -r', mount.mountpoint]);
      await expect.poll(() => mount.fileSystem.openHandles).toBe(1);
      await expect(mount.mounted.unmount()).rejects.toMatchObject({ kind: "busy" });
      await mount.unmount({ lazy: true });
      expect(mount.fileSystem.openHandles).toBe(0);
      expect(await shell("/", `grep -c ' ${mount.mountpoint} ' /proc/self/mountinfo || true`)).toBe("0\n");
      user.stdin.end();
    });
  },
);
