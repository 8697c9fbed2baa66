"""Attention backends: each against the plain formula, forward and backward; which runs, and why."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.attention.flex_attention
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.model.conftest import awake
from towpath.core.errors import ModelError
from towpath.model import GPT2Config, ModernConfig
from towpath.model.backends import BACKENDS, blocked, choose, explain, flash, named
from towpath.model.backends.case import Case
from towpath.model.patterns import Pattern
from towpath.model.patterns.block_sparse import BlockSparse
from towpath.model.patterns.full import Full
from towpath.model.patterns.longformer import Longformer
from towpath.model.patterns.sinks import Sinks
from towpath.model.patterns.sliding_window import SlidingWindow
from towpath.model.positions.biases import AlibiPositions, RelativeBias
from towpath.model.sight import Sight

PATTERNS: dict[str, Pattern | None] = {
    "full": None,
    "window": SlidingWindow(window_tokens=7),
    "sinks": Sinks(sink_tokens=2, window_tokens=5),
    "longformer": Longformer(window_tokens=4, global_tokens=1, global_positions=(20,)),
    "block_sparse": BlockSparse(block_tokens=4, random_blocks=1),
}
HEADS, TOKENS, WIDTH = 4, 37, 8


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inputs(n_kv_head: int, n_queries: int = TOKENS) -> list[Tensor]:
    """Queries (2, H, T, D), keys and values (2, K, S, D)."""
    sizes = [(HEADS, n_queries), (n_kv_head, TOKENS), (n_kv_head, TOKENS)]
    return [
        normal(2, heads, tokens, WIDTH, seed=seed).requires_grad_()
        for seed, (heads, tokens) in enumerate(sizes)
    ]


def learned_bias(bidirectional: bool) -> RelativeBias:
    bias = RelativeBias(HEADS, 8, 16, bidirectional=bidirectional).double()
    with torch.no_grad():
        bias.weight.copy_(normal(8, HEADS, seed=5))
    return bias


def biased(sight: Sight, kind: str) -> tuple[Sight, list[Tensor]]:
    """``sight`` with a bias of ``kind``, and what of it is learned."""
    if kind == "alibi":
        slopes = AlibiPositions(HEADS)
        slopes.fill_()
        return replace(sight, at_distance=slopes.at_distance), []
    if kind == "t5":
        bias = learned_bias(not sight.causal)
        return replace(sight, at_distance=bias.at_distance), [bias.weight]
    if kind == "by place":
        bias = normal(HEADS, TOKENS, TOKENS, seed=8).requires_grad_()
        return replace(sight, bias=bias), [bias]
    return sight, []


def results(name: str, sight: Sight, parts: list[Tensor], learned: list[Tensor]) -> list[Tensor]:
    """What is gathered, and the gradients of everything."""
    gathered = named(name).run(*parts, replace(sight), 0.0)
    upstream = normal(*gathered.shape, seed=3)
    return [gathered, *torch.autograd.grad(gathered, [*parts, *learned], upstream)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked, "BLOCK_QUERIES", 8)
    # flex without tracing, as its own warning offers: a trace a shape takes a second
    monkeypatch.setattr(torch.nn.attention.flex_attention, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)


@pytest.mark.parametrize("bias", ["none", "alibi", "t5", "by place"])
@pytest.mark.parametrize("n_kv_head", [1, 2, 4])
@pytest.mark.parametrize("causal", [True, False], ids=["causal", "both ways"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_backend_is_the_formula_forward_and_backward(
    pattern: str, causal: bool, n_kv_head: int, bias: str
) -> None:
    sight, learned = biased(Sight(causal=causal, pattern=PATTERNS[pattern]), bias)
    parts = inputs(n_kv_head)
    expected = results("reference", sight, parts, learned)
    for name in ("sdpa", "blocked"):
        torch.testing.assert_close(results(name, sight, parts, learned), expected)
    folded = sight.folded(TOKENS, TOKENS, torch.float64, torch.device("cpu"))
    torch.testing.assert_close(results("sdpa", folded, parts, learned), expected)


@pytest.mark.parametrize(
    ("pattern", "causal", "n_kv_head", "bias"),
    [
        *((pattern, causal, 2, "alibi") for pattern in PATTERNS for causal in (True, False)),
        ("window", True, 4, "none"),
        ("window", True, 1, "by place"),
        ("full", False, 4, "none"),
        ("full", False, 4, "t5"),
    ],
)
@torch.no_grad()
def test_flex_is_the_formula(pattern: str, causal: bool, n_kv_head: int, bias: str) -> None:
    """Forward alone: on a CPU it has no backward pass."""
    sight, _ = biased(Sight(causal=causal, pattern=PATTERNS[pattern]), bias)
    parts = [part.detach() for part in inputs(n_kv_head)]
    gathered, expected = (named(name).run(*parts, sight, 0.0) for name in ("flex", "reference"))
    torch.testing.assert_close(gathered, expected)


@pytest.mark.parametrize("causal", [True, False], ids=["causal", "both ways"])
@pytest.mark.parametrize("pattern", ["full", "window", "sinks"])
def test_documents_and_padding_are_hidden_by_every_backend(pattern: str, causal: bool) -> None:
    documents = torch.tensor([[0] * 12 + [1] * 3 + [2] * 22, [5] * 30 + [1] * 6 + [5]])
    padding = torch.ones(2, 1, 1, TOKENS, dtype=torch.bool)
    padding[1, ..., 3:5] = False
    sight = Sight(causal=causal, pattern=PATTERNS[pattern], documents=documents, mask=padding)
    sight, parts = replace(sight, scale=0.3), inputs(2)
    rows = torch.ones(2, TOKENS, dtype=torch.bool)
    rows[1, 3:5] = False  # what is padding may see nothing at all
    where = rows[:, None, :, None]

    def visible(name: str) -> list[Tensor]:
        gathered = named(name).run(*parts, replace(sight), 0.0).masked_fill(~where, 0.0)
        return [gathered, *torch.autograd.grad(gathered, parts, normal(*gathered.shape, seed=3))]

    sees = sight.added(parts[0], TOKENS)
    assert sees.any(-1).all(), "each query sees something, else the formula itself has no answer"
    expected = visible("reference")
    for name in ("sdpa", "blocked"):
        torch.testing.assert_close(visible(name), expected)
    with torch.no_grad():
        gathered = named("flex").run(*(part.detach() for part in parts), replace(sight), 0.0)
        torch.testing.assert_close(gathered.masked_fill(~where, 0.0), expected[0])


@pytest.mark.parametrize("n_queries", [1, 5, 20])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_new_queries_see_the_last_of_all_keys(pattern: str, n_queries: int) -> None:
    sight, _ = biased(Sight(pattern=PATTERNS[pattern]), "alibi")
    q, k, v = (part.detach() for part in inputs(2))
    expected = named("reference").run(q, k, v, sight, 0.0)[:, :, -n_queries:]
    for name in ("reference", "sdpa", "blocked", *(["flex"] if n_queries == 5 else [])):
        gathered = named(name).run(q[:, :, -n_queries:], k, v, replace(sight), 0.0)
        torch.testing.assert_close(gathered, expected, msg=name)


@pytest.mark.parametrize("name", ["reference", "sdpa", "blocked"])
def test_dropped_weights_average_to_the_formula(name: str) -> None:
    torch.manual_seed(0)
    q, k, v = (part.detach() for part in inputs(4))
    sight = Sight(pattern=PATTERNS["window"])
    mean = torch.stack([named(name).run(q, k, v, sight, 0.3) for _ in range(150)]).mean(0)
    torch.testing.assert_close(mean, named("reference").run(q, k, v, sight, 0.0), rtol=0, atol=0.35)
    parts = inputs(4)
    named(name).run(*parts, sight, 0.3).sum().backward()
    assert all(part.grad is not None and torch.isfinite(part.grad).all() for part in parts)


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation makes, in numbers."""

    numbers = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return made


