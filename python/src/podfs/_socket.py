"""Finding the socket of the mount that serves a path, and connecting to it."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import time
from typing import Any, Optional

from ._errors import ConnectionLost, DaemonUnavailable, ProtocolError

#: src/staging/protocol.ts, SOCKET_ATTRIBUTE.
SOCKET_ATTRIBUTE = "user.podfs.staging"
LINE_BYTES_MAX = 1 << 20
_UNIX_PATH_BYTES_MAX = 107


def socket_path_of(path: str) -> str:
    """The socket of the mount that `path` is in. Raises DaemonUnavailable, with the reason."""
    try:
        return os.fsdecode(os.getxattr(path, SOCKET_ATTRIBUTE))
    except OSError as cause:
        # What filesystems say that have no such attribute, or no attributes at all.
        usual = cause.errno in (errno.ENODATA, errno.EOPNOTSUPP)
        why = "" if usual else f" ({cause.strerror})"
        raise DaemonUnavailable(f"{path} is not in a podfs mount that takes checkpoints{why}") from cause


def connect(path: str, timeout: float) -> socket.socket:
    """A connection to the socket at `path`. Raises DaemonUnavailable."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        _check_owner(path)
        _connect(connection, path)
    except OSError as cause:
        connection.close()
        if isinstance(cause, DaemonUnavailable):
            raise
        raise DaemonUnavailable(f"the mount's socket {path} does not answer ({cause.strerror or cause})") from cause
    return connection


def _connect(connection: socket.socket, path: str) -> None:
    if len(os.fsencode(path)) <= _UNIX_PATH_BYTES_MAX:
        connection.connect(path)
        return
    # Longer paths do not fit sockaddr_un: go through the directory's descriptor.
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    finally:
        os.close(directory)


def _check_owner(path: str) -> None:
    # Anybody may set the attribute on a file of an ordinary filesystem, and name a socket of their own.
    status = os.lstat(path)
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid not in (0, os.geteuid()):
        raise DaemonUnavailable(f"{path} is not a socket of this user's: not used")


class LineReader:
    """JSON lines from a socket, and the descriptor that may come with one."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._pending = bytearray()
        self._descriptors: list[int] = []

    def take_descriptor(self) -> Optional[int]:
        """A descriptor that has come and nobody has taken. The caller owns it."""
        return self._descriptors.pop(0) if self._descriptors else None

    def read_first(self, timeout: float) -> dict[str, Any]:
        """One message, within `timeout` seconds. Raises DaemonUnavailable, ConnectionLost, ProtocolError."""
        deadline = time.monotonic() + timeout
        while True:
            message = self._next()
            if message is not None:
                return message
            left = deadline - time.monotonic()
            if left <= 0:
                raise DaemonUnavailable(f"the mount does not answer within {timeout:g} seconds")
            self._connection.settimeout(left)
            try:
                self._receive()
            except socket.timeout:
                continue

    def read(self) -> dict[str, Any]:
        """The next message, whenever it comes. Raises ConnectionLost, ProtocolError."""
        while True:
            message = self._next()
            if message is not None:
                return message
            self._receive()

    def _receive(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._connection, 1 << 16, 4)
        except socket.timeout:
            raise
        except OSError as cause:
            raise ConnectionLost(f"the connection to the mount broke ({cause.strerror})") from cause
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        self._descriptors.extend(descriptors)
        if not data:
            raise ConnectionLost("the mount has ended the connection")
        self._pending += data

    def _next(self) -> Optional[dict[str, Any]]:
        end = self._pending.find(b"\n")
        if end < 0:
            if len(self._pending) > LINE_BYTES_MAX:
                raise ProtocolError("the mount has sent a line that is too long")
            return None
        line = bytes(self._pending[:end])
        del self._pending[: end + 1]
        try:
            message = json.loads(line)
        except ValueError as cause:
            raise ProtocolError("the mount has sent what is not JSON") from cause
        if not isinstance(message, dict):
            raise ProtocolError("the mount has sent what is no message")
        return message
