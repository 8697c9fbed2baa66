"""Whether a save is one of the model that trains; what differs, where it is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from towpath.core.errors import TrainError

_SHOWN = 3


def shapes_of_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Sequence[int]]:
    """The shape of each, as a whole."""
    return {name: tuple(value.shape) for name, value in tensors.items()}


def check_fits(model: Mapping[str, Tensor], saved: Mapping[str, Sequence[int]], path: Path) -> None:
    """Refuse the save in ``path``, whose tensors have the shapes ``saved``, where it is not of ``model``.

    Raises:
        TrainError: with where it lies, the first tensors that differ and both shapes of each.
    """
    found = list(_differences(shapes_of_tensors(model), saved))
    if not found:
        return
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    raise TrainError(
        f"{path} is a save of another model: {'; '.join(found[:_SHOWN])}{more}. Give [model] the settings of "
        f"the run that made it, or remove {path.parent} to train this model anew."
    )


def _differences(model: Mapping[str, Sequence[int]], saved: Mapping[str, Sequence[int]]) -> Iterator[str]:
    for name, shape in model.items():
        if name not in saved:
            yield f"{name} {_text(shape)} of this run is not in it"
        elif tuple(saved[name]) != tuple(shape):
            yield f"{name} is {_text(saved[name])} there and {_text(shape)} in this run"
    for name, shape in saved.items():
        if name not in model:
            yield f"{name} {_text(shape)} there is not in this run's model"


def _text(shape: Sequence[int]) -> str:
    return " x ".join(str(number) for number in shape) or "one number"
