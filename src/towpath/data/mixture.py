"""The mixture: how often each source is seen, from what the whole is to be made of.

Comes in: what the run file says and how much text each source has. Goes out: a weight a source,
and for a number of training tokens how many passes over each source that takes. Nothing is drawn
here: the order of samples (``towpath.tokenizer.order``) meets the weights exactly in every block.

The default composition is that of the specification, 60/15/10/10/5. Passes beyond four over the
same text add little (Muennighoff et al. 2023, arXiv:2305.16264, section 5), hence the warning.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field, model_validator

from towpath.core.config import Section
from towpath.core.errors import ConfigError, did_you_mean

COMPOSITION = {"web": 0.60, "books": 0.15, "academic": 0.10, "code": 0.10, "conversation": 0.05}


class MixtureConfig(Section):
    """What the training text is made of, by category of source."""

    composition: dict[str, float] = Field(default=COMPOSITION, min_length=1)
    """Share of each category in the training tokens; they are scaled to a sum of 1. Inside a category
    each source counts by its size times its own ``weight``."""
    max_epochs: float = Field(default=4.0, gt=0)
    """Passes over a source from which on a warning is given."""

    @model_validator(mode="after")
    def _shares_are_shares(self) -> MixtureConfig:
        wrong = {name: share for name, share in self.composition.items() if not 0 <= share < math.inf}
        if wrong or sum(self.composition.values()) <= 0:
            raise ValueError(
                "shares of a composition are 0 or more and one is above 0; "
                f"they are {wrong or self.composition}."
            )
        return self


@dataclass(frozen=True)
class SourceSize:
    """What the mixture needs to know of a source."""

    name: str
    category: str
    weight: float
    """Without a composition the share itself; with one the factor on its natural share of its category."""
    size: int
    """Training text, in tokens, characters or bytes: the same unit for all sources."""


@dataclass(frozen=True)
class Portion:
    """What a mixture takes of one source."""

    name: str
    category: str
    share: float
    """Of all training tokens."""
    tokens: int
    """That the source has."""
    epochs: float
    """Passes over it."""
    warning: str | None


def source_weights(sources: Sequence[SourceSize], mixture: MixtureConfig | None) -> dict[str, float]:
    """Share of the training tokens of each source; they sum to 1.

    Without a mixture the sources' own weights are the shares. With one, a category's share is
    divided among its sources; categories without text give theirs to the others in proportion.

    Raises:
        ConfigError: a source's category is not in the composition.
    """
    if mixture is None:
        shares = {source.name: source.weight for source in sources}
    else:
        shares = _by_category(sources, mixture.composition)
    whole = math.fsum(shares.values())
    if sources and whole <= 0:
        raise ConfigError("data.mixture leaves nothing: every category with text has the share 0.")
    return {name: share / whole for name, share in shares.items()}


def _by_category(sources: Sequence[SourceSize], composition: Mapping[str, float]) -> dict[str, float]:
    natural = {source.name: source.weight * source.size for source in sources}
    totals: dict[str, float] = {}
    for source in sources:
        if source.category not in composition:
            raise ConfigError(
                f"The source {source.name!r} has the category {source.category!r}, which "
                f"data.mixture.composition does not name.{did_you_mean(source.category, composition)} "
                f"It names: {', '.join(composition)}. Add a share for it, or set the source's category."
            )
        totals[source.category] = totals.get(source.category, 0.0) + natural[source.name]
    return {
        source.name: composition[source.category] * natural[source.name] / totals[source.category]
        if totals[source.category]
        else 0.0
        for source in sources
    }


def portions(
    sources: Sequence[SourceSize],
    shares: Mapping[str, float],
    mixture: MixtureConfig | None,
    training_tokens: int,
) -> list[Portion]:
    """What ``training_tokens`` take of each source, whose sizes are in tokens, by their ``shares``."""
    limit = (mixture or MixtureConfig()).max_epochs
    result = []
    for source in sources:
        wanted = shares[source.name] * training_tokens
        epochs = wanted / source.size if source.size else 0.0
        result.append(
            Portion(
                source.name,
                source.category,
                shares[source.name],
                source.size,
                epochs,
                _warning(source, wanted, epochs, limit),
            )
        )
    return result


def _warning(source: SourceSize, wanted: float, epochs: float, limit: float) -> str | None:
    if wanted and not source.size:
        return f"{source.name} has no training text, and a share of {wanted:,.0f} tokens."
    if epochs <= limit:
        return None
    return (
        f"{source.name} can't fill its share: {wanted:,.0f} tokens are wanted of {source.size:,}, "
        f"{epochs:.1f} passes; beyond {limit:g} they add little. Add text of the category "
        f"{source.category!r}, lower its share, or train on fewer tokens."
    )


def absent(sources: Sequence[SourceSize], mixture: MixtureConfig | None) -> list[str]:
    """Categories that have a share and no text; the others have taken over their share."""
    if mixture is None:
        return []
    there = {source.category for source in sources if source.size}
    return [name for name, share in mixture.composition.items() if share and name not in there]


def portions_table(rows: Sequence[Portion]) -> str:
    """``rows`` as a Markdown table."""
    lines = ["| source | category | share | tokens there | passes |", "| - | - | -: | -: | -: |"]
    lines += [
        f"| {row.name} | {row.category} | {row.share:.1%} | {row.tokens:,} | {row.epochs:.2f} |"
        for row in rows
    ]
    return "\n".join(lines)
