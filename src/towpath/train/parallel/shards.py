"""Tensors of which each process holds a part: whole again, and as files.

Files are ``torch.distributed.checkpoint`` with its safetensors storage: each process writes what it
holds, with the place of every part in the file's head, and reads any part that it needs, so the
number of processes may differ between writing and reading. Nothing is a pickle. Parameters stand
under their names, optimizer state as ``part/slot/parameter``.
"""

from __future__ import annotations

import errno
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.tensor import DTensor, distribute_tensor

from towpath.core.errors import DiskFullError, TrainError


def in_one_piece(value: Tensor) -> Tensor:
    """``value`` whole. Every process that holds a part calls it at the same time."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def cut_like(whole: Tensor, model: Tensor) -> Tensor:
    """The part of ``whole``, which every process has, that this one holds of ``model``."""
    if not isinstance(model, DTensor):
        return whole
    return distribute_tensor(whole, model.device_mesh, model.placements, src_data_rank=None)


def shard_like(parameter: Tensor, shape: torch.Size) -> Tensor:
    """Room for state of ``parameter``: cut up as it is where it has its shape, else whole."""
    if parameter.shape == shape:
        return torch.zeros_like(parameter, requires_grad=False)
    return torch.zeros(shape, device="cpu")


def write_shards(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write this process's parts of ``tensors`` into ``folder``. All processes call it.

    Raises:
        OSError: as the system said, in the process that it said it to.
        DiskFullError: no room for another process.
    """
    contiguous = {name: value.detach().contiguous() for name, value in tensors.items()}
    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    try:
        save(contiguous, storage_writer=writer)
    except CheckpointException as error:  # a BaseException
        raise _reason(error, folder) from error


def read_shards(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Fill ``tensors`` with their parts from ``folder``, whose bytes were verified before.

    Raises:
        TrainError: a tensor is missing or of another shape.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled")  # that is what no_dist means
            load(dict(tensors), storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=True)
    except (CheckpointException, RuntimeError, ValueError) as error:
        raise TrainError(
            f"{folder} does not fit this run's model ({str(error).strip().splitlines()[-1]}). "
            "Remove the folder above it to train anew."
        ) from error


def shapes_of(folder: Path) -> dict[str, torch.Size]:
    """The shape of every tensor in ``folder`` as a whole, random states left out."""
    return {name: about.size for name, about in _metadata(folder).items()}


def whole_tensors(folder: Path) -> dict[str, Tensor]:
    """Every tensor in ``folder`` in one piece."""
    about = _metadata(folder)
    tensors = {name: torch.empty(item.size, dtype=item.properties.dtype) for name, item in about.items()}
    read_shards(folder, tensors)
    return tensors


def _metadata(folder: Path) -> dict[str, TensorStorageMetadata]:
    found = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    return {
        name: item
        for name, item in found.items()
        if isinstance(item, TensorStorageMetadata) and not _is_random(name)
    }


def _is_random(name: str) -> bool:
    return name.rpartition("/")[2].partition(":")[0] in ("cpu", "cuda")


def _reason(error: CheckpointException, folder: Path) -> Exception:
    causes = [failure[0] for failure in error.failures.values()]
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return DiskFullError(
                f"{folder.parent}: no space left on the device. What was complete before is untouched. "
                "Free some space and run the same command again; it goes on from there."
            )
    return TrainError(f"{folder} could not be written: {causes[0] if causes else error}")
