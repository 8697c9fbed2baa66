"""Objectives: the named choices of ``train.objective``, what a model learns to predict.

Comes in: windows of token ids, with their sample index. Goes out: the arrays that a model is called
with, and how many targets they hold. Every example is a pure function of its ids, its index and the
seed of the run, so that order, resuming and any number of ranks give the same. To add one: a module
here with its section, whose ``examples`` makes the arrays, and a line in ``OBJECTIVES``. Sections
start no torch; arrays are numpy's.

B windows, L ids in a window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from towpath.core.catalogue import Catalogue
from towpath.core.config import Section
from towpath.core.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from towpath.model.config import Family, TransformerConfig
    from towpath.tokenizer import Tokenizer

OBJECTIVES = Catalogue(
    "objective",
    {
        "causal": "towpath.train.objectives.causal:CausalConfig",
        "masked": "towpath.train.objectives.masked:MaskedConfig",
        "span_corruption": "towpath.train.objectives.span_corruption:SpanCorruptionConfig",
        "prefix_lm": "towpath.train.objectives.prefix_lm:PrefixConfig",
    },
    group="towpath.objectives",
)


class Examples(Protocol):
    """Makes what a model is called with of windows of ids."""

    def arrays(
        self, ids: NDArray[np.int64], indices: Sequence[int]
    ) -> Mapping[str, NDArray[np.int64] | NDArray[np.bool_]]:
        """Arguments of the model by name, for windows ``ids`` (B, L), which are samples ``indices``."""
        ...

    def targets(self, index: int, n_ids: int) -> int:
        """How many tokens are learned of sample ``index``, a window of ``n_ids``; whatever its ids are."""
        ...


class ObjectiveConfig(Section):
    """What every objective's section has."""

    families: ClassVar[tuple[Family, ...]]
    """The models that it can train."""
    type: Any

    @property
    def special_tokens(self) -> Sequence[str]:
        """Names of the special tokens that it needs, in the order of their ids."""
        return ()

    def tokenizer(self, tokenizer: Tokenizer) -> Tokenizer:
        """``tokenizer`` with those of ``special_tokens`` that it lacks, after its last id."""
        return tokenizer.with_special_tokens(self.special_tokens) if self.special_tokens else tokenizer

    def window_ids(self, context_tokens: int) -> int:
        """Ids of text in one window, for a model that holds ``context_tokens``.

        Raises:
            ConfigError: no window would do.
        """
        raise NotImplementedError

    def examples(self, tokenizer: Tokenizer, seed: int) -> Examples:
        """What makes the examples of a run; ``tokenizer`` is one that ``self.tokenizer`` gave."""
        raise NotImplementedError


def check_fits(objective: ObjectiveConfig, model: TransformerConfig) -> None:
    """Refuse an objective that ``model`` can't be trained by.

    Raises:
        ConfigError: names those that fit.
    """
    if model.family in objective.families:
        alike = objective.type == "causal" and not getattr(objective, "document_mask", False)
        if model.carries_memory and not alike:
            raise ConfigError(
                f"model.type = {model.type!r} carries its memory over documents and sees the past alone. "
                "Try objective = { type = 'causal', document_mask = false }."
            )
        return
    fitting = [name for name in OBJECTIVES.names() if model.family in _families(name)]
    raise ConfigError(
        f"train.objective = {objective.type!r} cannot train model.type = {model.type!r}, which is "
        f"{_ARTICLES[model.family]} {model.family}. Try objective = {{ type = {fitting[0]!r} }}; "
        f"all that fit: {', '.join(fitting)}."
    )


def usual_objective(family: Family) -> ObjectiveConfig:
    """What a model of ``family`` is scored by where nothing says how it was trained."""
    return OBJECTIVES.load(_USUAL[family])()  # pyright: ignore[reportReturnType]


_USUAL: dict[Family, str] = {
    "decoder": "causal",
    "encoder": "masked",
    "encoder-decoder": "span_corruption",
}
_ARTICLES: dict[Family, str] = {"decoder": "a", "encoder": "an", "encoder-decoder": "an"}


def _families(name: str) -> tuple[Family, ...]:
    section: Any = OBJECTIVES.load(name)
    return section.families