@pytest.mark.parametrize("bias", ["none", "alibi"])
def test_a_window_never_makes_scores_of_all_pairs(bias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocked, "BLOCK_QUERIES", 256)
    tokens = 1024
    q, k, v = (torch.randn(1, HEADS, tokens, 4, requires_grad=True) for _ in range(3))
    sight, _ = biased(Sight(pattern=SlidingWindow(window_tokens=64)), bias)
    with Largest() as largest:
        named("blocked").run(q, k, v, sight, 0.0).sum().backward()
    assert largest.numbers <= HEADS * 256 * (256 + 64)
    with Largest() as largest:
        named("sdpa").run(q, k, v, sight, 0.0).sum().backward()
    assert largest.numbers >= tokens * tokens


def chosen(sight: Sight, **case: Any) -> tuple[str, str]:
    settings = {"n_queries": 4096, "n_keys": 4096, "differentiated": True} | case
    return tuple(choose(sight, Case(**settings)))  # pyright: ignore


def test_the_table_says_which_runs() -> None:
    window, plain = Sight(pattern=PATTERNS["window"]), Sight()
    documents = Sight(documents=torch.zeros(1, 4096, dtype=torch.long))
    assert chosen(plain)[0] == "tiled"
    assert chosen(plain, n_queries=32)[0] == "sdpa"
    assert chosen(plain, dropout=0.1)[0] == chosen(plain, dtype=torch.float64)[0] == "sdpa"
    assert chosen(window)[0] == chosen(documents)[0] == "blocked"
    assert chosen(window, n_queries=256, n_keys=256)[0] == "sdpa"
    assert chosen(window, n_queries=1)[0] == "blocked"  # a cache: the window's keys alone are read
    on_gpu = {"device": "cuda", "dtype": torch.bfloat16}
    assert chosen(plain, **on_gpu)[0] == "sdpa"
    assert chosen(window, **on_gpu)[0] == chosen(documents, **on_gpu)[0] == "flex"
    assert chosen(window, **on_gpu, dropout=0.1)[0] == "blocked"
    assert chosen(plain, device="mps")[0] == "sdpa"


