"""A podfs mount of its own, where this machine lets us have one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Optional

#: Of the repository, or of what prepare.sh made of it: both are laid out the same.
ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "dist/cli/main.js"
STAGING_MEMORY = "4G"


def find_node() -> Optional[str]:
    carried = ROOT / "node/bin/node"
    return str(carried) if carried.exists() else shutil.which("node")


def obstacle() -> Optional[str]:
    """Why nothing can be mounted here; None when it can."""
    if find_node() is None:
        return "there is no node, neither carried nor on the PATH"
    if not PROGRAM.exists():
        return f"podfs is not built: there is no {PROGRAM}"
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse"
    if os.getuid() != 0:
        return "mount(2) needs root"
    return None


def unmount_below(directory: str) -> None:
    """Mounts that a section left behind when it was ended."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for path in mounts:
        if path.startswith(f"{directory}/"):
            subprocess.run(["umount", "-l", path], check=False)


class Mount:
    """A new volume in a directory, mounted, with its cache beside it, on the same disk.

    fsync is local: what is measured is the way to the disk, not to the directory that stands for a bucket.
    """

    def __init__(self, directory: str) -> None:
        # Elsewhere: it has sockets in it, whose paths must be short.
        self._state = tempfile.TemporaryDirectory(prefix="podfs-")
        self._environment = {**os.environ, "PODFS_STATE_DIR": self._state.name, "XDG_CACHE_HOME": f"{directory}/cache"}
        self.path = f"{directory}/workspace"
        store = f"{directory}/store"
        for path in (self.path, store):
            os.makedirs(path)
        options = ["--create", "--durability", "local", "--staging-memory", STAGING_MEMORY]
        self.pid = int(json.loads(self._podfs("mount", "--json", *options, store, self.path))["pid"])

    def __enter__(self) -> Mount:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._podfs("umount", self.path)
        except RuntimeError:
            subprocess.run(["umount", "-l", self.path], check=False)
            raise
        finally:
            self._state.cleanup()

    def flush(self) -> None:
        """Until everything is in the volume, so that uploads are not part of what comes next."""
        self._podfs("flush", self.path)

    def memory(self, line: str) -> int:
        """Bytes of a line of /proc/PID/status of the daemon: RssAnon, RssShmem …"""
        for text in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if text.startswith(f"{line}:"):
                return int(text.split()[1]) * 1024
        raise KeyError(line)

    def _podfs(self, *arguments: str) -> str:
        command = [find_node() or "node", str(PROGRAM), *arguments]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"podfs {arguments[0]}: {done.stderr.strip()}")
        return done.stdout
