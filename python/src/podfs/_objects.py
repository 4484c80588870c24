"""Any Python object with tensors in it, as a safetensors file: `podfs.save` and `podfs.load`, shaped like torch's.

The tensors become tensors of the file, named for their place in the object ("optimizer.state.0.exp_avg"), so that they
go the fast way, and stock safetensors reads them. The rest, a torch.save archive in which each tensor is only a name,
is one more tensor, `podfs.pickle`. So torch decides what may be unpickled (`weights_only`), as it does for its own
files.

What torch.save does and this does not: tensors that overlap in memory without being the same are stored, and loaded,
apart (the same memory under several names stays shared), and memory that no tensor shows is not stored.
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import pickle
import time
import types
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, Optional

from . import _dtypes
from ._engine import RING_BYTES, Engine
from ._errors import DamagedCheckpoint, DeviceError
from ._names import SAVE_KEY, TIME_KEY
from ._restore import load_file
from ._safetensors import METADATA_KEY, Header, read_header

if TYPE_CHECKING:
    import torch

#: The tensor (U8) with all of the object but its tensors.
PICKLE = "podfs.pickle"
#: JSON: device → names of the tensors that were on it; null for the device that has all others.
DEVICES_KEY = "podfs.devices"

#: The ring is made for this one file, and known to the GPU's driver for no longer: no larger than the file needs.
RING_BYTES_LEAST = 16 << 20

_loading: ContextVar[Mapping[str, torch.Tensor]] = ContextVar("_loading")


def save(obj: Any, path: str | os.PathLike[str], *, mode: str = "auto", durable: bool = False) -> None:
    """Saves any object that torch.save can, as the safetensors file `path`, which appears (or is replaced) whole.

    Returns when the file is on the local disk; durable: when it is in the volume. mode: as `podfs.checkpoint` has it.
    """
    directory, filename = os.path.split(os.path.abspath(os.fspath(path)))
    tensors, metadata = pack(obj)
    # No rank: it is no checkpoint of a series, and keep= leaves it alone.
    metadata.update({SAVE_KEY: uuid.uuid4().hex, TIME_KEY: str(time.time_ns() // 1_000_000)})
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    engine = Engine.open(directory, mode, min(RING_BYTES, max(size, RING_BYTES_LEAST)))
    try:
        engine.save_file(directory, filename, tensors, metadata, replace=True).wait(durable)
    finally:
        engine.close()


def load(path: str | os.PathLike[str], map_location: Any = None, weights_only: bool = True, mmap: bool = False) -> Any:
    """Loads what `save` saved; of any other safetensors file, its tensors by name.

    map_location: a device for all tensors, or a mapping of the device a tensor was saved from to another; None: each
    goes where it was. weights_only: only tensors, plain containers and what torch.serialization.add_safe_globals was
    told of are made; anything else in the file raises pickle.UnpicklingError. Without it, a file can run any code.
    mmap: as `Checkpoint.load` has it.
    """
    plain = os.fspath(path)
    header = read_header(plain)
    tensors: dict[str, Any] = {}
    for device, names in _by_device(header, map_location).items():
        tensors.update(load_file(plain, device, None, names, None, mmap))
    return unpack(tensors, weights_only, map_location) if is_packed(header) else tensors


def pack(obj: Any) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Takes an object apart: (its tensors by name, `podfs.pickle` among them; metadata for the file)."""
    import torch

    collector = _Collector(obj)
    archive = io.BytesIO()
    torch.save(obj, archive, pickle_module=collector.pickle_module())
    tensors = dict(collector.tensors)
    devices = _encode_devices(tensors)
    tensors[PICKLE] = torch.frombuffer(archive.getbuffer(), dtype=torch.uint8)
    return tensors, {DEVICES_KEY: devices}


def is_packed(header: Header) -> bool:
    """Whether a file holds an object rather than tensors only."""
    return PICKLE in header.tensors and DEVICES_KEY in header.metadata


def unpack(tensors: Mapping[str, torch.Tensor], weights_only: bool = True, map_location: Any = None) -> Any:
    """Puts the object together again, around these very tensors. map_location: for those of torch's own, in the
    archive."""
    import torch

    _allow_stored_tensor()
    archive = io.BytesIO(bytes_of(tensors[PICKLE].cpu()))
    token = _loading.set(tensors)
    try:
        return torch.load(archive, map_location=map_location, weights_only=weights_only)
    finally:
        _loading.reset(token)


def stored_tensor(name: str, is_parameter: bool, requires_grad: bool) -> torch.Tensor:
    """What the archive has in place of a tensor. Files refer to it by this name: it must never be moved."""
    import torch

    stored = _loading.get({}).get(name)
    if stored is None:
        raise DamagedCheckpoint(f"the saved object has a tensor {name!r}, the file has none")
    tensor = stored.detach()
    return torch.nn.Parameter(tensor, requires_grad) if is_parameter else tensor.requires_grad_(requires_grad)