def test_flash_is_first_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flash, "_INSTALLED", True)
    on_gpu = {"device": "cuda", "dtype": torch.bfloat16}
    assert chosen(Sight(pattern=PATTERNS["window"]), **on_gpu, dropout=0.1)[0] == "flash"
    assert chosen(Sight(), **on_gpu)[0] == "flash"
    assert chosen(Sight(pattern=PATTERNS["sinks"]), **on_gpu)[0] == "flex"


@pytest.mark.parametrize(
    ("name", "sight", "case", "reason"),
    [
        ("flash", Sight(), {}, "it needs a GPU, and this is on cpu"),
        ("flash", Sight(), {"device": "cuda", "dtype": torch.float16}, "flash-attn is not installed"),
        ("flex", Sight(), {}, "on a CPU it has no backward pass"),
        ("flex", Sight(), {"dropout": 0.1}, "no dropout of attention weights, and here it is 0.1"),
        ("tiled", Sight(), {"device": "cuda"}, "it is for a CPU, and this is on cuda"),
        ("tiled", Sight(), {"dtype": torch.bfloat16}, "it takes fp32, not bfloat16"),
        ("tiled", Sight(mask=torch.ones(1, 1, dtype=torch.bool)), {}, "no mask, bias, pattern or documents"),
        ("tiled", Sight(), {"n_keys": 8}, "more queries than keys"),
        ("tiled", Sight(), {"dropout": 0.1}, "drops no attention weights"),
        ("flex", Sight(), {"device": "mps"}, "it needs a GPU, and this is on mps"),
    ],
)
def test_what_cannot_run_says_why(name: Any, sight: Sight, case: dict[str, Any], reason: str) -> None:
    with pytest.raises(ModelError, match=f"backend '{name}' can't run here: .*{reason}"):
        chosen(replace(sight, backend=name), **case)


@pytest.mark.parametrize(
    ("sight", "case", "reason"),
    [
        (Sight(), {"dtype": torch.float32}, "it takes fp16 or bf16, not float32"),
        (Sight(mask=torch.ones(1, 1, dtype=torch.bool)), {}, "no mask and no bias"),
        (Sight(documents=torch.zeros(1, 4096)), {}, "not told of documents"),
        (Sight(pattern=PATTERNS["longformer"]), {}, "no longformer pattern"),
    ],
)
def test_flash_refuses_what_it_does_not_know(
    sight: Sight, case: dict[str, Any], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flash, "_INSTALLED", True)
    with pytest.raises(ModelError, match=reason):
        chosen(replace(sight, backend="flash"), **{"device": "cuda", "dtype": torch.bfloat16} | case)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("pattern", ["full", "window"])
