"""Blocks of queries, each with the keys that it may see: no scores of all pairs, in either direction.

For patterns that see little (windows, sinks, sparse blocks), for packed documents, and for biases by
distance. Every block is one call of SDPA. The backward pass computes each block again, so that only
queries, keys and values are kept; dropped weights, and torch.compile, take the plain graph of autograd.

At 4,096 tokens, 12 heads of 64 channels and a causal window of 512, forward and backward, one core
(best CPU time of three, memory beyond the inputs; benchmarks/model/attention_window.py):

    blocked           0.96 s   103 MB        with ALiBi   1.97 s     194 MB
    SDPA with a mask  4.01 s   275 MB        with ALiBi   8.67 s   2,529 MB
    no window, SDPA   1.67 s    67 MB

In the blocks of a window of 256, 512 and 1,024, 128 and 256 queries are equally fast, 512 slower.

B batch, H query heads, K key-value heads, T queries, S keys, D head dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from towpath.model.backends.case import Backend, Case, never, repeat_heads
from towpath.model.sight import Part, Sight, cut_to

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

BLOCK_QUERIES = 256
LEAST_QUERIES = 1024
"""Below, one call with a mask is about as fast: at 512 tokens 0.05 CPU s against 0.04 to 0.06."""


def attend(
    q: Float[Tensor, "B H T D"],
    k: Float[Tensor, "B K S D"],
    v: Float[Tensor, "B K S D"],
    sight: Sight,
    dropout: float,
) -> Float[Tensor, "B H T D"]:
    """See ``Attend``."""
    n_keys = k.shape[2]
    table = None
    if sight.at_distance is not None:  # (H, 2 S - 1): what is learned must be an input of the function
        table = sight.at_distance(torch.arange(1 - n_keys, n_keys, device=q.device)).to(q.dtype)
    blocks = _blocks(sight, q.shape[2], n_keys, q.device)
    scores = _Scores(sight.scale, dropout, n_keys)
    if dropout or not torch.is_grad_enabled() or torch.compiler.is_compiling():
        parts = [_gather(_cut(q, k, v, block), block, scores, table, sight.bias) for block in blocks]
        return torch.cat(parts, dim=2)
    return _Blocked.apply(q, k, v, table, sight.bias, (blocks, scores))  # pyright: ignore[reportReturnType]


class _Block(NamedTuple):
    """Rows ``first`` to ``stop - 1`` of the queries, and the keys that some of them see."""

    first: int
    stop: int
    ranges: list[tuple[int, int]]
    part: Part
    seen: Bool[Tensor, "*B T S"] | None
    """Which of those keys each query sees. None: all."""


class _Scores(NamedTuple):
    """How scores become weights."""

    scale: float | None
    dropout: float
    n_keys: int


class _Blocked(torch.autograd.Function):
    """Keeps its inputs alone."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        table: Tensor | None,
        bias: Tensor | None,
        plan: tuple[list[_Block], _Scores],
    ) -> Tensor:
        ctx.save_for_backward(q, k, v, table, bias)
        ctx.plan = plan
        blocks, scores = plan
        gathered = torch.empty_like(q)
        for block in blocks:
            part = _gather(_cut(q, k, v, block), block, scores, table, bias)
            gathered[:, :, block.first : block.stop] = part
        return gathered

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        q, k, v, table, bias = ctx.saved_tensors
        blocks, scores = ctx.plan
        shared = [_leaf(table, ctx.needs_input_grad[3]), _leaf(bias, ctx.needs_input_grad[4])]
        sums = [torch.zeros_like(x) for x in (q, k, v)]
        for block in blocks:
            cut = [x.detach().requires_grad_() for x in _cut(q, k, v, block)]
            with torch.enable_grad():
                gathered = _gather(cut, block, scores, *shared)
            torch.autograd.backward(gathered, grads[0][:, :, block.first : block.stop])
            _add_back_(sums, cut, block)
        return (*sums, *(None if x is None else x.grad for x in shared), None)


def _gather(
    cut: Sequence[Tensor], block: _Block, scores: _Scores, table: Tensor | None, bias: Tensor | None
) -> Float[Tensor, "B H T D"]:
    """What the queries of one block gather."""
    q, k, v = cut
    added = block.seen
    if table is not None or bias is not None:
        added = _bias(block, scores.n_keys, table, bias)
        if block.seen is not None:
            added = added.masked_fill(~block.seen, -torch.inf)
    return F.scaled_dot_product_attention(
        *(q, repeat_heads(k, q.shape[1]), repeat_heads(v, q.shape[1]), added),
        dropout_p=scores.dropout,
        scale=scores.scale,
    )


