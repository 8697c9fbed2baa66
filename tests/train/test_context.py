"""Windows shared by processes: every rule of sight holds across them, and saves are anybody's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.conftest import CONTEXT, VOCABULARY, model_config
from tests.train.ranks import ended, start, train
from tests.train.test_parallel import alone, assert_equal_runs, config_of
from towpath.core.config import change
from towpath.model.config import GPT2Config
from towpath.model.decoder import Decoder, build
from towpath.train.objectives.drawing import IGNORED
from towpath.train.parallel.context import ContextConfig
from towpath.train.parallel.group import Group
from towpath.train.parallel.windows import Chunks, SharedContext, SharedWindows

LENGTH = CONTEXT - 2
"""Of the windows here: no multiple of twice two processes, so that some places are padding."""
POSITIONS = ("learned", "sinusoidal", "rope", "alibi", "t5", "none")


class Place:
    """A process's number of how many."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


@pytest.mark.parametrize(("n_tokens", "size"), [(16, 2), (14, 2), (24, 3), (1, 2), (50, 4)])
def test_every_token_is_in_one_process_and_all_have_as_many_keys_to_look_at(n_tokens: int, size: int) -> None:
    every = [Chunks(Place(rank, size)) for rank in range(size)]  # pyright: ignore[reportArgumentType]
    places = [chunks.places(n_tokens, torch.device("cpu")) for chunks in every]
    assert len({int((one + 1).sum()) for one in places}) == 1, "keys that are seen"
    assert sorted(torch.cat(places).tolist()) == list(range(len(places[0]) * size))
    assert len(places[0]) * size >= n_tokens
    whole = torch.arange(len(places[0]) * size).reshape(1, -1)
    parts = torch.stack([whole[:, one] for one in places])
    assert torch.equal(every[0].in_order(parts, 1), whole)
    assert torch.equal(every[0].by_process(whole, 1), parts)


def decoder(changes: dict[str, Any]) -> Decoder:
    config = change(model_config("gpt2", 0.0), changes)
    assert isinstance(config, GPT2Config)
    return build(config, seed=1)


def batch(rule: str) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    ids = torch.randint(VOCABULARY, (3, LENGTH + 1), generator=draw)
    labels = ids.clone()
    labels[0, 3:7] = IGNORED
    more: dict[str, torch.Tensor] = {}
    if rule == "documents":
        more["documents"] = (torch.arange(LENGTH + 1) // torch.tensor([[4], [5], [9]])).contiguous()
        more["places"] = torch.arange(LENGTH + 1) % torch.tensor([[4], [5], [9]])
    if rule == "prefix":
        more["prefix_tokens"] = torch.tensor([2, 7, 11])
    return {"input_ids": ids, "labels": labels, **more}


CASES = [
    *(({"positions": {"type": name}}, "plain") for name in POSITIONS),
    ({}, "documents"),
    ({"positions": {"type": "alibi"}}, "documents"),
    ({}, "prefix"),
    ({"attention": {"type": "sliding_window", "window_tokens": 5}}, "plain"),
    ({"attention": {"type": "block_sparse", "block_tokens": 2}}, "documents"),
]


def test_the_parts_of_a_loss_and_its_gradients_add_up_to_those_of_the_window(tmp_path: Path) -> None:
    """For every encoding of positions, documents in one window, prefixes and a sliding window."""

    def work(rank: int) -> None:
        torch.set_num_threads(1)
        group = Group(torch.device("cpu"), "context")
        for number, (changes, rule) in enumerate(CASES):
            model = decoder(changes)
            loss = SharedWindows(model, Chunks(group))(**batch(rule), loss_tokens=30).loss
            loss.backward()
            found = {name: group.sum_(value.grad) for name, value in model.named_parameters()}
            torch.save((group.sum_(loss.detach()), found), tmp_path / f"{number}-{rank}.pt")
        group.close()

    assert ended(start(work, 2)) == [0, 0]
    for number, (changes, rule) in enumerate(CASES):
        model = decoder(changes)
        loss = model(**batch(rule), loss_tokens=30).loss
        loss.backward()
        total, found = torch.load(tmp_path / f"{number}-0.pt")
        torch.testing.assert_close(total, loss.detach(), rtol=0, atol=1e-6, msg=str(changes) + rule)
        for name, value in model.named_parameters():
            torch.testing.assert_close(
                found[name], value.grad, rtol=0, atol=1e-6, msg=f"{changes} {rule} {name}"
            )


@pytest.mark.slow
def test_a_save_of_shared_windows_is_resumed_by_any_number_of_processes(tmp_path: Path) -> None:
    config = config_of(max_steps=4, save_steps=2, gradient_accumulation_steps=2)
    shared = change(config, {"parallel": {"type": "context"}})
    single = alone(tmp_path / "single", config, "modern")
    folder = tmp_path / "two"
    assert train(folder, shared, 2, "modern") == [0, 0]
    assert_equal_runs(single, folder)
    newest = folder / "checkpoints" / "step-000004"
    for ranks in (3, 1):
        newest.rename(folder / f"elsewhere-{ranks}")
        if ranks > 1:
            assert train(folder, shared, ranks, "modern") == [0] * ranks
        else:
            alone(folder, config, "modern")
        assert_equal_runs(single, folder)


def test_dropout_differs_between_the_parts_of_a_window() -> None:
    places = []
    for rank in range(3):
        strategy = SharedContext.__new__(SharedContext)
        strategy.rank, strategy.data_rank = rank, 0
        places.append(strategy.seed(7, 0))
    assert len(set(places)) == 3


@pytest.mark.parametrize("kind", ["bert", "t5", "moe", "recurrent"])
def test_models_whose_windows_cannot_be_shared_are_refused_with_what_can(kind: str) -> None:
    with pytest.raises(ValueError, match=f'model.type = "{kind}".*fsdp'):
        ContextConfig().check_model(model_config(kind, 0.0))
