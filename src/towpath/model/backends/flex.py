"""Torch's flex_attention: rules become part of a kernel, and blocks that nobody sees are skipped.

Dong et al. 2024, arXiv:2412.05496. On a GPU it is compiled and trains. On a CPU its backward pass
raises NotImplementedError (torch 2.13), so it runs there without gradients, uncompiled, for tests.

B batch, H query heads, K key-value heads, T queries, S keys, D head dimension.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.attention import flex_attention as flex

from towpath.model.backends.case import Backend, Case

if TYPE_CHECKING:
    from jaxtyping import Float

    from towpath.model.sight import Sight

FEWEST_QUERIES = 128
"""The edge of the blocks that it skips by (its default block size)."""


def attend(
    q: Float[Tensor, "B H T D"],
    k: Float[Tensor, "B K S D"],
    v: Float[Tensor, "B K S D"],
    sight: Sight,
    dropout: float,
) -> Float[Tensor, "B H T D"]:
    """See ``Attend``."""
    n_queries, n_keys = q.shape[2], k.shape[2]
    key = ("flex", n_queries, n_keys)
    if key not in sight.memo:  # the same for all layers of a pattern
        sight.memo[key] = _block_mask(sight, q, n_keys)
    block_mask = sight.memo[key]
    kernel = _compiled() if q.device.type == "cuda" else flex.flex_attention
    gathered = kernel(
        *(q, k, v),
        score_mod=_score_rule(sight, q, n_keys),
        block_mask=block_mask,
        scale=sight.scale,
        enable_gqa=k.shape[1] != q.shape[1],
    )
    assert isinstance(gathered, Tensor)
    return gathered


def _block_mask(sight: Sight, q: Tensor, n_keys: int) -> flex.BlockMask | None:
    """Which blocks of scores are looked at; None: all."""
    n_queries = q.shape[2]
    rule = _mask_rule(sight, n_queries, n_keys, q.device)
    if rule is None:
        return None
    batch = None if sight.documents is None and sight.mask is None else q.shape[0]
    heads = None if sight.mask is None else q.shape[1]
    return flex.create_block_mask(rule, batch, heads, n_queries, n_keys, device=q.device)


def _mask_rule(
    sight: Sight, n_queries: int, n_keys: int, device: torch.device
) -> Callable[..., Tensor] | None:
    """``Sight``'s rules for one pair of query and key; None where all are seen."""
    offset, documents = n_keys - n_queries, sight.documents
    rule = None if sight.pattern is None else sight.pattern.rule(n_keys, device)
    mask = None if sight.mask is None else _four_dimensions(sight.mask)
    if not sight.causal and rule is None and documents is None and mask is None:
        return None

    def sees(b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        place = query + offset
        seen = key <= place if sight.causal else key >= 0
        if rule is not None:
            seen = seen & rule(place, key)
        if documents is not None:
            seen = seen & (documents[b, place] == documents[b, key])
        if mask is not None:
            seen = seen & _at(mask, b, h, query, key)
        return seen

    return sees


def _score_rule(sight: Sight, q: Tensor, n_keys: int) -> Callable[..., Tensor] | None:
    """What is added to one score."""
    offset = n_keys - q.shape[2]
    bias = None if sight.bias is None else _four_dimensions(sight.bias)
    by_distance = None
    if sight.at_distance is not None:  # (H, 2 S - 1), from the key farthest before to that farthest after
        by_distance = sight.at_distance(torch.arange(1 - n_keys, n_keys, device=q.device)).to(q.dtype)
    if bias is None and by_distance is None:
        return None

    def changed(score: Tensor, b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        if bias is not None:
            score = score + _at(bias, b, h, query, key)
        if by_distance is not None:
            score = score + by_distance[h, key - query - offset + n_keys - 1]
        return score

    return changed


def _four_dimensions(given: Tensor) -> Tensor:
    return given.view(*[1] * (4 - given.dim()), *given.shape)


def _at(given: Tensor, *place: Tensor) -> Tensor:
    """One entry of ``given``, whose dimensions of size 1 stand for all."""
    return given[tuple(i if size > 1 else i * 0 for i, size in zip(place, given.shape, strict=True))]


@cache
def _compiled() -> Any:
    return torch.compile(flex.flex_attention)


def _refusal(sight: Sight, case: Case) -> str | None:
    if case.dropout:
        return f"it has no dropout of attention weights, and here it is {case.dropout}"
    if case.device == "cuda":
        return None
    if case.device != "cpu":
        return f"it needs a GPU, and this is on {case.device}"
    return "on a CPU it has no backward pass" if case.differentiated else None


def _needless(sight: Sight, case: Case) -> str | None:
    if case.device == "cpu":
        return "on a CPU it holds all scores"
    if sight.is_plain(case.n_queries, case.n_keys):
        return "causality alone needs no rules"
    if case.n_queries < FEWEST_QUERIES:
        return f"{case.n_queries} queries are less than a block of {FEWEST_QUERIES}"
    return None


FLEX = Backend("flex", "rules inside a kernel that skips what nobody sees", _refusal, _needless, attend)
