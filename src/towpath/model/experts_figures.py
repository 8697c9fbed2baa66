"""How busy experts are, and what they specialise in: figures of passes without gradients.

Comes in: a model and passes over texts of named sources. Goes out: figures by name, of each layer and
their mean over layers. A model without experts has none. Nothing is counted outside ``of_source``.

E experts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

import torch
from torch import nn

from towpath.model.experts import ExpertLayer, Routing, tokens_per_expert

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

MOST_SHARES = 512
"""Shares of single experts are logged where layers x experts are no more than this."""


@dataclass
class Load:
    """What one layer saw of one source."""

    tokens_per_expert: Int[Tensor, " E"]
    tokens: int = 0
    entropy: float = 0.0
    """Summed over tokens, in nats."""
    dropped: int = 0
    """Choices over the capacity that a training pass of these tokens would have had."""


class Loads:
    """The loads of every layer of ``model`` by source."""

    def __init__(self, model: nn.Module) -> None:
        layers = [module for module in model.modules() if isinstance(module, ExpertLayer)]
        self.numbers = {layer: number for number, layer in enumerate(layers)}
        self.by_source: dict[str, list[Load]] = {}

    @contextmanager
    def of_source(self, source: str) -> Iterator[None]:
        """What the model reads inside is of ``source``."""
        loads = [Load(torch.zeros(layer.config.n_expert, dtype=torch.int64)) for layer in self.numbers]
        self.by_source[source] = loads

        def note(layer: ExpertLayer, routing: Routing) -> None:
            _add_(loads[self.numbers[layer]], layer, routing)

        for layer in self.numbers:
            layer.record = note
        try:
            yield
        finally:
            for layer in self.numbers:
                layer.record = None

    def figures(self, split: str) -> dict[str, float]:
        """``<split>/experts/<name>``, means over layers, and ``<split>/experts/<layer>/<name>``.

        ``max_load``: tokens of the busiest expert over an even share. ``load_entropy``: of the experts'
        shares, 1 when they are even. ``router_entropy``: of a token's scores, in nats. ``dropped``: share of
        choices over the capacity. ``specialisation/<source>``: how far the experts' shares of a source are
        from their mean over sources, 0 to 1 (total variation). ``share/<expert>``: of the choices.
        """
        layers = list(self.numbers)
        read = {source: loads for source, loads in self.by_source.items() if loads and loads[0].tokens}
        if not read:
            return {}
        found = [
            _figures(layer, {source: loads[number] for source, loads in read.items()})
            for number, layer in enumerate(layers)
        ]
        figures = {f"{split}/experts/{name}": mean(of[name] for of in found) for name in found[0]}
        for number, of_layer in enumerate(found):
            figures |= {f"{split}/experts/{number}/{name}": value for name, value in of_layer.items()}
        if sum(layer.config.n_expert for layer in layers) <= MOST_SHARES:
            for number in range(len(layers)):
                for expert, share in enumerate(_shares([loads[number] for loads in read.values()])):
                    figures[f"{split}/experts/{number}/share/{expert}"] = share
        return figures


def _add_(load: Load, layer: ExpertLayer, routing: Routing) -> None:
    chosen = tokens_per_expert(routing.chosen, layer.config.n_expert)
    probabilities = routing.scores / routing.scores.sum(-1, keepdim=True)
    capacity = layer.capacity(len(routing.chosen))
    load.tokens_per_expert += chosen.cpu()
    load.tokens += len(routing.chosen)
    load.entropy += float(torch.special.entr(probabilities).sum())
    if capacity is not None:
        load.dropped += int((chosen - capacity).clamp(min=0).sum())


def _figures(layer: ExpertLayer, loads: Mapping[str, Load]) -> dict[str, float]:
    shares = _shares(list(loads.values()))
    tokens = sum(load.tokens for load in loads.values())
    figures = {
        "max_load": max(shares) * len(shares),
        "load_entropy": -sum(share * math.log(share) for share in shares if share) / math.log(len(shares)),
        "router_entropy": sum(load.entropy for load in loads.values()) / tokens,
    }
    if layer.config.capacity_factor is not None:
        choices = tokens * layer.config.experts_per_token
        figures["dropped"] = sum(load.dropped for load in loads.values()) / choices
    if len(loads) > 1:
        by_source = {source: _shares([load]) for source, load in loads.items()}
        middle = [mean(of_expert) for of_expert in zip(*by_source.values(), strict=True)]
        for source, own in by_source.items():
            distance = sum(abs(share - usual) for share, usual in zip(own, middle, strict=True)) / 2
            figures[f"specialisation/{source}"] = distance
    return figures


def _shares(loads: list[Load]) -> list[float]:
    total = torch.stack([load.tokens_per_expert for load in loads]).sum(0)
    return (total / total.sum()).tolist()
