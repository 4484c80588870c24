"""The sink of a mount: its daemon writes the slots into the cache, and gives the file its name.

The protocol, and what holds when either side dies, is in src/staging/protocol.ts of podfs.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import weakref
from collections.abc import Sequence
from typing import Any, Optional

from . import _errors
from ._cuda import Driver
from ._pending import Deadline, Outcome
from ._ring import Ring, slots_for
from ._sink import Target
from ._socket import LineReader, connect, socket_path_of

PROTOCOL_VERSION = 1
CLIENT = "python 0.1.0"
HELLO_TIMEOUT_S = 30.0

_ERRORS: dict[str, type[_errors.PodfsError]] = {
    "no-space": _errors.NoSpace,
    "no-memory": _errors.DaemonUnavailable,
    "exists": _errors.CheckpointExists,
    "not-found": _errors.CheckpointNotFound,
    "not-directory": _errors.CheckpointNotFound,
    "is-directory": _errors.CheckpointExists,
    "invalid-name": _errors.InvalidName,
    "read-only": _errors.ReadOnly,
    "not-permitted": _errors.NotPermitted,
    "protocol": _errors.ProtocolError,
    "device": _errors.DeviceError,
    "io": _errors.StorageError,
    "closing": _errors.ConnectionLost,
}


def _error_of(message: dict[str, Any], what: str = "the mount") -> _errors.PodfsError:
    kind = _ERRORS.get(str(message.get("kind")), _errors.StorageError)
    if message.get("kind") == "exists":
        return kind(f"{what} exists; overwrite=True replaces it")
    return kind(f"{what}: {message.get('message', 'no reason is given')}")


def _placement() -> dict[str, int]:
    """Where the ring is best: at the GPU that the program computes on, if it has begun to."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    try:
        node = Driver.load().numa_node_of(torch.cuda.current_device())
    except _errors.DeviceError:
        return {}
    return {} if node is None else {"numaNode": node}


class DaemonSink:
    """A connection to a mount, with the ring it has given. Thread-safe."""

    def __init__(self, directory: str, mode: str, ring_bytes: int, reason: str) -> None:
        """Connects. Raises DaemonUnavailable and ProtocolError. reason: why this mode, for the mount's status."""
        path = socket_path_of(directory)
        self._device = _stat(directory).st_dev
        self._lock = threading.Lock()
        self._error: Optional[_errors.PodfsError] = None
        self._next_save = 1
        self._saves: dict[int, DaemonSave] = {}
        # Slots that the mount has, and the saves they were given for. Single steps only: there is no lock.
        self._given: dict[int, int] = {}
        # Of those that are committed, somebody may still ask whether they are in the volume.
        self._committed: weakref.WeakValueDictionary[int, DaemonSave] = weakref.WeakValueDictionary()
        self._connection = connect(path, HELLO_TIMEOUT_S)
        try:
            self._reader = LineReader(self._connection)
            welcome = self._hello(mode, ring_bytes, reason)
            self.mode = str(welcome["mode"])
            self.reason = str(welcome["reason"])
            self.ring = self._map_ring(welcome)
        except BaseException:
            self._connection.close()
            raise
        self._connection.settimeout(None)
        self._thread = threading.Thread(target=self._read, name="podfs-staging", daemon=True)
        self._thread.start()

    def _hello(self, mode: str, ring_bytes: int, reason: str) -> dict[str, Any]:
        slots, slot_bytes = slots_for(ring_bytes)
        self._transmit(
            {
                "type": "hello",
                "version": PROTOCOL_VERSION,
                "pid": os.getpid(),
                "client": CLIENT,
                "mode": mode,
                "slots": slots,
                "slotBytes": slot_bytes,
                "pidNamespace": os.stat("/proc/self/ns/pid").st_ino,
                "reason": reason,
                **_placement(),
            }
        )
        answer = self._reader.read_first(HELLO_TIMEOUT_S)
        if answer.get("type") == "refused":
            raise _error_of(answer)
        if answer.get("type") != "welcome":
            raise _errors.ProtocolError("the mount's first message is no welcome")
        return answer

    def _map_ring(self, welcome: dict[str, Any]) -> Ring:
        descriptor = self._reader.take_descriptor()
        if descriptor is None:
            raise _errors.ProtocolError("the mount has sent no ring")
        try:
            return Ring.of_descriptor(descriptor, int(welcome["slots"]), int(welcome["slotBytes"]))
        finally:
            os.close(descriptor)

    @property
    def alive(self) -> bool:
        return self._error is None

    def begin(self, target: Target) -> DaemonSave:
        directory = _stat(target.directory)
        if directory.st_dev != self._device:
            raise _errors.DaemonUnavailable(f"{target.directory} is not in the mount that is connected to")
        with self._lock:
            number = self._next_save
            self._next_save += 1
            save = DaemonSave(self, number, os.path.join(target.directory, target.filename))
            self._saves[number] = save
        try:
            self.send(
                {
                    "type": "begin",
                    "save": number,
                    "parent": directory.st_ino,
                    "name": _in_bytes(target.filename),
                    "sizeBytes": target.size,
                    "replace": target.replace,
                    "mode": 0o666 & ~_umask(),
                }
            )
            save.begun.wait(Deadline(None), "making room")
        except BaseException as error:
            save.cancel(error)
            raise
        return save

    def send(self, message: dict[str, Any]) -> None:
        """Raises the error that the connection ended with, if it has."""
        with self._lock:
            if self._error is not None:
                raise self._error
            try:
                self._transmit(message)
            except OSError as cause:
                raise _errors.ConnectionLost(f"the connection to the mount broke ({cause.strerror})") from cause

    def _transmit(self, message: dict[str, Any]) -> None:
        self._connection.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def _read(self) -> None:
        try:
            while True:
                self._dispatch(self._reader.read())
        except _errors.PodfsError as error:
            self._end(error)
        except Exception as error:  # a message that lacks what it should have
            self._end(_errors.ProtocolError(f"the mount has sent what cannot be understood ({error!r})"))

    def _dispatch(self, message: dict[str, Any]) -> None:
        if message.get("type") == "refused":
            raise _error_of(message)
        number = message.get("save")
        if not isinstance(number, int):
            return  # a message that is newer than this client
        save = self._saves.get(number) or self._committed.get(number)
        if message["type"] == "written":
            self._given.pop(int(message["slot"]), None)
            self.ring.release(int(message["slot"]))
        if save is not None:
            save.receive(message)

    def give(self, save: DaemonSave, message: dict[str, Any]) -> None:
        """Sends a message that gives the mount a slot."""
        self._given[message["slot"]] = save.number
        self.send(message)

    def await_slots(self, save: DaemonSave) -> None:
        """Returns when the mount has given back all slots of the save, or is gone."""
        self.ring.await_change(lambda: not self.alive or save.number not in list(self._given.values()))

    def settle(self, save: DaemonSave, committed: bool) -> None:
        """The save needs no more than an answer to whether it is in the volume, or nothing at all."""
        self._saves.pop(save.number, None)
        if committed:
            self._committed[save.number] = save

    def _end(self, error: _errors.PodfsError) -> None:
        with self._lock:
            if self._error is None:
                self._error = error
            unsettled = [*self._saves.values(), *self._committed.values()]
        for save in unsettled:
            save.fail(self._error)
        self.ring.wake()

    def close(self) -> None:
        self._end(_errors.Cancelled("the checkpoint was closed"))
        try:
            self._connection.shutdown(2)
        except OSError:
            pass  # the mount was faster
        # An interpreter that ends is better alone.
        self._thread.join()
        self._connection.close()


