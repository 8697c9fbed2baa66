"""Bytes of weights and checkpoints on disk, before they are written.

A safetensors file is 8 bytes, a header of JSON padded to a multiple of 8, and the tensors
(https://huggingface.co/docs/safetensors). Weights are exact to the byte; of a training state the
tensors are exact, and the text of state.json (guard, surroundings) is taken at the size that it has
on a first save.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from towpath.core.files import readable_json
from towpath.plan.trace import Trace
from towpath.train.saves import random_state

_TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
Tensors = Mapping[str, tuple[tuple[int, ...], torch.dtype]]
STATE_BYTES = 254
"""state.json of a save on one process, as written: guard, surroundings, no loss scale."""


@dataclass(frozen=True)
class Disk:
    """Bytes."""

    weights: int
    """model.safetensors of the finished checkpoint."""
    checkpoint: int
    """One save of the training state."""
    most: int
    """While a save is written beside those that are kept."""


def disk_of(trace: Trace, keep_checkpoints: int) -> Disk:
    """What training writes. Shards and documents are not counted."""
    random = {name: (tuple(state.shape), state.dtype) for name, state in random_state().items()}
    weights = safetensors_bytes(trace.weights, {"format": "pt"})
    parts = {"model": trace.weights, "optimizer": trace.state, "random": random}
    sizes = {f"{name}.safetensors": safetensors_bytes(part) for name, part in parts.items()}
    sizes["state.json"] = STATE_BYTES
    checkpoint = sum(sizes.values()) + _manifest_bytes(sizes)
    return Disk(weights, checkpoint, (keep_checkpoints + 1) * checkpoint + weights)


def _manifest_bytes(sizes: Mapping[str, int]) -> int:
    """Size of the manifest that seals files of ``sizes``."""
    files = {name: {"size_bytes": size, "sha256": "0" * 64} for name, size in sorted(sizes.items())}
    return len(readable_json({"kind": "training state", "step": 1000, "files": files}))


def safetensors_bytes(tensors: Tensors, metadata: Mapping[str, str] | None = None) -> int:
    """Size of the file that holds ``tensors``."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    place = 0
    for name, (shape, kind) in sorted(tensors.items(), key=lambda item: (-item[1][1].itemsize, item[0])):
        size = kind.itemsize
        for length in shape:
            size *= length
        header[name] = {"dtype": _TYPES[kind], "shape": list(shape), "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return 8 + -(-len(text) // 8) * 8 + place
