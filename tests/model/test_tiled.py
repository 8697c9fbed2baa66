"""Attention by a kernel of our own: the formula's numbers, for every layout and number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.sanitized import check
from towpath.model.backends import named, tiled
from towpath.model.backends.case import Case
from towpath.model.kernels import attention as kernel
from towpath.model.recomputing import Recomputing, recomputed
from towpath.model.sight import Sight

HEADS, WIDTH = 4, 24

pytestmark = pytest.mark.skipif(
    tiled.TILED.refusal(Sight(), Case(256, 256)) is not None, reason="not compiled, or no sgemm in this torch"
)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def inputs(n_queries: int, n_keys: int, n_kv_head: int) -> list[Tensor]:
    """Queries (2, H, T, D), keys and values (2, K, S, D) as views of one projection."""
    draw = torch.Generator().manual_seed(0)
    parts = torch.randn(2, n_keys, HEADS + 2 * n_kv_head, WIDTH, generator=draw)
    q, k, v = parts.split([HEADS, n_kv_head, n_kv_head], 2)
    return [x.transpose(1, 2) for x in (q[:, n_keys - n_queries :], k, v)]


def results(name: str, sight: Sight, parts: list[Tensor], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """What is gathered, and the gradients of queries, keys and values."""
    leaves = [part.detach().to(dtype).requires_grad_() for part in parts]
    gathered = named(name).run(*leaves, sight, 0.0)
    draw = torch.Generator().manual_seed(1)
    upstream = torch.randn(gathered.shape, generator=draw).to(dtype)
    return [gathered, *torch.autograd.grad(gathered, leaves, upstream)]


@pytest.mark.parametrize("n_kv_head", [1, 2, 4])
@pytest.mark.parametrize("causal", [True, False], ids=["causal", "both ways"])
@pytest.mark.parametrize(
    ("n_queries", "n_keys"),
    [(1, 1), (63, 63), (64, 64), (65, 65), (200, 200), (1, 130), (70, 130), (130, 130)],
)
def test_it_is_the_formula(n_queries: int, n_keys: int, causal: bool, n_kv_head: int) -> None:
    parts, sight = inputs(n_queries, n_keys, n_kv_head), Sight(causal=causal)
    expected = results("reference", sight, parts, torch.float64)
    for own, exact in zip(results("tiled", sight, parts), expected, strict=True):
        torch.testing.assert_close(own.double(), exact, rtol=1e-5, atol=1e-5)


def test_a_scale_of_its_own_and_large_scores() -> None:
    parts, sight = inputs(100, 100, 2), Sight(scale=3.0)
    expected = results("reference", sight, parts, torch.float64)
    for own, exact in zip(results("tiled", sight, parts), expected, strict=True):
        torch.testing.assert_close(own.double(), exact, rtol=1e-4, atol=1e-4)


def test_no_bit_depends_on_the_number_of_threads() -> None:
    parts, found = inputs(200, 200, 2), []
    for threads in (1, 2, 3, 100):
        torch.set_num_threads(threads)
        found.append(results("tiled", Sight(), parts))
    for other in found[1:]:
        assert all(torch.equal(x, y) for x, y in zip(found[0], other, strict=True))


def test_any_layout_in_memory() -> None:
    parts = inputs(90, 90, 4)
    expected = results("tiled", Sight(), parts)
    layouts = {
        "heads first": [part.contiguous() for part in parts],
        "channels apart": [part.transpose(2, 3).contiguous().transpose(2, 3) for part in parts],
    }
    for name, laid in layouts.items():
        torch.testing.assert_close(results("tiled", Sight(), laid), expected, msg=name)
    one = [part[:, :1].expand(2, HEADS, 90, WIDTH) for part in parts]
    torch.testing.assert_close(
        results("tiled", Sight(), one), results("reference", Sight(), one), rtol=1e-5, atol=1e-5
    )


def test_not_a_number_stays_one() -> None:
    parts = inputs(80, 80, 4)
    parts[0][0, 1, 5, 2] = float("nan")
    gathered = results("tiled", Sight(), parts)[0]
    assert gathered[0, 1, 5].isnan().all()
    assert int(gathered.isnan().sum()) == WIDTH


def test_without_gradients_it_gives_the_same() -> None:
    parts = inputs(80, 80, 2)
    with torch.no_grad():
        gathered = named("tiled").run(*parts, Sight(), 0.0)
    assert torch.equal(gathered, results("tiled", Sight(), parts)[0])


@pytest.mark.parametrize(("recomputing", "times"), [(False, 1), ("selective", 1), (True, 2)])
def test_selective_checkpointing_keeps_what_it_gives(
    recomputing: Recomputing, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = []
    run = kernel._Call.run
    monkeypatch.setattr(kernel._Call, "run", lambda self, name: (called.append(name), run(self, name)))
    q, k, v = (part.detach().requires_grad_() for part in inputs(80, 80, 2))

    class Gathers(nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return named("tiled").run(q, k, v, Sight(), 0.0)

    block = Gathers()
    gathered = recomputed(block, (q, k, v), recomputing) if recomputing else block(q, k, v)
    gathered.square().sum().backward()
    assert called == ["attention"] * times + ["attention_back"]


@pytest.mark.slow
def test_sanitizers_find_nothing_on_any_numbers(tmp_path: Path) -> None:
    check("towpath.model.kernels", "tests.model.kernels_on_any_bytes", tmp_path)
