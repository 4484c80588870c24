"""Files that get their name when they are whole: what mode "file" writes into.

A file is written as `.NAME.podfs-<random>` beside its place and locked by its writer as long as that lives, so that
what dead writers have left can be told from what is being written, and removed. The lock is fcntl's F_OFD_SETLK, which
Node's side takes too.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
import struct
from contextlib import suppress
from typing import Optional

from . import _errors
from ._sink import Target

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]

#: What filesystems say that do not know a call.
UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.EMLINK})
_MARK = ".podfs-"


class TemporaryFile:
    """A file without its name yet. One thread at a time, except for `write`."""

    def __init__(self, target: Target) -> None:
        """Makes room for `target.size` bytes, or raises NoSpace, CheckpointExists …"""
        self.final = os.path.join(target.directory, target.filename)
        self._target = target
        self._directory = target.directory
        check_replaceable(self.final, target.replace)
        remove_leftovers(target.directory)
        self._path, self._plain = _create(target)
        self._direct: Optional[int] = None
        try:
            self._allocate(target.size)
            self._direct = _open_direct(self._path)
        except OSError as cause:
            self.discard()
            raise _errors.of_system_error(cause, self.final) from cause

    @property
    def direct(self) -> bool:
        """Writes go past the page cache."""
        return self._direct is not None

    def _allocate(self, size: int) -> None:
        # The size is set at once, too: direct writes that extend a file wait for each other (ext4, XFS).
        if size == 0:
            return
        if _libc.fallocate(self._plain, 0, 0, size) == 0:
            return
        number = ctypes.get_errno()
        if number not in UNSUPPORTED:
            raise OSError(number, os.strerror(number))
        room = os.statvfs(self._directory)
        if room.f_bavail * room.f_frsize < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(self, data: memoryview, offset: int) -> None:
        """All of it, whatever single calls take. `data` begins at a page of memory, `offset` at a multiple of 4096."""
        aligned = len(data) & ~4095
        if self._direct is not None and aligned > 0:
            written = _write_direct(self._direct, data[:aligned], offset)
            data, offset = data[written:], offset + written
        while data:
            written = os.pwrite(self._plain, data, offset)
            data, offset = data[written:], offset + written

    def publish(self) -> None:
        """Cuts the file to its size, makes it durable, and gives it its name. Raises CheckpointExists …"""
        try:
            os.ftruncate(self._plain, self._target.size)
            os.fsync(self._plain)
            if self._target.replace:
                os.rename(self._path, self.final)
            else:
                self._name_new()
            sync_directory(self._directory)
        except OSError as cause:
            raise _errors.of_system_error(cause, self.final) from cause
        finally:
            self._close()

    def _name_new(self) -> None:
        try:
            os.link(self._path, self.final)
        except OSError as cause:
            if cause.errno not in UNSUPPORTED:
                raise
            # A filesystem without hard links: nothing else refuses a name that exists, so look first.
            check_replaceable(self.final, replace=False)
            os.rename(self._path, self.final)
        else:
            os.unlink(self._path)

    def discard(self) -> None:
        """Leaves nothing behind. Without effect on a file that has its name."""
        try:
            os.unlink(self._path)
        except OSError:
            pass  # has its name, or its directory is gone
        self._close()

    def _close(self) -> None:
        descriptors, self._direct, self._plain = (self._direct, self._plain), None, -1
        for descriptor in descriptors:
            if descriptor is not None and descriptor >= 0:
                with suppress(OSError):  # what matters has been synced
                    os.close(descriptor)


def check_replaceable(path: str, replace: bool) -> None:
    """Raises CheckpointExists where a file of this name may not be made."""
    if os.path.isdir(path):
        raise _errors.CheckpointExists(f"{path} is a directory")
    if not replace and os.path.lexists(path):
        raise _errors.CheckpointExists(f"{path} exists; overwrite=True replaces it")


def sync_directory(path: str) -> None:
    """Makes names durable, where the filesystem can."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as cause:
        if cause.errno not in UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


def _create(target: Target) -> tuple[str, int]:
    while True:
        path = os.path.join(target.directory, f".{target.filename[:180]}{_MARK}{secrets.token_hex(8)}")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError as cause:
            raise _errors.of_system_error(cause, target.directory) from cause
        # Another writer may take it for a dead one's before it is locked, and is then about to remove it.
        if _lock(descriptor) is not False and os.fstat(descriptor).st_nlink > 0:
            return path, descriptor
        os.close(descriptor)


def _lock(descriptor: int) -> Optional[bool]:
    """False: another has the lock. None: this filesystem has no locks."""
    # l_type, l_whence, l_start, l_len, l_pid: the whole file, for this open file description.
    whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, whole)
    except OSError as cause:
        return False if cause.errno in (errno.EAGAIN, errno.EACCES) else None
    return True


def remove_leftovers(directory: str) -> None:
    """Removes what writers that are dead have left in a directory."""
    try:
        names = [name for name in os.listdir(directory) if name.startswith(".") and _MARK in name]
    except OSError as cause:
        raise _errors.of_system_error(cause, directory) from cause
    for name in names:
        path = os.path.join(directory, name)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # gone, or somebody else's
        try:
            if _lock(descriptor):
                os.unlink(path)
        except OSError:
            pass
        finally:
            os.close(descriptor)


def _open_direct(path: str) -> Optional[int]:
    try:
        return os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError as cause:
        if cause.errno not in UNSUPPORTED:
            raise
        return None  # a filesystem that knows no direct writes, such as tmpfs


def _write_direct(descriptor: int, data: memoryview, offset: int) -> int:
    """Bytes written before the filesystem refused: a multiple of 4096."""
    written = 0
    while written < len(data):
        try:
            count = os.pwrite(descriptor, data[written:], offset + written)
        except OSError as cause:
            if cause.errno != errno.EINVAL:
                raise
            break
        # A disk that filled up, or a signal: what is left may not begin at a block.
        written += count & ~4095
        if count & 4095 or count == 0:
            break
    return written
