"""Before any figure: what is saved is what was on the GPU when `save()` was called, and comes back as it was."""

from __future__ import annotations

from typing import Optional

import independent
import mounting
from bench import MIB, Bench, drop_pages
from device import Gpu
from states import DeviceTensor, State, awkward_shapes, model_shapes

Shapes = dict[str, tuple[str, tuple[int, ...]]]
READ_BYTES = 64 * MIB


def measure(bench: Bench) -> None:
    awkward, model = awkward_shapes(), model_shapes(bench.state_bytes)
    with bench.scratch() as directory:
        round_trip(bench, directory, "file", "awkward tensors, without a mount", awkward)
        round_trip(bench, directory, "file", f"{_size(bench)}, without a mount", model)
    reason = mounting.obstacle()
    if reason is not None:
        bench.results.skip("correctness through a mount", reason)
        return
    with bench.mounted() as mount:
        for mode in ("shm", "ipc"):
            round_trip(bench, mount.path, mode, f"awkward tensors, mode {mode}", awkward)
            round_trip(bench, mount.path, mode, f"{_size(bench)}, mode {mode}", model)
            mount.flush()


def round_trip(bench: Bench, directory: str, mode: str, what: str, shapes: Shapes) -> None:
    """Saves, changes the tensors as soon as it may, looks at the file, loads it into other memory, and compares."""
    import podfs

    path = f"{directory}/checked.safetensors"
    new_state = State(bench.gpu, bench.patterns, shapes, seed=1)
    with new_state as state, podfs.checkpoint(directory, mode=mode) as checkpoint:
        state.fill()
        checkpoint.save(state.tensors, "checked", overwrite=True)
        state.spoil()
        checkpoint.wait()
        if checkpoint.mode != mode:
            bench.results.check(f"{what}: mode", False, f"{checkpoint.mode}: {checkpoint.reason}")
        drop_pages(path)
        bench.results.check(f"{what}: the file", *_verdict(file_complaint(bench.gpu, state, path)))
        state.spoil()
        checkpoint.load("checked", into=state.tensors)
        bench.results.check(f"{what}: loaded", *_verdict(differences(state)))
        _check_stock(bench, f"{what}: stock safetensors", path, state)


def file_complaint(gpu: Gpu, state: State, path: str) -> Optional[str]:
    """What is wrong with the file; None if nothing is. Its bytes are compared on the GPU, read by our own parser."""
    parsed = independent.parse(path)
    expected = {name: (tensor.dtype, tensor.shape) for name, tensor in state.tensors.items()}
    found = {name: (entry.dtype, entry.shape) for name, entry in parsed.entries.items()}
    if found != expected:
        return f"it has other tensors: {sorted(found.items() ^ expected.items())[:4]}"
    with open(path, "rb", buffering=0) as file:
        for name, tensor in state.tensors.items():
            file.seek(parsed.entries[name].begin)
            _read_to_device(gpu, file, tensor)
    return differences(state)


def _read_to_device(gpu: Gpu, file: object, tensor: DeviceTensor) -> None:
    done = 0
    while done < tensor.bytes:
        piece = file.read(min(READ_BYTES, tensor.bytes - done))  # type: ignore[attr-defined]
        gpu.write(tensor.address + done, piece)
        done += len(piece)


def differences(state: State) -> Optional[str]:
    counts = state.differences()
    return None if not counts else f"{sum(counts.values())} bytes of {len(counts)} tensors differ: {list(counts)[:4]}"


def _check_stock(bench: Bench, what: str, path: str, state: State) -> None:
    """The same names, dtypes and shapes, says the library that everybody else uses, if it is here."""
    try:
        import numpy  # noqa: F401  safe_open needs it.
        from safetensors import safe_open
    except ImportError as error:
        bench.results.skip(what, str(error))
        return
    with safe_open(path, framework="np") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}
        found = {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
    bench.results.check(what, found == {name: (tensor.dtype, tensor.shape) for name, tensor in state.tensors.items()})


def _verdict(complaint: Optional[str]) -> tuple[bool, str]:
    return complaint is None, complaint or ""


def _size(bench: Bench) -> str:
    size = bench.state_bytes
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