def bytes_of(tensor: torch.Tensor) -> bytes:
    """The bytes of a contiguous tensor of type U8 on the CPU; without NumPy, which may not be there."""
    return ctypes.string_at(tensor.data_ptr(), tensor.numel())


class _Collector:
    """Gathers the tensors of an object while torch.save pickles it. The same memory is gathered once."""

    def __init__(self, obj: Any) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self._names: dict[object, str] = {}
        self._alive: list[torch.Tensor] = []
        """What was made for pickling only must not be freed meanwhile: another tensor could get its address."""
        self._places: dict[object, str] = {}
        for place, tensor in _walk(obj, "", set()):
            self._places.setdefault(_identity(tensor), place)

    def pickle_module(self) -> Any:
        """Stands in for the pickle module, which torch.save takes the Pickler from."""
        collector = self

        class Pickler(pickle.Pickler):
            def reducer_override(self, obj: Any) -> Any:
                return collector.reduce(obj)

        return types.SimpleNamespace(Pickler=Pickler, __name__="podfs")

    def reduce(self, obj: Any) -> Any:
        """What to pickle in place of an object, as `pickle.Pickler.reducer_override` has it."""
        import torch

        # Subclasses, sparse and quantised tensors are torch's: it takes them apart, and what is inside comes here.
        if not isinstance(obj, torch.Tensor) or not _is_storable(obj):
            return NotImplemented
        return stored_tensor, (self._name(obj), isinstance(obj, torch.nn.Parameter), obj.requires_grad)

    def _name(self, tensor: torch.Tensor) -> str:
        identity = _identity(tensor)
        if identity not in self._names:
            wanted = self._places.get(identity) or f"tensor.{len(self.tensors)}"
            name, number = wanted, 2
            while name in self.tensors or name in (PICKLE, METADATA_KEY):
                name, number = f"{wanted}~{number}", number + 1
            self._names[identity] = name
            self.tensors[name] = tensor.detach()
            self._alive.append(tensor)
        return self._names[identity]


def _walk(obj: Any, place: str, seen: set[int]) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors in nested mappings and sequences, with their places: "model.weight", "optimizer.state.0.exp_avg"."""
    import torch

    if isinstance(obj, torch.Tensor):
        yield place, obj
    elif isinstance(obj, (dict, list, tuple)) and id(obj) not in seen:
        seen.add(id(obj))
        for key, value in obj.items() if isinstance(obj, dict) else enumerate(obj):
            part = str(key).encode(errors="replace").decode()  # a lone surrogate is no text that a file could hold
            yield from _walk(value, f"{place}.{part}" if place else part, seen)


def _identity(tensor: torch.Tensor) -> object:
    """Equal for tensors that show the same memory in the same way."""
    if not _is_storable(tensor) or tensor.numel() == 0:
        return id(tensor)
    return (tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())


def _is_storable(tensor: torch.Tensor) -> bool:
    import torch

    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.layout == torch.strided
        and tensor.device.type in ("cpu", "cuda")
        and _dtypes.of_torch(tensor.dtype) is not None
        and not tensor.is_conj()
        and not tensor.is_neg()
        and not vars(tensor)  # attributes of its own
    )


def _encode_devices(tensors: Mapping[str, torch.Tensor]) -> str:
    counts = Counter(str(tensor.device) for tensor in tensors.values())
    most = counts.most_common(1)[0][0] if counts else "cpu"
    others: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        if str(tensor.device) != most:
            others.setdefault(str(tensor.device), []).append(name)
    return json.dumps({most: None, **others})


def _by_device(header: Header, map_location: Any) -> dict[str, list[str]]:
    """Device → names of the tensors that are to go there."""
    try:
        devices: dict[str, Optional[list[str]]] = json.loads(header.metadata.get(DEVICES_KEY, '{"cpu": null}'))
        home = {name: device for device, names in devices.items() for name in names or ()}
        others = next((device for device, names in devices.items() if names is None), "cpu")
    except (ValueError, AttributeError, TypeError) as cause:
        raise DamagedCheckpoint(f"the metadata {DEVICES_KEY!r} is damaged: {cause}") from cause
    found: dict[str, list[str]] = {}
    for name in (*header.tensors, *header.aliases):
        saved = "cpu" if name == PICKLE else home.get(name, others)
        found.setdefault(_target(saved, map_location), []).append(name)
    return found


def _target(saved: str, map_location: Any) -> str:
    import torch

    if callable(map_location):
        raise TypeError("map_location must be a device or a mapping of devices: functions are not supported")
    wanted = map_location.get(saved, saved) if isinstance(map_location, Mapping) else map_location or saved
    device = torch.device(wanted)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError(f"tensors go to {device}, and there is no GPU here: load with map_location='cpu'")
    return str(device)


@cache
def _allow_stored_tensor() -> None:
    """Lets torch's restricted unpickler call `stored_tensor`. torch before 2.4 cannot be told, and refuses it."""
    import torch

    add = getattr(torch.serialization, "add_safe_globals", None)
    if add is not None:
        add([stored_tensor])
