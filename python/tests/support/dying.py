"""Processes that kill themselves in the middle of something."""

from __future__ import annotations

import importlib
import os
import signal
from typing import Any


def die_at(module: str, function: str, when: int) -> None:
    """The call number `when` (from 0) of `module.function`, or of a method as "Class.name", is a kill -9 instead."""
    owner = importlib.import_module(module)
    if "." in function:
        name, function = function.split(".")
        owner = getattr(owner, name)
    real = getattr(owner, function)
    left = when

    def dying(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)

    setattr(owner, function, dying)
