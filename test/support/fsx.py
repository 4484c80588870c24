"""Random operations on two files of a directory, checked against images of them in memory: what fsx does.

    fsx.py DIRECTORY IMAGES SEED STEPS SIZE_MAX

The images are loaded from and kept in the directory IMAGES, outside the filesystem under test, so that the next run goes
on where this one ended. With no STEPS it only compares. On a difference it says which operation saw it, and the last ones.
"""

import ctypes
import errno
import mmap
import os
import random
import sys

NAMES = ("left", "right")
PAGE = mmap.PAGESIZE
RANGE_MAX = 300_000
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
HISTORY = 30

libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    if libc.fallocate(fd, mode, offset, length) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")


class File:
    """One file, what it should hold, and one or two descriptors of it."""

    def __init__(self, path: str, image_path: str) -> None:
        self.path, self.image_path = path, image_path
        self.image = bytearray()
        if os.path.exists(image_path):
            with open(image_path, "rb") as kept:
                self.image = bytearray(kept.read())
        self.fds = [os.open(path, os.O_RDWR | os.O_CREAT, 0o644)]

    @property
    def fd(self) -> int:
        return random.choice(self.fds)

    def close(self) -> None:
        for fd in self.fds:
            os.close(fd)
        with open(self.image_path, "wb") as kept:
            kept.write(self.image)

    def grow(self, size: int) -> None:
        if size > len(self.image):
            self.image.extend(bytes(size - len(self.image)))

    def put(self, offset: int, data: bytes) -> None:
        self.grow(offset)
        self.image[offset : offset + len(data)] = data

    def compare(self, offset: int, got: bytes, length: int) -> None:
        expected = self.image[offset : offset + length]
        if got == expected:
            return
        at = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b), min(len(got), len(expected)))
        raise AssertionError(
            f"{os.path.basename(self.path)}: {len(got)} bytes at {offset}, expected {len(expected)}; "
            f"different from {offset + at}: {got[at:at + 8].hex()} instead of {expected[at:at + 8].hex()}"
        )


