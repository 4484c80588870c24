"""podfs: checkpoints at the speed of the pod's own disk.

    import podfs

    with podfs.checkpoint("/workspace/ckpt") as ck:
        ck.save(model.state_dict(), "step-1000")   # returns when the tensors may be changed again
        ...
        ck.wait()                                   # complete on the local disk; wait(durable=True): in the volume
        state = ck.load("step-1000", device="cuda:0")

Checkpoints are ordinary safetensors files: in a podfs mount, which uploads them, or in any directory.
"""

from ._catalog import CheckpointInfo
from ._checkpoint import Checkpoint, checkpoint
from ._errors import (
    Cancelled,
    CheckpointExists,
    CheckpointNotFound,
    ConnectionLost,
    DaemonUnavailable,
    DamagedCheckpoint,
    DeviceError,
    InvalidName,
    NoSpace,
    NotPermitted,
    PodfsError,
    ProtocolError,
    ReadOnly,
    StorageError,
    TensorMismatch,
    UnsupportedTensor,
    WaitTimeout,
)
from ._objects import load, save
from ._pending import PendingFile

__version__ = "0.1.0"

__all__ = [
    "Cancelled",
    "Checkpoint",
    "CheckpointExists",
    "CheckpointInfo",
    "CheckpointNotFound",
    "ConnectionLost",
    "DaemonUnavailable",
    "DamagedCheckpoint",
    "DeviceError",
    "InvalidName",
    "NoSpace",
    "NotPermitted",
    "PendingFile",
    "PodfsError",
    "ProtocolError",
    "ReadOnly",
    "StorageError",
    "TensorMismatch",
    "UnsupportedTensor",
    "WaitTimeout",
    "checkpoint",
    "load",
    "save",
]
