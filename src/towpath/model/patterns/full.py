"""Full attention: every query sees every key (Vaswani et al. 2017, arXiv:1706.03762)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from towpath.model.patterns import Pattern

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from torch import Tensor


class Full(Pattern):
    """Every token sees all others, or all before it."""

    type: Literal["full"] = "full"

    @property
    def is_full(self) -> bool:
        """Yes."""
        return True

    def sees(self, query: Int[Tensor, "*#D"], key: Int[Tensor, "*#D"], n_tokens: int) -> Bool[Tensor, "*#D"]:
        """See ``Pattern.sees``."""
        return query - key == query - key
