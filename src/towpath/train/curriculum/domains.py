"""By domain: the weights of sources follow a schedule, such as web text first and code and books last."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from towpath.core.config import Section
from towpath.train.curriculum import CurriculumConfig

if TYPE_CHECKING:
    from towpath.tokenizer import Samples


class Phase(Section):
    """The weights from one point of the run on."""

    from_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the run after which these weights are in force; the first phase has 0."""
    weights: dict[str, float]
    """Weight of each source; one that is not named is not drawn."""


class DomainsConfig(CurriculumConfig):
    """Phases of a run, each with its own mixture."""

    type: Literal["domains"] = "domains"
    phases: list[Phase] = Field(min_length=1)
    """The mixtures in order."""

    @model_validator(mode="after")
    def _in_order(self) -> DomainsConfig:
        shares = [phase.from_share for phase in self.phases]
        if shares[0] != 0 or shares != sorted(set(shares)):
            fitting = [round(number / len(shares), 3) for number in range(len(shares))]
            raise ValueError(
                f"phases begin at from_share = {shares}; the first begins at 0 and each later than the one "
                f"before. Try {fitting}."
            )
        return self

    def arranged(self, samples: Samples, n_samples: int, seed: int, folder: Path | None = None) -> Samples:
        """See ``CurriculumConfig.arranged``.

        Raises:
            ConfigError: a phase names a source that is not there, or the phases are not in order.
        """
        from towpath.core.errors import ConfigError, did_you_mean
        from towpath.tokenizer.phases import PhasedMixture

        phases = []
        for phase in self.phases:
            for name in phase.weights:
                if name not in samples.sizes:
                    known = ", ".join(sorted(samples.sizes))
                    raise ConfigError(
                        f"train.curriculum: no source {name!r}; the tokens have {known}."
                        + did_you_mean(name, samples.sizes)
                    )
            weights = {source: phase.weights.get(source, 0.0) for source in samples.sizes}
            phases.append((round(phase.from_share * n_samples), weights))
        return samples.mixed(PhasedMixture(samples.sizes, phases, seed))