def test_flash_is_told_what_its_documentation_asks_for(
    pattern: str, causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in with the meaning of the package's README: (B, T, H, D), windows, ends aligned."""

    def flash_attn_func(q: Tensor, k: Tensor, v: Tensor, **settings: Any) -> Tensor:
        assert settings["dropout_p"] == 0.0
        each = q.shape[2] // k.shape[2]
        k, v = k.repeat_interleave(each, 2), v.repeat_interleave(each, 2)
        scores = torch.einsum("bthd,bshd->bhts", q, k) * (settings["softmax_scale"] or WIDTH**-0.5)
        query = torch.arange(q.shape[1])[:, None] + k.shape[1] - q.shape[1]
        key, (left, right) = torch.arange(k.shape[1]), settings["window_size"]
        hidden = key > query if settings["causal"] else torch.zeros_like(key > query)
        hidden |= (left >= 0) & (key < query - left)
        hidden |= (right >= 0) & (key > query + right)
        return torch.einsum("bhts,bshd->bthd", scores.masked_fill(hidden, -torch.inf).softmax(-1), v)

    monkeypatch.setitem(sys.modules, "flash_attn", SimpleNamespace(flash_attn_func=flash_attn_func))
    sight, parts = Sight(causal=causal, pattern=PATTERNS[pattern]), inputs(2, n_queries=20)
    torch.testing.assert_close(results("flash", sight, parts, []), results("reference", sight, parts, []))


def test_explain_has_a_line_for_each_and_one_that_runs() -> None:
    text = explain(Sight(pattern=PATTERNS["window"]), Case(4096, 4096, differentiated=True))
    lines = text.splitlines()
    assert [line.split()[0] for line in lines] == [backend.name for backend in BACKENDS]
    verdicts = ["cannot:", "cannot:", "cannot:", "runs:", "could:", "could:"]
    assert [line.split()[1] for line in lines] == verdicts
    asked = explain(Sight(backend="reference"), Case(8, 8))
    assert [line.split()[1] for line in asked.splitlines()].count("runs:") == 1
    assert asked.splitlines()[-1].split()[1] == "runs:"


def test_an_unknown_backend_is_named_with_the_nearest() -> None:
    with pytest.raises(ModelError, match="Unknown attention backend 'blockd'. Did you mean 'blocked'"):
        chosen(Sight(backend="blockd"))  # pyright: ignore


@pytest.mark.parametrize(
    "pattern", [Full(), SlidingWindow(window_tokens=9, full_every=2)], ids=["full", "window"]
)
@pytest.mark.parametrize("positions", ["alibi", "t5", "rope"])
def test_a_decoder_gives_the_same_loss_and_gradients_by_every_backend(
    pattern: Pattern, positions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"vocab_size": 101, "n_positions": 48, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_kv_head": 2}
    config = ModernConfig.model_validate({**sizes, "attention": pattern, "positions": {"type": positions}})
    model = awake(config).train()
    ids = torch.randint(0, 101, (2, 49), generator=torch.Generator().manual_seed(0))
    documents = (torch.arange(49) // 20).expand(2, 49)
    found = {}
    for backend in ("reference", "sdpa", "blocked", None):
        for checkpointing in (False, True):
            model.backend, model.gradient_checkpointing = backend, checkpointing
            model.zero_grad()
            loss = model(ids, ids, documents=documents).loss
            loss.backward()
            found[backend, checkpointing] = [loss.detach(), *(p.grad for p in model.parameters())]
    for value in found.values():
        torch.testing.assert_close(value, found["reference", False], rtol=1e-4, atol=1e-5)


def test_dropout_trains_through_a_window() -> None:
    sizes = {"vocab_size": 101, "n_positions": 48, "n_embd": 24, "n_layer": 2, "n_head": 3, "dropout": 0.2}
    config = GPT2Config.model_validate({**sizes, "attention": {"type": "sinks", "window_tokens": 8}})
    model, losses = awake(config).train(), []
    ids = torch.randint(0, 101, (2, 49), generator=torch.Generator().manual_seed(0))
    for backend in ("sdpa", "blocked", "blocked"):
        torch.manual_seed(1)
        model.backend = backend  # pyright: ignore
        losses.append(model(ids, ids).loss)
    assert losses[1] == losses[2]
    torch.testing.assert_close(losses[0], losses[1], rtol=0.2, atol=0)  # other draws
