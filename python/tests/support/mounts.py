"""A real mount of podfs, for tests."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, Optional


def mount_obstacle(project: Path) -> str:
    """Why nothing can be mounted here; empty if it can."""
    if not (project / "dist/cli/main.js").exists():
        return "podfs is not built here (dist/cli/main.js)"
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse"
    return "" if os.geteuid() == 0 else "mount(2) needs root"


class PodfsMount:
    """A volume in a directory and a mount of it, with state and caches of their own."""

    def __init__(
        self, project: Path, directory: Path, *options: str, environment: Optional[Mapping[str, str]] = None
    ) -> None:
        self._program = ["node", str(project / "dist/cli/main.js")]
        self._options = options
        self._numbers = count(1)
        self.volume, self.mountpoint = directory / "volume", directory / "mnt"
        self._environment = {
            **(os.environ if environment is None else environment),
            "PODFS_STATE_DIR": str(directory / "state"),
            "XDG_CACHE_HOME": str(directory / "cache"),
        }
        self._directory = directory
        self.pid = 0

    def start(self) -> None:
        """Mounts the volume, which is made if it is not there."""
        self.volume.mkdir(exist_ok=True)
        self.mountpoint.mkdir(exist_ok=True)
        summary = self.run("mount", "--create", "--json", *self._options, str(self.volume), str(self.mountpoint))
        self.pid = int(json.loads(summary)["pid"])

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._program, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"podfs {' '.join(arguments)}: {done.stderr}{done.stdout}"
        return done.stdout

    def status(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.run("status", "--json", str(self.mountpoint)))
        return report

    def new_directory(self) -> Path:
        """A path in the mount where nothing is yet."""
        return self.mountpoint / f"ckpt-{next(self._numbers)}"

    def unmount(self) -> None:
        self.run("umount", str(self.mountpoint))
        self.pid = 0

    def kill(self) -> None:
        """kill -9 of the daemon; the mount point is left clean."""
        os.kill(self.pid, signal.SIGKILL)
        while os.path.exists(f"/proc/{self.pid}/exe"):
            time.sleep(0.02)
        subprocess.run(["umount", "-l", str(self.mountpoint)], check=False, capture_output=True)
        self.pid = 0

    def dispose(self) -> None:
        if self.pid:
            subprocess.run(["umount", "-l", str(self.mountpoint)], check=False, capture_output=True)
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self._directory, ignore_errors=True)
