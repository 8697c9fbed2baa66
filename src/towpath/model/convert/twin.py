"""How one layout of ours maps to a class of transformers: settings, and names of tensors.

Names are the same both ways. Where ours is fused and theirs is not, one of ours is several of
theirs. The number of a block, or of an expert in it, is ``{}`` in a name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from towpath.core.errors import ModelError
from towpath.model.config import TransformerConfig
from towpath.model.linear import fused_rows

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


@dataclass(frozen=True)
class Twin:
    """A layout of ours and its counterpart."""

    config_class: str
    model_class: str
    settings: Callable[[Any], dict[str, Any]]
    """Our config -> the fields of theirs."""
    our_config: Callable[[Any], TransformerConfig]
    """Their config -> ours."""
    names: Mapping[str, str | tuple[str, ...]]
    """Our module -> theirs; several where ours is fused and theirs is not. A tensor -> theirs where the
    last part of its name differs."""
    copies: Mapping[str, str] = field(default_factory=dict)
    """A tensor of theirs that we keep once -> the tensor of theirs that it repeats, unless it is ours too."""
    transposed: str | None = None
    """How the names of their layers begin whose matrices are (inputs, outputs)."""


def refuse(**settings: tuple[object, bool]) -> None:
    """Raise for the first setting that is (value, False).

    Raises:
        ModelError: names the setting.
    """
    for name, (value, good) in settings.items():
        if not good:
            raise ModelError(f"A model with {name} = {value!r} cannot be converted: no layout here has that.")


def their_tensors(model: nn.Module, twin: Twin) -> Iterator[tuple[str, Tensor]]:
    """The weights of ``model`` under their names."""
    rows, given = fused_rows(model), {}
    for name, tensor in model.state_dict().items():
        names = _their_names(name, twin)
        parts = tensor.split(rows[name]) if len(names) > 1 else [tensor]
        for their_name, part in zip(names, parts, strict=True):
            given[their_name] = _turned(their_name, part, twin)
    repeated = {copy: given[name] for copy, name in twin.copies.items() if copy not in given}
    yield from (given | repeated).items()


def our_tensors(model: nn.Module, theirs: Mapping[str, Tensor], twin: Twin) -> Iterator[tuple[str, Tensor]]:
    """The tensors ``theirs`` under the names of ``model``."""
    for name in model.state_dict():
        names = _their_names(name, twin)
        yield name, torch.cat([_turned(their_name, theirs[their_name], twin) for their_name in names])


def _their_names(name: str, twin: Twin) -> list[str]:
    """What transformers calls our parameter ``name``; several names where ours is fused."""
    numbers = _NUMBER.findall(name)
    whole = twin.names.get(_NUMBER.sub("{}", name))
    if isinstance(whole, str):
        return [whole.format(*numbers)]
    module, _, kind = name.rpartition(".")
    theirs = twin.names[_NUMBER.sub("{}", module)]
    return [f"{part.format(*numbers)}.{kind}" for part in ((theirs,) if isinstance(theirs, str) else theirs)]


def _turned(their_name: str, tensor: Tensor, twin: Twin) -> Tensor:
    """``tensor`` between (outputs, inputs) and their order; the same both ways."""
    turn = twin.transposed is not None and tensor.dim() == 2 and their_name.startswith(twin.transposed)
    return tensor.T if turn else tensor
