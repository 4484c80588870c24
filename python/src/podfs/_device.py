"""Copies between one GPU and host memory, on a stream of their own, in order with what the program does on its own."""

from __future__ import annotations

import threading
from ctypes import byref, c_void_p
from functools import cached_property
from typing import Optional

from ._cuda import EVENT_BLOCKING_SYNC, EVENT_DISABLE_TIMING, STREAM_NON_BLOCKING, Driver
from ._ring import Ring


class Event:
    """A point in a stream. `wait` returns when the stream has come there."""

    def __init__(self, copier: DeviceCopier, handle: c_void_p) -> None:
        self._copier = copier
        self._handle = handle

    def wait(self) -> None:
        """Waits, asleep, and gives the event back: call it once."""
        self._copier.wait(self._handle)


class DeviceCopier:
    """The stream of one GPU, for one ring. Thread-safe; copies are done in the order in which they were queued."""

    def __init__(self, driver: Driver, ordinal: int) -> None:
        self.driver = driver
        self.ordinal = ordinal
        self._stream = c_void_p()
        self._spare: list[c_void_p] = []
        self._lock = threading.Lock()
        with driver.current(ordinal):
            driver.call("cuStreamCreate", byref(self._stream), STREAM_NON_BLOCKING)

    def follow(self, stream: Optional[int]) -> None:
        """What is queued here from now on is done after what the program has queued on its `stream` by now."""
        with self.driver.current(self.ordinal):
            self._order(c_void_p(stream or 0), self._stream)

    def precede(self, stream: Optional[int]) -> None:
        """What the program queues on `stream` from now on is done after what has been queued here by now.

        Where the stream is not known (None), nothing can be put in order: waits until all is done.
        """
        with self.driver.current(self.ordinal):
            if stream is None:
                self.driver.call("cuStreamSynchronize", self._stream)
            else:
                self._order(self._stream, c_void_p(stream))

    def _order(self, first: c_void_p, second: c_void_p) -> None:
        event = self._take_event()
        self.driver.call("cuEventRecord", event, first)
        # The driver notes what the event stands for now; it can be recorded anew at once.
        self.driver.call("cuStreamWaitEvent", second, event, 0)
        self._give_event(event)

    def to_host(self, host: int, device: int, length: int) -> None:
        """Queues a copy. Both must stay as they are until an event after it has come."""
        with self.driver.current(self.ordinal):
            self.driver.call("cuMemcpyDtoHAsync_v2", host, device, length, self._stream)

    def to_device(self, device: int, host: int, length: int) -> None:
        """The same, the other way."""
        with self.driver.current(self.ordinal):
            self.driver.call("cuMemcpyHtoDAsync_v2", device, host, length, self._stream)

    def mark(self) -> Event:
        """An event after all that has been queued here by now."""
        with self.driver.current(self.ordinal):
            event = self._take_event()
            self.driver.call("cuEventRecord", event, self._stream)
            return Event(self, event)

    def synchronize(self) -> None:
        """Waits until all that has been queued here is done."""
        self.mark().wait()

    def wait(self, event: c_void_p) -> None:
        with self.driver.current(self.ordinal):
            self.driver.call("cuEventSynchronize", event)
        self._give_event(event)

    def _take_event(self) -> c_void_p:
        with self._lock:
            if self._spare:
                return self._spare.pop()
        event = c_void_p()
        self.driver.call("cuEventCreate", byref(event), EVENT_BLOCKING_SYNC | EVENT_DISABLE_TIMING)
        return event

    def _give_event(self, event: c_void_p) -> None:
        with self._lock:
            self._spare.append(event)

    @cached_property
    def uuid(self) -> str:
        return self.driver.uuid_of(self.ordinal)

    def ipc_handle(self, address: int) -> tuple[str, int]:
        """(handle in hexadecimal, offset of `address` in the allocation that it names)."""
        with self.driver.current(self.ordinal):
            return self.driver.ipc_handle(address)

    def close(self) -> None:
        """Ends the stream, when all is done. Errors are of no interest any more."""
        with self._lock:
            spare, self._spare = self._spare, []
        with self.driver.current(self.ordinal):
            self.driver.result("cuStreamSynchronize", self._stream)
            for event in spare:
                self.driver.result("cuEventDestroy_v2", event)
            self.driver.result("cuStreamDestroy_v2", self._stream)


class Devices:
    """The GPUs that one ring is used with: a copier for each, and the ring's registration, which is for all of them."""

    def __init__(self) -> None:
        """Raises DeviceError where there is no driver."""
        self._driver = Driver.load()
        self._copiers: dict[int, DeviceCopier] = {}
        self._registered: Optional[tuple[Ring, int]] = None
        self._lock = threading.Lock()

    def copier(self, ordinal: int) -> DeviceCopier:
        with self._lock:
            if ordinal not in self._copiers:
                self._copiers[ordinal] = DeviceCopier(self._driver, ordinal)
            return self._copiers[ordinal]

    def register(self, ring: Ring, ordinal: int) -> None:
        """Pins the ring: call it once. Copies work without, at a fraction of the speed. Raises DeviceError."""
        with self._driver.current(ordinal):
            self._driver.register(ring.address, ring.size)
        self._registered = (ring, ordinal)

    def close(self) -> None:
        """Ends the copies, then gives the ring back."""
        for copier in self._copiers.values():
            copier.close()
        self._copiers = {}
        if self._registered is not None:
            ring, ordinal = self._registered
            with self._driver.current(ordinal):
                self._driver.result("cuMemHostUnregister", ring.address)
            self._registered = None
