"""Scores: the artifact that says how good a checkpoint is, and the validation used while training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from towpath.core.artifacts import Artifact, Draft, Store
from towpath.core.config import Execution, Section, identity
from towpath.core.files import readable_json

if TYPE_CHECKING:
    from towpath.model.language_model import LanguageModel
    from towpath.tokenizer import Tokenizer, TokenShards
    from towpath.train.objectives import ObjectiveConfig
    from towpath.train.stage import Validate

KIND = "scores"


class EvaluateConfig(Section):
    """The table ``[evaluate]``."""

    max_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of a source that the final evaluation reads; unset: all that was held out."""
    training_tokens: Execution[int] = Field(default=65_536, ge=1)
    """Most tokens of a source that a validation during training reads."""
    batch_size: Execution[int] = Field(default=16, ge=1)
    """Windows in one forward pass."""


def validation(
    config: EvaluateConfig,
    shards: TokenShards,
    tokenizer: Tokenizer,
    context_tokens: int,
    objective: ObjectiveConfig | None = None,
) -> Validate:
    """The figures that training by ``objective`` logs at each validation."""
    from towpath.evaluate.perplexity import Perplexity
    from towpath.model.experts_figures import Loads

    perplexity = Perplexity(shards, tokenizer, context_tokens, objective=objective)

    def validate(model: LanguageModel) -> dict[str, float]:
        loads = Loads(model)
        scores = perplexity.score(model, config.batch_size, config.training_tokens, around=loads.of_source)
        return {**perplexity.metrics(scores), **loads.figures(perplexity.split)}

    return validate


def make_scores(
    store: Store, config: EvaluateConfig, checkpoint: Artifact, tokens: Artifact, name: str
) -> Artifact:
    """Score ``checkpoint`` on the held-out part of ``tokens``: scores.json, one entry a source."""

    def write(draft: Draft) -> None:
        scores = evaluate_checkpoint(config, checkpoint, tokens)
        (draft.path / "scores.json").write_bytes(readable_json(scores))
        draft.counts |= {"tokens": sum(int(score["tokens"]) for score in scores.values())}
        draft.licences += tokens.licences

    return store.make(KIND, name, identity(config), [checkpoint, tokens], write)


def evaluate_checkpoint(
    config: EvaluateConfig, checkpoint: Artifact, tokens: Artifact
) -> dict[str, Mapping[str, float]]:
    """Loss, perplexity and bits per byte of every source."""
    from towpath.core.progress import progress
    from towpath.evaluate.perplexity import Perplexity
    from towpath.tokenizer import TokenShards
    from towpath.train.checkpoint import Checkpoint

    opened = Checkpoint.open(checkpoint.path)
    loaded, objective = opened.load(), opened.objective()
    shards = TokenShards(tokens)
    perplexity = Perplexity(shards, loaded.tokenizer, loaded.model.config.n_positions, objective=objective)
    with progress("evaluate", unit="tokens") as bar:
        scores = perplexity.score(loaded.model, config.batch_size, config.max_tokens, bar.advance)
    return {source: score.figures() for source, score in sorted(scores.items())}


def table(scores: Mapping[str, Mapping[str, float]]) -> str:
    """``scores`` as lines of text."""
    lines = [f"{'source':<16}{'bits/byte':>11}{'perplexity':>12}{'nats/token':>12}{'tokens':>12}"]
    lines += [
        f"{source:<16}{row['bits_per_byte']:>11.3f}{row['perplexity']:>12.2f}{row['loss']:>12.3f}{row['tokens']:>12,.0f}"
        for source, row in scores.items()
    ]
    return "\n".join(lines)
