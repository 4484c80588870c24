"""Waiting for what happens behind a program's back: a mount removes old files when new ones are in the volume."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

TIMEOUT_SECONDS = 120


def await_value(read: Callable[[], Value], expected: Value) -> None:
    """Returns when `read` gives what is expected; fails with what it gives instead."""
    give_up = time.monotonic() + TIMEOUT_SECONDS
    while read() != expected and time.monotonic() < give_up:
        time.sleep(0.05)
    assert read() == expected
