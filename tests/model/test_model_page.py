"""What docs/model.md shows runs as it stands, and says what there is."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tests.model.conftest import awake
from towpath.core.config import identity
from towpath.model import ModernConfig
from towpath.model.backends import BACKENDS, blocked
from towpath.model.patterns import PATTERNS
from towpath.model.positions import POSITIONS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "model.md").read_text()


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def code(heading: str) -> str:
    return re.findall(r"^```python\n(.*?)^```", section(heading), re.MULTILINE | re.DOTALL)[0]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """The module that a heading shows, importable by catalogues."""

    def module_of(heading: str) -> ModuleType:
        module = ModuleType("shown_in_docs")
        monkeypatch.setitem(sys.modules, "shown_in_docs", module)
        exec(compile(code(heading), f"docs/model.md, {heading}", "exec"), module.__dict__)
        return module

    return module_of


def check(fields: dict[str, object]) -> None:
    """A decoder of two layers with ``fields``: causal, equal in a cache and in every backend."""
    sizes = {"vocab_size": 101, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_kv_head": 2}
    config = ModernConfig.model_validate({**sizes, **fields})
    assert ModernConfig.model_validate(config.model_dump(mode="json")) == config
    for name, value in fields.items():
        assert identity(config)[name]["type"] == value["type"]  # pyright: ignore
    model, ids = awake(config), torch.randint(0, 101, (2, 40), generator=torch.Generator().manual_seed(0))
    logits = model(ids).logits
    torch.testing.assert_close(model(ids[:, :30]).logits, logits[:, :30])
    cache = model.new_cache(2, 40)
    parts = [model(ids[:, a:b], cache=cache).logits for a, b in [(0, 25), (25, 26), (26, 40)]]
    torch.testing.assert_close(torch.cat(parts, dim=1), logits, rtol=1e-5, atol=1e-5)
    gradients = {}
    for backend in ("reference", "sdpa", "blocked"):
        model.backend = backend
        model.zero_grad()
        model(ids, ids).loss.backward()
        gradients[backend] = [value.grad for value in model.parameters()]
        torch.testing.assert_close(gradients[backend], gradients["reference"], rtol=1e-4, atol=1e-5)


def test_the_example_of_a_position_encoding_runs(
    example: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = example("Adding a position encoding")
    monkeypatch.setitem(POSITIONS.entries, "kerple", "shown_in_docs:KerpleConfig")  # pyright: ignore
    monkeypatch.setattr(blocked, "BLOCK_QUERIES", 8)
    check({"positions": {"type": "kerple"}})
    positions = module.KerplePositions(2)
    with torch.no_grad():
        positions.weight.copy_(torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
        bias = positions.bias(0, 3)
    slope, scale = torch.tensor([0.0, 1.0]).exp(), torch.tensor([0.0, -1.0]).exp()
    torch.testing.assert_close(bias[:, 2, 0], -slope * torch.log(1 + 2 * scale))


def test_the_example_of_a_pattern_runs(
    example: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern = example("Adding an attention pattern").DilatedWindow()
    monkeypatch.setitem(PATTERNS.entries, "dilated_window", "shown_in_docs:DilatedWindow")  # pyright: ignore
    monkeypatch.setattr(blocked, "BLOCK_QUERIES", 8)
    check({"attention": {"type": "dilated_window", "step_tokens": 3, "full_every": 2}})
    places = torch.arange(20)
    assert places[pattern.sees(torch.tensor(12), places, 20)].tolist() == [6, 8, 10, 12, 14, 16, 18]
    assert pattern.key_ranges(12, 13, 20) == [(6, 19)]


def test_explain_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    exec(code("How attention is computed"), {})
    printed = capsys.readouterr().out.strip()
    assert f"```\n{printed}\n```" in section("How attention is computed")


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("Positions", POSITIONS.names()),
        ("Attention", PATTERNS.names()),
        ("How attention is computed", [backend.name for backend in BACKENDS]),
    ],
)
def test_tables_hold_every_choice(heading: str, names: list[str]) -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section(heading), re.MULTILINE)
    assert sorted(rows) == sorted(names)