class Exerciser:
    def __init__(self, directory: str, images: str, size_max: int) -> None:
        self.size_max = size_max
        self.files = [File(os.path.join(directory, name), os.path.join(images, name)) for name in NAMES]
        self.history: list[str] = []
        self.operations = [
            (self.write, 6), (self.read, 6), (self.append, 2), (self.truncate, 3), (self.map_write, 4),
            (self.map_read, 2), (self.punch, 3), (self.zero, 2), (self.allocate, 1), (self.copy, 4),
            (self.seek, 2), (self.sync, 1), (self.reopen, 3), (self.second_descriptor, 2), (self.empty, 0.2),
        ]

    def note(self, text: str) -> None:
        self.history = [*self.history[-HISTORY + 1 :], text]

    def run(self, steps: int) -> None:
        operations, weights = zip(*self.operations)
        for step in range(steps):
            file = random.choice(self.files)
            self.note(f"{step} {os.path.basename(file.path)} ({len(file.image)} bytes)")
            random.choices(operations, weights)[0](file)
            size = os.fstat(file.fd).st_size
            assert size == len(file.image), f"size is {size}, expected {len(file.image)}"

    def check(self) -> None:
        for file in self.files:
            assert os.stat(file.path).st_size == len(file.image), f"size {os.stat(file.path).st_size}"
            for offset in range(0, len(file.image), 1 << 20):
                file.compare(offset, os.pread(file.fd, 1 << 20, offset), 1 << 20)

    def range(self, end_max: int) -> tuple[int, int]:
        """At least one byte, ending at `end_max` at most; small, or aligned, as often as not."""
        offset = random.randrange(max(end_max, 1))
        length = random.choice((random.randint(1, 64), random.randint(1, 9000), random.randint(1, RANGE_MAX)))
        if random.random() < 0.3:
            offset -= offset % PAGE
        return offset, max(1, min(length, end_max - offset))

    def write(self, file: File) -> None:
        offset, length = self.range(self.size_max)
        data = random.randbytes(length)
        self.note(f"write {offset}+{length}")
        assert os.pwrite(file.fd, data, offset) == length
        file.put(offset, data)

    def append(self, file: File) -> None:
        data = random.randbytes(random.randint(1, 20_000))
        if len(file.image) + len(data) > self.size_max:
            return
        self.note(f"append {len(data)}")
        fd = os.open(file.path, os.O_WRONLY | os.O_APPEND)
        assert os.write(fd, data) == len(data)
        os.close(fd)
        file.put(len(file.image), data)

    def read(self, file: File) -> None:
        offset, length = self.range(self.size_max)
        self.note(f"read {offset}+{length}")
        file.compare(offset, os.pread(file.fd, length, offset), length)

    def truncate(self, file: File) -> None:
        size = random.choice((random.randrange(self.size_max), random.randrange(len(file.image) + 1)))
        self.note(f"truncate to {size}")
        os.truncate(random.choice((file.path, file.fd)), size)
        del file.image[size:]
        file.grow(size)

    def mapped_range(self, file: File) -> tuple[int, int, int]:
        """Offset and length of a range to touch, and the page the mapping begins at."""
        offset, length = self.range(len(file.image))
        return offset, length, offset - offset % PAGE

    def map_write(self, file: File) -> None:
        if not file.image:
            return
        offset, length, start = self.mapped_range(file)
        data = random.randbytes(length)
        self.note(f"map and write {offset}+{length}")
        with mmap.mmap(file.fd, offset + length - start, mmap.MAP_SHARED, offset=start) as mapping:
            mapping[offset - start : offset - start + length] = data
            if random.random() < 0.5:
                mapping.flush()
        file.put(offset, data)

    def map_read(self, file: File) -> None:
        if not file.image:
            return
        offset, length, start = self.mapped_range(file)
        self.note(f"map and read {offset}+{length}")
        kind = random.choice((mmap.MAP_SHARED, mmap.MAP_PRIVATE))
        with mmap.mmap(file.fd, offset + length - start, kind, offset=start) as mapping:
            file.compare(offset, mapping[offset - start : offset - start + length], length)

    def punch(self, file: File) -> None:
        offset, length = self.range(self.size_max)
        self.note(f"punch {offset}+{length}")
        fallocate(file.fd, PUNCH_HOLE | KEEP_SIZE, offset, length)
        end = min(offset + length, len(file.image))
        if end > offset:
            file.put(offset, bytes(end - offset))

    def zero(self, file: File) -> None:
        offset, length = self.range(self.size_max)
        keep = random.choice((0, KEEP_SIZE))
        self.note(f"zero {offset}+{length} keep {keep}")
        fallocate(file.fd, ZERO_RANGE | keep, offset, length)
        end = min(offset + length, len(file.image)) if keep else offset + length
        if end > offset:
            file.put(offset, bytes(end - offset))

    def allocate(self, file: File) -> None:
        offset, length = self.range(self.size_max)
        keep = random.choice((0, KEEP_SIZE))
        self.note(f"allocate {offset}+{length} keep {keep}")
        fallocate(file.fd, keep, offset, length)
        if not keep:
            file.grow(offset + length)

    def copy(self, file: File) -> None:
        source = random.choice(self.files)
        if not source.image:
            return
        from_offset, length = self.range(len(source.image))
        to_offset = random.randrange(self.size_max - length) if length < self.size_max else 0
        if source is file and abs(from_offset - to_offset) < length:
            return
        self.note(f"copy {os.path.basename(source.path)} {from_offset}+{length} to {to_offset}")
        from_fd, to_fd, done = source.fd, file.fd, 0
        while done < length:
            count = os.copy_file_range(from_fd, to_fd, length - done, from_offset + done, to_offset + done)
            assert count > 0, "copy_file_range ended early"
            done += count
        file.put(to_offset, bytes(source.image[from_offset : from_offset + length]))

    def seek(self, file: File) -> None:
        """What lies before the next data must be zeros. (What lies in data may be zeros too.)"""
        offset, _ = self.range(max(len(file.image), 1))
        self.note(f"seek from {offset}")
        try:
            data = os.lseek(file.fd, offset, os.SEEK_DATA)
        except OSError as error:
            assert error.errno == errno.ENXIO
            data = len(file.image)
        assert not any(file.image[offset:data]), f"SEEK_DATA skipped data between {offset} and {data}"
        if offset < len(file.image):
            assert offset <= os.lseek(file.fd, offset, os.SEEK_HOLE) <= len(file.image)

    def sync(self, file: File) -> None:
        self.note("sync")
        random.choice((os.fsync, os.fdatasync))(file.fd)

    def reopen(self, file: File) -> None:
        self.note("reopen")
        for fd in file.fds:
            os.close(fd)
        file.fds = [os.open(file.path, os.O_RDWR)]

    def second_descriptor(self, file: File) -> None:
        if len(file.fds) == 1:
            self.note("open once more")
            file.fds.append(os.open(file.path, os.O_RDWR))
        else:
            self.note("close one")
            os.close(file.fds.pop(random.randrange(2)))

    def empty(self, file: File) -> None:
        self.note("empty by O_TRUNC")
        os.close(os.open(file.path, random.choice((os.O_WRONLY, os.O_RDWR, os.O_RDONLY)) | os.O_TRUNC))
        file.image.clear()


def main() -> None:
    directory, images, seed, steps, size_max = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    random.seed(seed)
    exerciser = Exerciser(directory, images, size_max)
    try:
        exerciser.check()
        exerciser.run(steps)
        exerciser.check()
    except (AssertionError, OSError) as error:
        sys.exit("\n".join((f"seed {seed}: {error!r}", *exerciser.history)))
    for file in exerciser.files:
        file.close()


main()
