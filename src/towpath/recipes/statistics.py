"""The statistics page of a run: the data room counts documents, the shards tell their tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from towpath.core.artifacts import Artifact

if TYPE_CHECKING:
    from towpath.data.mixture import Portion
    from towpath.recipes.run_config import RunConfig


def training_tokens(tokens: Artifact) -> dict[str, int]:
    """The training tokens of each source in the shards ``tokens``."""
    from towpath.tokenizer import TokenShards

    shards = TokenShards(tokens)
    return {source: shards.stream("train", source).n_tokens for source in shards.sources("train")}


def portions_of(config: RunConfig, documents: Artifact, tokens: Artifact) -> list[Portion]:
    """What the training that ``config`` describes takes of each source."""
    from towpath.data import Documents
    from towpath.data.mixture import portions

    view, n_tokens = Documents(documents), training_tokens(tokens)
    sizes = [replace(size, size=n_tokens.get(size.name, 0)) for size in view.sizes()]
    train = config.train
    per_step = train.batch_size * train.gradient_accumulation_steps * config.model.n_positions
    return portions(sizes, view.weights(), view.mixture(), train.max_steps * per_step)
