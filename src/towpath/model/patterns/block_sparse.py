"""Block-sparse attention: blocks of queries see near blocks, the first blocks and a few random ones.

Zaheer et al. 2020 (BigBird), arXiv:2007.14062, section 2; local and strided blocks go back to Child
et al. 2019, arXiv:1904.10509. Deviation: a block's random blocks are drawn from those before it, and
seeing is mutual where attention is not causal; so what a token sees does not depend on how many
follow, and a key-value cache gives the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from towpath.model.patterns import Pattern, joined

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Int
    from torch import Tensor


class BlockSparse(Pattern):
    """A block of tokens sees its neighbours, the first blocks and ``random_blocks`` before it."""

    type: Literal["block_sparse"] = "block_sparse"
    block_tokens: int = Field(default=64, ge=1)
    """Tokens of a block."""
    local_blocks: int = Field(default=1, ge=0)
    """Neighbouring blocks that are seen to each side."""
    global_blocks: int = Field(default=1, ge=0)
    """The first so many blocks see all and are seen by all."""
    random_blocks: int = Field(default=2, ge=0)
    """Further blocks that each block sees, drawn by ``seed``."""
    seed: int = Field(default=0, ge=0)
    """Start of the draws."""

    def sees(self, query: Int[Tensor, "*#D"], key: Int[Tensor, "*#D"], n_tokens: int) -> Bool[Tensor, "*#D"]:
        """See ``Pattern.sees``."""
        return self.rule(n_tokens, query.device)(query, key)

    def rule(self, n_tokens: int, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
        """See ``Pattern.rule``."""
        import torch

        kept, size = torch.from_numpy(self.kept_blocks(n_tokens)).to(device), self.block_tokens
        return lambda query, key: kept[query // size, key // size]

    def key_ranges(self, first: int, stop: int, n_tokens: int) -> list[tuple[int, int]]:
        """See ``Pattern.key_ranges``."""
        size = self.block_tokens
        rows = self.kept_blocks(n_tokens)[first // size : (stop - 1) // size + 1]
        blocks = np.flatnonzero(rows.any(axis=0)).tolist()
        return joined([(block * size, (block + 1) * size) for block in blocks], n_tokens)

    def kept_blocks(self, n_tokens: int) -> NDArray[np.bool_]:
        """Which block (column) each block of queries (row) sees, causality apart."""
        needed = -(-n_tokens // self.block_tokens)
        n_blocks = 1 << max(0, needed - 1).bit_length()
        return _kept(n_blocks, self.local_blocks, self.global_blocks, self.random_blocks, self.seed)


@lru_cache(maxsize=32)
def _kept(n_blocks: int, n_local: int, n_global: int, n_random: int, seed: int) -> NDArray[np.bool_]:
    """A power of two of blocks, so that a growing cache makes few tables."""
    numbers = np.arange(n_blocks)
    kept = np.abs(numbers[:, None] - numbers) <= n_local
    kept[:n_global] = kept[:, :n_global] = True
    for block in range(1, n_blocks):
        random = np.random.Generator(np.random.PCG64([seed, block]))
        drawn = random.choice(block, size=min(n_random, block), replace=False)
        kept[block, drawn] = kept[drawn, block] = True
    return kept