class DaemonSave:
    """One file on its way into the mount.

    Invariant: `begun`, `named`, `published` settle in this order, each once; an error settles those that have not.
    """

    def __init__(self, sink: DaemonSink, number: int, path: str) -> None:
        self._sink = sink
        self.number = number
        self._path = path
        self._lock = threading.Lock()
        self._error: Optional[BaseException] = None
        self.begun, self.named = Outcome(), Outcome()
        self._copied = threading.Condition()
        self._fills_sent = self._fills_copied = 0
        self._published: Optional[Outcome] = None

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def write(self, slot: int, offset: int, length: int) -> None:
        self._give({"type": "write", "slot": slot, "offset": offset, "length": length})

    def fill(self, slot: int, offset: int, length: int, pieces: Sequence[dict[str, Any]]) -> None:
        self._fills_sent += 1
        self._give({"type": "fill", "slot": slot, "offset": offset, "length": length, "pieces": pieces})

    def _give(self, message: dict[str, Any]) -> None:
        self._sink.give(self, {**message, "save": self.number})

    def commit(self, retire: Sequence[str], after: Sequence[str]) -> None:
        self.check()
        message = {"type": "commit", "save": self.number, "retire": [*map(_in_bytes, retire)]}
        self._sink.send({**message, "after": [*map(_in_bytes, after)]} if after else message)

    def cancel(self, error: BaseException) -> None:
        if self.named.done:
            return
        self.fail(error)
        try:
            self._sink.send({"type": "cancel", "save": self.number})
        except _errors.PodfsError:
            pass  # the connection is gone, and all its saves with it

    def await_idle(self) -> None:
        # In mode "ipc" the mount may still be copying out of device memory that the program is about to free.
        if self._fills_sent > 0:
            self._sink.await_slots(self)

    def await_copied(self, deadline: Deadline) -> None:
        with self._copied:
            done = self._copied.wait_for(lambda: self._error or self._fills_copied >= self._fills_sent, deadline.left)
        self.check()
        if not done:
            raise _errors.WaitTimeout(f"copying {self._path} has not ended in the time given")

    def await_published(self, deadline: Deadline) -> None:
        with self._lock:
            outcome = self._published
            # What has failed is asked for again: the mount goes on trying.
            if outcome is None or outcome.error is not None:
                outcome = self._published = Outcome()
                try:
                    self._sink.send({"type": "durable", "save": self.number})
                except _errors.PodfsError as error:
                    outcome.settle(error)
        outcome.wait(deadline, f"publishing {self._path}")

    def receive(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "begun":
            self.begun.settle()
        elif kind == "copied":
            with self._copied:
                self._fills_copied = int(message["fills"])
                self._copied.notify_all()
        elif kind == "committed":
            self._sink.settle(self, committed=True)
            self.named.settle()
        elif kind == "published":
            if self._published is not None:
                self._published.settle()
        elif kind == "failed":
            self.fail(_error_of(message, self._path))

    def fail(self, error: BaseException) -> None:
        """Before `named`: the save has failed. After it: it is not known, or not yet true, that it is in the volume."""
        if self.named.done and self.named.error is None:
            if self._published is not None:
                self._published.settle(error)
            return
        self._error = self._error or error
        self._sink.settle(self, committed=False)
        for outcome in (self.begun, self.named):
            outcome.settle(error)
        with self._copied:
            self._copied.notify_all()
        self._sink.ring.wake()


def _stat(directory: str) -> os.stat_result:
    try:
        return os.stat(directory)
    except OSError as cause:
        raise _errors.of_system_error(cause, directory) from cause


def _in_bytes(name: str) -> str:
    """A name as the protocol has it: each byte a character."""
    return os.fsencode(name).decode("latin-1")


def _umask() -> int:
    # os.umask() would have to change it to tell it, for all threads.
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022
