"""Attention patterns: each rule against plain loops, its ranges of keys, and its place in a decoder."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.model.conftest import awake
from towpath.model import ModernConfig
from towpath.model.config import GPT2Config
from towpath.model.decoder import Decoder
from towpath.model.patterns import PATTERNS, Pattern, joined, of_layer
from towpath.model.patterns.block_sparse import BlockSparse
from towpath.model.patterns.full import Full
from towpath.model.patterns.longformer import Longformer
from towpath.model.patterns.sinks import Sinks
from towpath.model.patterns.sliding_window import SlidingWindow

BLOCKS = BlockSparse(block_tokens=3, local_blocks=1, global_blocks=1, random_blocks=1, seed=4)
EXAMPLES: list[Pattern] = [
    Full(),
    SlidingWindow(window_tokens=4),
    Sinks(sink_tokens=2, window_tokens=3),
    Longformer(window_tokens=3, global_tokens=1, global_positions=(9, 14)),
    BLOCKS,
]


def name(pattern: Pattern) -> str:
    return pattern.type


def table(pattern: Pattern, n_tokens: int) -> torch.Tensor:
    places = torch.arange(n_tokens)
    return pattern.sees(places.unsqueeze(1), places, n_tokens)


@pytest.mark.parametrize(
    ("pattern", "rule"),
    [
        (SlidingWindow(window_tokens=4), lambda q, k: abs(q - k) <= 3),
        (Sinks(sink_tokens=2, window_tokens=3), lambda q, k: abs(q - k) <= 2 or k in (0, 1)),
        (
            Longformer(window_tokens=3, global_tokens=1, global_positions=(9,)),
            lambda q, k: abs(q - k) <= 2 or {q, k} & {0, 9},
        ),
        (Full(), lambda q, k: True),
    ],
)
def test_a_rule_is_its_formula(pattern: Pattern, rule: Callable[[int, int], object]) -> None:
    expected = [[bool(rule(query, key)) for key in range(20)] for query in range(20)]
    assert table(pattern, 20).tolist() == expected


def test_block_sparse_keeps_local_global_and_random_blocks() -> None:
    pattern = BlockSparse(block_tokens=4, local_blocks=1, global_blocks=1, random_blocks=2, seed=0)
    kept = pattern.kept_blocks(4 * 64)
    for row in range(4, 64):
        before = kept[row, :row].nonzero()[0].tolist()
        assert {0, row - 1} <= set(before)
        drawn = set(before) - {0, row - 1}
        own = [column for column in drawn if column < row]
        assert len(own) <= 2
    assert (kept == kept.T).all()
    assert (table(pattern, 256)[:, :4]).all()
    assert (table(pattern, 256)[:4]).all()
    other = BlockSparse(block_tokens=4, local_blocks=1, global_blocks=1, random_blocks=2, seed=1)
    assert (kept != other.kept_blocks(256)).any()


@pytest.mark.parametrize("pattern", EXAMPLES, ids=name)
def test_what_a_token_sees_does_not_depend_on_how_many_follow(pattern: Pattern) -> None:
    past = torch.ones(40, 40, dtype=torch.bool).tril()
    assert torch.equal((table(pattern, 100)[:40, :40] & past), (table(pattern, 40) & past))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(EXAMPLES), st.integers(1, 60), st.integers(0, 59), st.integers(1, 20))
def test_ranges_hold_every_key_that_is_seen(pattern: Pattern, n_tokens: int, first: int, length: int) -> None:
    first = min(first, n_tokens - 1)
    stop = min(first + length, n_tokens)
    ranges = pattern.key_ranges(first, stop, n_tokens)
    inside = {key for start, end in ranges for key in range(start, end)}
    seen = set(table(pattern, n_tokens)[first:stop].any(0).nonzero().flatten().tolist())
    assert seen <= inside <= set(range(n_tokens))
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ranges))


def test_windows_name_few_keys() -> None:
    assert SlidingWindow(window_tokens=8).key_ranges(100, 110, 200) == [(93, 117)]
    assert Sinks(sink_tokens=4, window_tokens=8).key_ranges(100, 110, 200) == [(0, 4), (93, 117)]
    assert joined([(5, 9), (-3, 2), (2, 4), (9, 9), (8, 99)], 50) == [(0, 4), (5, 50)]


def test_every_n_th_layer_sees_everything() -> None:
    pattern = SlidingWindow(window_tokens=4, full_every=3)
    assert [of_layer(pattern, layer) is None for layer in range(6)] == [False, False, True] * 2
    assert of_layer(Full(), 0) is None
    assert of_layer(None, 0) is None
    model = decoder(pattern, n_layer=6)
    assert [found is None for found in model.patterns] == [False, False, True] * 2


def decoder(pattern: Pattern, n_layer: int = 1, positions: str = "rope") -> Decoder:
    sizes = {"vocab_size": 101, "n_positions": 64, "n_embd": 32, "n_layer": n_layer, "n_head": 4}
    return awake(
        ModernConfig.model_validate(
            {**sizes, "n_kv_head": 2, "attention": pattern, "positions": {"type": positions}}
        )
    )


@pytest.mark.parametrize("pattern", EXAMPLES, ids=name)
def test_a_token_of_one_layer_depends_on_what_it_sees_alone(pattern: Pattern) -> None:
    model = decoder(pattern)
    ids = torch.randint(0, 101, (1, 24), generator=torch.Generator().manual_seed(2))
    before, seen = model(ids).logits, table(pattern, 24) & torch.ones(24, 24, dtype=torch.bool).tril()
    for key in range(24):
        changed = ids.clone()
        changed[0, key] = (changed[0, key] + 50) % 101
        moved = (model(changed).logits - before)[0].abs().amax(1) > 1e-4
        assert torch.equal(moved, seen[:, key])


@pytest.mark.parametrize("positions", ["rope", "alibi", "t5"])
@pytest.mark.parametrize("pattern", EXAMPLES, ids=name)
def test_a_cache_gives_the_same_logits(pattern: Pattern, positions: str) -> None:
    model = decoder(pattern, n_layer=3, positions=positions)
    ids = torch.randint(0, 101, (2, 40), generator=torch.Generator().manual_seed(2))
    cache, cuts = model.new_cache(batch=2, max_tokens=40), [17, 18, 25, *range(26, 41)]
    starts = [0, *cuts]
    parts = [model(ids[:, a:b], cache=cache).logits for a, b in zip(starts, cuts, strict=False)]
    torch.testing.assert_close(torch.cat(parts, dim=1), model(ids).logits, rtol=1e-5, atol=1e-5)


def test_the_catalogue_holds_every_pattern_and_a_file_can_name_them() -> None:
    assert PATTERNS.names() == sorted(pattern.type for pattern in EXAMPLES)
    for pattern in EXAMPLES:
        config = GPT2Config(attention=pattern)
        assert GPT2Config.model_validate(config.model_dump(mode="json")) == config
    with pytest.raises(ValidationError, match="Did you mean 'longformer'"):
        GPT2Config(attention={"type": "longforme"})  # pyright: ignore