def _bias(block: _Block, n_keys: int, table: Tensor | None, bias: Tensor | None) -> Tensor:
    """What is added to the scores of one block, from what is given by distance and by place."""
    placed = None if bias is None else cut_to(bias, block.part, n_keys)
    if table is None:
        assert placed is not None
        return placed
    distances = block.part.keys - block.part.queries.unsqueeze(1)  # (T, S)
    by_distance = table[:, distances + n_keys - 1]  # (H, T, S)
    return by_distance if placed is None else placed + by_distance


def _blocks(sight: Sight, n_queries: int, n_keys: int, device: torch.device) -> list[_Block]:
    """The blocks of one pass: the same for all layers of a pattern, and for the way back."""
    key = ("blocked", n_queries, n_keys)
    if key not in sight.memo:
        rules = replace(sight, bias=None, at_distance=None)
        starts = range(0, n_queries, BLOCK_QUERIES)
        limits = _document_limits(sight, n_keys)
        sight.memo[key] = [
            _block(rules, (first, min(first + BLOCK_QUERIES, n_queries)), (n_queries, n_keys), limits, device)
            for first in starts
        ]
    return sight.memo[key]


def _block(
    rules: Sight,
    rows: tuple[int, int],
    sizes: tuple[int, int],
    limits: tuple[Tensor, Tensor] | None,
    device: torch.device,
) -> _Block:
    n_queries, n_keys = sizes
    first, stop = (row + n_keys - n_queries for row in rows)  # places among the keys
    ranges = [(0, n_keys)] if rules.pattern is None else rules.pattern.key_ranges(first, stop, n_keys)
    least, most = 0, stop if rules.causal else n_keys
    if limits is not None:
        least = int(limits[0][first:stop].min())
        most = min(most, int(limits[1][first:stop].max()) + 1)
    ranges = [(max(a, least), min(b, most)) for a, b in ranges if max(a, least) < min(b, most)]
    keys = torch.cat([torch.arange(a, b, device=device) for a, b in ranges])
    part = Part(torch.arange(first, stop, device=device), keys)
    seen = rules.added_to(part, torch.bool, n_keys)
    return _Block(*rows, ranges, part, None if seen is None or bool(seen.all()) else seen)


def _document_limits(sight: Sight, n_keys: int) -> tuple[Int[Tensor, " S"], Int[Tensor, " S"]] | None:
    """First and last place of the document of each token, over all rows of the batch."""
    if sight.documents is None:
        return None
    documents = sight.documents  # (B, S)
    same = documents.unique(return_inverse=True)[1]
    places = torch.arange(n_keys, device=documents.device).expand_as(same)
    empty = torch.zeros(len(same), int(same.max()) + 1, dtype=torch.long, device=same.device)
    first = empty.scatter_reduce(1, same, places, "amin", include_self=False).gather(1, same)
    last = empty.scatter_reduce(1, same, places, "amax", include_self=False).gather(1, same)
    return first.amin(0), last.amax(0)


def _cut(q: Tensor, k: Tensor, v: Tensor, block: _Block) -> list[Tensor]:
    """The queries of a block, and the keys and values that they may see."""

    def keys(x: Tensor) -> Tensor:
        parts = [x[:, :, first:stop] for first, stop in block.ranges]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)

    return [q[:, :, block.first : block.stop], keys(k), keys(v)]


def _add_back_(sums: Sequence[Tensor], cut: Sequence[Tensor], block: _Block) -> None:
    """Add the gradients of a block where its parts were cut from."""
    queries, *rest = cut
    if queries.grad is not None:
        sums[0][:, :, block.first : block.stop] = queries.grad
    for total, gradient in zip(sums[1:], (x.grad for x in rest), strict=True):
        assert gradient is not None
        place = 0
        for first, stop in block.ranges:
            total[:, :, first:stop] += gradient[:, :, place : place + stop - first]
            place += stop - first


def _leaf(x: Tensor | None, wanted: bool) -> Tensor | None:
    return None if x is None else x.detach().requires_grad_(wanted)


def _needless(sight: Sight, case: Case) -> str | None:
    if sight.pattern is None and sight.documents is None and sight.at_distance is None:
        return "no pattern, no documents and no distances: nothing to leave out"
    if case.n_queries < LEAST_QUERIES and not (sight.pattern is not None and case.n_queries < case.n_keys):
        return f"{case.n_queries} queries are few: one call with a mask is as fast"
    return None


BLOCKED = Backend("blocked", "blocks of queries with the keys that they see", never, _needless, attend)
