"""The statistics page of a run: the data room counts documents, the shards tell their tokens."""

from __future__ import annotations

from towpath.core.artifacts import Artifact


def training_tokens(tokens: Artifact) -> dict[str, int]:
    """The training tokens of each source in the shards ``tokens``."""
    from towpath.tokenizer import TokenShards

    shards = TokenShards(tokens)
    return {source: shards.stream("train", source).n_tokens for source in shards.sources("train")}
