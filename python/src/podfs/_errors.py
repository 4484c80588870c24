"""Everything that can go wrong, as exceptions that can be told apart.

Each is also the builtin exception that fits, so that programs which know nothing of podfs handle it well.
"""

import errno as _errno


class PodfsError(Exception):
    """Base of all errors that this package raises on purpose."""


class _SystemError(PodfsError, OSError):
    """An OSError whose errno is its class's, and whose text is one sentence of ours."""

    _errno: int

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.errno = self._errno

    def __str__(self) -> str:
        return str(self.args[0])


class DaemonUnavailable(_SystemError, ConnectionError):
    """No podfs serves this directory, or it takes no checkpoints, and the mode asked for needs one."""

    _errno = _errno.ECONNREFUSED


class ConnectionLost(_SystemError, ConnectionError):
    """The mount went away in the middle. Saves that were not committed have left nothing behind."""

    _errno = _errno.ECONNRESET


class ProtocolError(_SystemError, ConnectionError):
    """The mount and this package do not understand each other: one of them is too old."""

    _errno = _errno.EPROTO


class CheckpointExists(_SystemError, FileExistsError):
    """There is a checkpoint (or another file) of this name; `overwrite=True` replaces it."""

    _errno = _errno.EEXIST


class CheckpointNotFound(_SystemError, FileNotFoundError):
    """There is no complete checkpoint of this name, or its directory is gone."""

    _errno = _errno.ENOENT


class NoSpace(_SystemError):
    """The checkpoint does not fit the cache or the disk. Known before anything is copied."""

    _errno = _errno.ENOSPC


class ReadOnly(_SystemError):
    """The mount, or the volume, is read-only."""

    _errno = _errno.EROFS


class NotPermitted(_SystemError, PermissionError):
    """The directory may not be written."""

    _errno = _errno.EACCES


class StorageError(_SystemError):
    """The disk, or the volume behind it, has failed."""

    _errno = _errno.EIO


class InvalidName(PodfsError, ValueError):
    """Not a name for a checkpoint: it must be one path component, without control characters."""


class UnsupportedTensor(PodfsError, TypeError):
    """Something in the state is not a tensor, or not one that safetensors can hold."""


class TensorMismatch(PodfsError, ValueError):
    """What is to be loaded into, or asked for, does not fit the checkpoint: names, dtypes or shapes."""


class DamagedCheckpoint(PodfsError, ValueError):
    """The file breaks a rule of the format, or ends too early: it was not written by podfs, or was changed since."""


class DeviceError(PodfsError, RuntimeError):
    """The CUDA driver is missing, refused or failed."""


class WaitTimeout(PodfsError, TimeoutError):
    """The time given to wait is over. The save goes on."""


class Cancelled(PodfsError, RuntimeError):
    """The save was given up before it was committed, and has left nothing behind."""


def of_system_error(cause: OSError, what: str) -> PodfsError:
    """The error of this package for a failed system call on `what`."""
    text = f"{what}: {cause.strerror}"
    if cause.errno in (_errno.ENOSPC, _errno.EDQUOT):
        return NoSpace(text)
    if cause.errno == _errno.EROFS:
        return ReadOnly(text)
    if cause.errno in (_errno.EACCES, _errno.EPERM):
        return NotPermitted(text)
    if cause.errno in (_errno.ENOENT, _errno.ENOTDIR):
        return CheckpointNotFound(text)
    if cause.errno == _errno.EEXIST:
        return CheckpointExists(f"{what} exists; overwrite=True replaces it")
    if cause.errno == _errno.ENOTCONN:  # a FUSE mount without its daemon
        return DaemonUnavailable(text)
    return StorageError(text)
