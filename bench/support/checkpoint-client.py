"""A training process for rows/staging.mjs: has tensors, saves and loads them one way or another, and says how long it
took.

Takes one JSON object a line, answers with one. Started with the directory of the Python package as its argument.
"""

import gc
import json
import os
import sys
import time

sys.path.insert(0, sys.argv[1])

import podfs  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

WIDTH = 4096
LAYERS = 16
#: Items: BF16 weights, FP32 moments, as they are in a checkpoint of mixed-precision training.
ROW_BYTES = WIDTH * (2 + 4 + 4)
PAGE_BYTES = 4096

state: "dict[str, torch.Tensor]" = {}
checkpoints: "dict[str, podfs.Checkpoint]" = {}


def make(size: int) -> dict:
    """About `size` bytes of random numbers."""
    rows = max(size // LAYERS // ROW_BYTES, 1)
    for layer in range(LAYERS):
        for name, dtype in (("weight", torch.bfloat16), ("exp_avg", torch.float32), ("exp_avg_sq", torch.float32)):
            state[f"layers.{layer}.{name}"] = torch.randn(rows, WIDTH).to(dtype)
    return {"bytes": sum(tensor.numel() * tensor.element_size() for tensor in state.values())}


def train() -> dict:
    """Every tensor changes: a volume stores equal bytes once."""
    for tensor in state.values():
        tensor.mul_(1.01)
    return {}


def connect(directory: str) -> dict:
    """The connection and its ring stay, as in training."""
    checkpoint = checkpoints[directory] = podfs.checkpoint(directory)
    return {"mode": checkpoint.mode, "reason": checkpoint.reason}


def save(how: str, directory: str, name: str) -> dict:
    started = time.perf_counter()
    if how == "podfs":
        checkpoint = checkpoints[directory]
        checkpoint.save(state, name)
        blocked = time.perf_counter() - started
        checkpoint.wait()
    else:
        path = f"{directory}/{name}.pt"
        torch.save(state, path)
        if how == "torch.save + fsync":
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        blocked = time.perf_counter() - started
    return {"seconds": time.perf_counter() - started, "blocked": blocked}


def prepare(directory: str, name: str) -> dict:
    """The same tensors as a file of stock safetensors, for restores to be compared."""
    save_file(state, f"{directory}/{name}.safetensors")
    return {}


def load(how: str, directory: str, name: str, mmap: bool = False) -> dict:
    """New tensors. load_file maps the file and reads nothing yet: so, until a byte of every page has been looked at."""
    gc.collect()
    started = time.perf_counter()
    if how == "podfs":
        loaded = checkpoints[directory].load(name, mmap=mmap)
    else:
        loaded = load_file(f"{directory}/{name}.safetensors")
    for tensor in loaded.values():
        tensor.view(-1).view(torch.uint8)[::PAGE_BYTES].sum()
    return {"seconds": time.perf_counter() - started, "isSame": is_state(loaded)}


def load_mapped(how: str, directory: str, name: str) -> dict:
    """The same, where podfs maps the file as load_file does."""
    return load(how, directory, name, mmap=True)


def restore(how: str, directory: str, name: str) -> dict:
    """Into the tensors that a model has: what happens when training resumes."""
    model = {key: torch.zeros_like(tensor) for key, tensor in state.items()}
    gc.collect()
    started = time.perf_counter()
    if how == "podfs":
        checkpoints[directory].load(name, into=model)
    else:
        # As Module.load_state_dict does.
        for key, tensor in load_file(f"{directory}/{name}.safetensors").items():
            model[key].copy_(tensor)
    return {"seconds": time.perf_counter() - started, "isSame": is_state(model)}


def is_state(tensors: "dict[str, torch.Tensor]") -> bool:
    return len(tensors) == len(state) and all(torch.equal(tensors[key], tensor) for key, tensor in state.items())


def drop(directories: "list[str]") -> dict:
    """Every file below leaves the page cache: those of the cache directory are what the mount reads."""
    for directory in directories:
        for folder, _, names in os.walk(directory):
            for name in names:
                drop_file(os.path.join(folder, name))
    return {}


def drop_file(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:  # A socket, or gone.
        return
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError:  # A pipe.
        pass
    finally:
        os.close(descriptor)


def main() -> None:
    known = (make, train, connect, save, prepare, load, load_mapped, restore, drop)
    actions = {action.__name__: action for action in known}
    for line in sys.stdin:
        request = json.loads(line)
        action = actions[request.pop("do")]
        try:
            answer = action(**request)
        except Exception as error:  # The one that asked decides what it means.
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


main()
