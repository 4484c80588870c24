"""A ring with the GPUs that copy to and from it."""

from __future__ import annotations

import threading
from typing import Optional

from ._copy import Completions
from ._device import Devices
from ._errors import DeviceError
from ._ring import Ring


class Staging:
    """What outlives single saves and loads: pinned memory and the streams. Thread-safe."""

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.completions = Completions()
        self.unpinned = ""
        """Why copies of GPUs go through memory that is not pinned; empty if it is, or no GPU was used yet."""
        self._devices: Optional[Devices] = None
        self._lock = threading.Lock()

    def devices(self, ordinal: int) -> Devices:
        """The GPUs, with the ring pinned if that is possible. Raises DeviceError where there is no driver.

        ordinal: of one that is going to be used. No other is touched: a context takes hundreds of megabytes of its GPU.
        """
        with self._lock:
            if self._devices is None:
                devices = Devices()
                try:
                    devices.register(self.ring, ordinal)
                except DeviceError as error:
                    self.unpinned = f"the ring cannot be pinned: {error}"
                self._devices = devices
            return self._devices

    def close(self) -> None:
        """Ends when no copy is running any more. Nobody may use the ring after this."""
        self.completions.close()
        if self._devices is not None:
            self._devices.close()
        self.ring.close()
