"""A run's model at a longer context: trained on, and its loss by position before and after.

Comes in: a path whose checkpoint is made. Goes out: the longer checkpoint, and ``per_position.json``
and ``per_position.html`` in the folder of its training. The loss is that of held-out text: of the model
as it was trained, up to its context; of the same weights with positions extended; and after training.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from towpath.core import page
from towpath.core.artifacts import Artifact
from towpath.core.errors import ConfigError
from towpath.core.files import readable_json, write_durably

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from towpath.model.decoder import Decoder
    from towpath.recipes.path import Path as RunPath
    from towpath.tokenizer import TokenShards

N_WINDOWS = 16
"""Held-out windows that are read, at most."""
N_BINS = 8

Curve = list[tuple[int, int, float]]
"""Stretches of positions: first, one past the last, nats a token."""


def make_longer(path: RunPath) -> Artifact:
    """The checkpoint of ``path`` trained on by ``train.extension``; made when missing, as all before it.

    Raises:
        ConfigError: the context can't be extended, or no held-out text is as long.
        LockedError: another process is at work on this run.
    """
    from towpath.tokenizer import TokenShards
    from towpath.train.checkpoint import Checkpoint
    from towpath.train.extension import check_extends, extended_config, make_extended

    check_extends(path.config.model, path.config.train.extension)  # before anything is made
    checkpoint = path.upto("train")
    train, parents = path.config.train, (checkpoint, path.made["tokens"], path.made["tokenizer"])
    config = Checkpoint.open(checkpoint.path).model_config()
    if config.family == "decoder":
        n_positions = extended_config(config, train.extension).n_positions  # pyright: ignore[reportArgumentType]
        held_out_windows(TokenShards(parents[1]), n_positions)
    with path.run.held():
        return make_extended(path.store, path.run, (train, path.config.seed), parents, path.validation)


def curves_of(path: RunPath, extended: Artifact) -> dict[str, Curve]:
    """Loss by position: "as trained" up to the old context, "extended" and "trained on" up to the new."""
    from towpath.tokenizer import TokenShards
    from towpath.train.checkpoint import Checkpoint
    from towpath.train.extension import longer

    before, after = Checkpoint.open(path.made["train"].path), Checkpoint.open(extended.path)
    trained, trained_on = (cast("Decoder", one.load().model) for one in (before, after))
    n_positions = trained_on.config.n_positions
    windows = held_out_windows(TokenShards(path.made["tokens"]), n_positions)
    models = {
        "as trained": trained,
        "extended": longer(before, path.config.train.extension).eval(),
        "trained on": trained_on,
    }
    edges = [n_positions * number // N_BINS for number in range(N_BINS + 1)]
    curves = {name: _curve(model, windows, edges) for name, model in models.items()}
    _write(path.run.stage("extend", extended.id), curves)
    return curves


def held_out_windows(shards: TokenShards, n_positions: int) -> NDArray[np.int64]:
    """Up to ``N_WINDOWS`` windows of held-out text, (windows, n_positions + 1), the sources in turn.

    Raises:
        ConfigError: no source holds out so much text.
    """
    streams = [shards.stream("validation", source) for source in shards.sources("validation")]
    counts = [stream.n_tokens // (n_positions + 1) for stream in streams]
    places = [
        (k, stream)
        for k in range(max(counts, default=0))
        for stream, n in zip(streams, counts, strict=True)
        if k < n
    ]
    if not places:
        longest = max((stream.n_tokens for stream in streams), default=0)
        raise ConfigError(
            f"A context of {n_positions} tokens needs {n_positions + 1} held-out tokens of one source "
            f"to be measured, and the longest has {longest}. Take a shorter context, up to {longest - 1}, or "
            "a larger data.validation_share."
        )
    size = n_positions + 1
    return np.stack([stream.read(k * size, (k + 1) * size) for k, stream in places[:N_WINDOWS]])


def table(curves: Mapping[str, Curve]) -> str:
    """``curves`` as lines of text."""
    by_place = {name: {(a, b): loss for a, b, loss in curve} for name, curve in curves.items()}
    lines = ["nats a token".ljust(20) + "".join(f"{name:>14}" for name in curves)]
    for place in sorted(set(itertools.chain.from_iterable(by_place.values()))):
        cells = [f"{found[place]:.3f}" if place in found else "-" for found in by_place.values()]
        lines.append(f"{place[0]:>7} to {place[1] - 1:<9}" + "".join(f"{cell:>14}" for cell in cells))
    return "\n".join(lines)


def _curve(model: Decoder, windows: NDArray[np.int64], edges: list[int]) -> Curve:
    """By ``edges``, as far as the model's context goes; the last stretch may end there."""
    import torch

    from towpath.evaluate.per_position import per_position_loss

    length = min(model.config.n_positions, windows.shape[1] - 1)
    found = per_position_loss(model, (torch.from_numpy(row[None, : length + 1]) for row in windows))
    stops = [*(edge for edge in edges if edge < length), length]
    return [(a, b, found.loss(a, b)) for a, b in itertools.pairwise(stops)]


def _write(folder: Path, curves: Mapping[str, Curve]) -> None:
    write_durably(folder / "per_position.json", readable_json(curves))
    lines = {name: [((a + b) / 2, loss) for a, b, loss in curve] for name, curve in curves.items()}
    picture = page.curves(lines, "position", "nats a token", "Loss by position")
    rows = [[line[:20].strip(), *line[20:].split()] for line in table(curves).splitlines()[1:]]
    body = [page.heading("Loss by position"), picture, page.table(["position", *curves], rows)]
    write_durably(folder / "per_position.html", page.page("Loss by position", body).encode())
