"""Memory that CUDA IPC cannot hand over, such as PyTorch's expandable segments: without a word asked, a save goes the
first way that works; one in mode "ipc" says why it cannot be, and leaves nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import mounting
from bench import Bench, torch_obstacle

#: https://pytorch.org/docs/stable/notes/cuda.html#optimizing-memory-usage-with-pytorch-alloc-conf
#: The second name since 2.9.
SETTING = dict.fromkeys(["PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"], "expandable_segments:True")
SELF = os.path.abspath(__file__)


def measure(bench: Bench) -> None:
    reason = torch_obstacle() or mounting.obstacle()
    if reason is not None:
        bench.results.skip("expandable segments", reason)
        return
    with bench.mounted() as mount:
        for mode in ("auto", "ipc"):
            # The setting counts when PyTorch allocates first: a process of its own.
            command = [sys.executable, SELF, mount.path, mode]
            done = subprocess.run(command, env={**os.environ, **SETTING}, capture_output=True, text=True, check=False)
            words = (done.stdout + done.stderr).strip().splitlines()
            what = f"expandable segments, mode {mode}"
            bench.results.check(what, done.returncode == 0, words[-1] if words else "")


def _save_from_expandable_segments(directory: str, mode: str) -> None:
    import bench  # noqa: F401  It puts podfs on the path.
    import podfs
    import torch

    state = {f"tensor.{index}": torch.randn(1000 + index, 4096, device="cuda") for index in range(16)}
    try:
        with podfs.checkpoint(directory, mode=mode) as checkpoint:
            checkpoint.save(state, mode)
            checkpoint.wait()
            loaded = checkpoint.load(mode, device="cuda:0")
            print(f"saved in mode {checkpoint.mode} {checkpoint.reason}")
    except podfs.PodfsError as error:
        assert mode == "ipc", error
        assert not os.path.exists(f"{directory}/{mode}.safetensors"), "it failed and there is a file"
        print(f"refused: {error}")
        return
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items()), "it came back changed"


if __name__ == "__main__":
    _save_from_expandable_segments(*sys.argv[1:])
