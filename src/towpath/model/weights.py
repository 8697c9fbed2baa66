"""Weights on disk: one safetensors file, each tensor once under its plain name.

A tied head is no tensor of its own and so is not stored twice. Nothing here makes a write durable:
a checkpoint or an artifact does that for its whole folder.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from towpath.core.errors import ModelError

_NAMED_IN_MESSAGES = 3


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the weights of ``model`` to ``path``; equal weights make equal bytes."""
    tensors = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, path, metadata={"format": "pt"})


def load_weights(model: nn.Module, path: Path) -> None:
    """Copy the weights in ``path`` into ``model``, tensor by tensor, in the type and place it has.

    Raises:
        ModelError: the file is missing or damaged, or its tensors are not those of ``model``.
    """
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            check_tensors(model.state_dict(), shapes, str(path))
            with torch.no_grad():
                for name, tensor in model.state_dict().items():
                    tensor.copy_(file.get_tensor(name))
    except FileNotFoundError as error:
        raise ModelError(
            f"{path} does not exist. A checkpoint keeps its weights in model.safetensors."
        ) from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is no readable safetensors file ({error}). Copy it again.") from error


def check_tensors(expected: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Refuse tensors of ``shapes`` that don't fit ``expected``, naming the first few.

    Raises:
        ModelError: tensors are missing, unexpected or of another shape.
    """
    missing = [name for name in expected if name not in shapes]
    unexpected = [name for name in shapes if name not in expected]
    wrong = [
        f"{name} has shape {list(shape)}, expected {list(expected[name].shape)}"
        for name, shape in shapes.items()
        if name in expected and shape != tuple(expected[name].shape)
    ]
    faults = [
        f"{what}: {_first(names)}"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", wrong))
        if names
    ]
    if faults:
        raise ModelError(
            f"{where} does not fit the model; tensors {'; tensors '.join(faults)}. "
            "Load it with the configuration that it was trained with."
        )


def _first(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:_NAMED_IN_MESSAGES])
    rest = len(names) - _NAMED_IN_MESSAGES
    return f"{shown} and {rest} more" if rest > 0 else shown
