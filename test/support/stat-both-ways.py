"""Random operations on names; after each, the attributes of everything are asked for in two ways that must agree.

    stat-both-ways.py DIRECTORY SEED STEPS

statx(2) with AT_STATX_FORCE_SYNC is a GETATTR, which the engine may answer from what it has heard; if it also wants the
birth time it is a STATX (Linux 6.6 and later), which it hands on. And every name that is there must be found, and no other,
also after the kernel has dropped what it remembers. On a difference it says which operations came last.
"""

import ctypes
import os
import random
import struct
import sys

AT_FDCWD, AT_SYMLINK_NOFOLLOW, AT_STATX_FORCE_SYNC = -100, 0x100, 0x2000
BASIC_STATS, BTIME = 0x7FF, 0x800
NODES_MAX = 40
# Between the two questions a file may have been published, which changes its blocks.
TRIES = 3
HISTORY = 12

libc = ctypes.CDLL(None, use_errno=True)


def statx(path: str, mask: int) -> dict[str, object]:
    """struct statx, without what differs by what was asked for."""
    buffer = ctypes.create_string_buffer(256)
    flags = AT_SYMLINK_NOFOLLOW | AT_STATX_FORCE_SYNC
    if libc.statx(AT_FDCWD, os.fsencode(path), flags, mask, buffer) != 0:
        raise OSError(ctypes.get_errno(), f"statx {path}")
    _, _, _, nlink, uid, gid, mode, _, ino, size, blocks, _ = struct.unpack_from("<IIQIIIHHQQQQ", buffer)
    atime, _, ctime, mtime = (struct.unpack_from("<qI", buffer, at) for at in (64, 80, 96, 112))
    return dict(nlink=nlink, uid=uid, gid=gid, mode=mode, ino=ino, size=size, blocks=blocks,
                atime=atime, ctime=ctime, mtime=mtime)


class Exerciser:
    def __init__(self, root: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.root = root
        self.paths = {root: True}  # True: a directory.
        self.count = 0
        self.open: list[int] = []
        self.history: list[str] = []

    def step(self) -> None:
        kind = self.random.choice(
            [self.make, self.make, self.make, self.remove, self.rename, self.change, self.write, self.link]
        )
        try:
            said = kind()
        except OSError as error:
            said = f"{kind.__name__}: {error}"
        self.history.append(str(said))
        for path in list(self.paths):
            self.compare(path)

    def compare(self, path: str) -> None:
        for _ in range(TRIES):
            asked, told = statx(path, BASIC_STATS), statx(path, BASIC_STATS | BTIME)
            if asked == told:
                return
        self.expect(False, f"{path}: GETATTR says {asked}, STATX {told}")

    def look(self) -> None:
        """With nothing remembered by the kernel."""
        os.sync()
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("2")
        for path in self.paths:
            self.expect(os.path.lexists(path), f"{path} is not found")
        for directory in (path for path, is_directory in self.paths.items() if is_directory):
            here = {os.path.basename(path) for path in self.paths if os.path.dirname(path) == directory}
            self.expect(set(os.listdir(directory)) == here, f"{directory} lists {os.listdir(directory)}, not {here}")
            for i in range(20):
                self.expect(not os.path.lexists(f"{directory}/absent-{self.count}-{i}"), "an absent name is found")
        self.count += 1

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            sys.exit("\n".join([what, "the last operations:", *self.history[-HISTORY:]]))

    def directory(self) -> str:
        return self.random.choice([path for path, is_directory in self.paths.items() if is_directory])

    def any(self, kind: bool | None = None) -> str:
        paths = [path for path, is_dir in self.paths.items() if path != self.root and kind in (None, is_dir)]
        return self.random.choice(paths or [self.root])

    def new(self) -> str:
        self.count += 1
        # Of names that are used again, too: what has gone and come back.
        name = self.random.choice([f"n{self.count}", f"again{self.count % 3}"])
        return os.path.join(self.directory(), name)

    def make(self) -> str:
        if len(self.paths) > NODES_MAX:
            return self.remove()
        path = self.new()
        kind = self.random.choice(["file", "kept", "directory", "symlink", "fifo", "temporary"])
        if kind in ("file", "kept"):
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o640)
            os.write(fd, b"x" * self.random.randrange(5000))
            self.open.append(fd)
            if kind == "file":
                os.close(self.open.pop())
        elif kind == "directory":
            os.mkdir(path)
        elif kind == "symlink":
            os.symlink("target", path)
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            fd = os.open(os.path.dirname(path), os.O_TMPFILE | os.O_RDWR, 0o600)
            os.write(fd, b"temporary")
            try:
                os.link(f"/proc/self/fd/{fd}", path, follow_symlinks=True)
            finally:
                os.close(fd)
        self.paths[path] = kind == "directory"
        return f"make {kind} {path}"

    def remove(self) -> str:
        path = self.any()
        if path == self.root:
            return "nothing"
        (os.rmdir if self.paths[path] else os.unlink)(path)
        del self.paths[path]
        return f"remove {path}"

    def rename(self) -> str:
        old, new = self.any(), self.new()
        if old == self.root or new.startswith(f"{old}/") or self.paths.get(new):
            return "nothing"
        # Two names of one file: rename(2) does nothing then, and says that it went well.
        if os.path.lexists(new) and os.path.samestat(os.lstat(old), os.lstat(new)):
            return "nothing"
        os.rename(old, new)
        is_directory = self.paths.pop(old)
        self.paths = {
            (new + path[len(old):] if path.startswith(f"{old}/") else path): value for path, value in self.paths.items()
        }
        self.paths[new] = is_directory
        return f"rename {old} {new}"

    def change(self) -> str:
        path = self.any()
        kind = self.random.choice(["chmod", "chown", "utime", "xattr", "truncate"])
        if kind == "chown":
            os.lchown(path, self.random.randrange(3), -1)
        elif os.path.islink(path):
            return "nothing"
        elif kind == "chmod":
            os.chmod(path, 0o700 + self.random.randrange(8))
        elif kind == "utime":
            os.utime(path, ns=(self.random.randrange(10**18), self.random.randrange(10**18)))
        elif kind == "xattr":
            os.setxattr(path, "user.any", b"value")
        elif os.path.isfile(path):
            os.truncate(path, self.random.randrange(9000))
        return f"{kind} {path}"

    def write(self) -> str:
        if self.open and self.random.random() < 0.5:
            fd = self.open.pop(self.random.randrange(len(self.open)))
            os.pwrite(fd, b"y" * 100, self.random.randrange(10_000))
            os.close(fd)
            return "write and close"
        path = self.any(kind=False)
        if os.path.islink(path) or not os.path.isfile(path):
            return "nothing"
        self.open.append(os.open(path, self.random.choice([os.O_RDWR, os.O_RDWR | os.O_TRUNC, os.O_RDONLY])))
        return f"open {path}"

    def link(self) -> str:
        path, new = self.any(kind=False), self.new()
        if path == self.root:
            return "nothing"
        os.link(path, new, follow_symlinks=False)
        self.paths[new] = False
        return f"link {path} {new}"


def main() -> None:
    root, seed, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    exerciser = Exerciser(root, seed)
    for path, directories, files in os.walk(root):
        for name in [*directories, *files]:
            full = os.path.join(path, name)
            exerciser.paths[full] = os.path.isdir(full) and not os.path.islink(full)
    for step in range(steps):
        exerciser.step()
        if step % 100 == 99 or step == 0:
            exerciser.look()
    print(f"{steps} steps, {len(exerciser.paths)} names")


main()
