"""Memory over segments: what a token sees, where gradients stop, and a text that needs it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.model.conftest import awake
from towpath.core.config import change
from towpath.core.errors import ModelError
from towpath.model.config import ModernConfig, SamplingConfig
from towpath.model.decoder import Decoder
from towpath.model.generate import generate
from towpath.model.language_model import build
from towpath.model.memory import RecurrentDecoder
from towpath.model.memory_config import RecurrentConfig

pytestmark = pytest.mark.usefixtures("checked_annotations")

SMALL = RecurrentConfig(
    vocab_size=101,
    n_positions=32,
    n_embd=32,
    n_layer=2,
    n_head=4,
    n_kv_head=2,
    segment_tokens=6,
    memory_tokens=9,
)


def made(**changes: object) -> RecurrentDecoder:
    model = awake(change(SMALL, changes))
    assert isinstance(model, RecurrentDecoder)
    return model


@pytest.mark.parametrize("positions", ["rope", "alibi", "t5", "none"])
def test_segments_give_what_one_pass_with_the_same_sight_gives(positions: str, ids: Tensor) -> None:
    model = made(positions={"type": positions})
    cache = model.new_cache(3, 20)
    with torch.no_grad():
        whole = model(ids, cache=cache).logits
        torch.testing.assert_close(model(ids).logits, whole, rtol=1e-4, atol=1e-5)


def test_a_memory_as_long_as_the_text_gives_what_the_modern_layout_gives(ids: Tensor) -> None:
    model = made(memory_tokens=20)
    shared = set(ModernConfig.model_fields) - {"type"}
    plain = build(ModernConfig(**SMALL.model_dump(include=shared)), seed=1).eval()
    plain.load_state_dict(model.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, plain(ids).logits, rtol=1e-4, atol=1e-5)


def test_a_token_reaches_its_segment_and_the_memory_of_each_layer_and_nothing_before(ids: Tensor) -> None:
    model = made(n_layer=1)
    other = ids.clone()
    other[:, 2] = (other[:, 2] + 1) % 101  # the third segment, from 12, remembers 3 to 11
    with torch.no_grad():
        first, second = model(ids).logits, model(other).logits
    assert not torch.allclose(first[:, 11], second[:, 11])
    assert torch.equal(first[:, 12:], second[:, 12:])


def test_a_text_read_in_parts_is_the_text_read_at_once(ids: Tensor) -> None:
    model = made()
    with torch.no_grad():
        whole, _ = model.read(ids)
        first, memory = model.read(ids[:, :12])
        second, _ = model.read(ids[:, 12:], memory)
    assert torch.equal(torch.cat((first, second), 1), whole)


def test_a_text_may_be_longer_than_the_context() -> None:
    ids = torch.randint(0, 101, (1, 100))
    assert made()(ids).logits.shape == (1, 100, 101)


@pytest.mark.parametrize(("segments", "reached"), [(1, [2]), (2, [2]), (3, [0, 1, 2])])
def test_gradients_end_where_memory_is_cut_off(segments: int, reached: list[int], ids: Tensor) -> None:
    model = made(backward_segments=segments).train()
    embedded: list[Tensor] = []

    def keep(input_ids: Tensor) -> Tensor:
        embedded.append(Decoder.embed(model, input_ids))
        return embedded[-1]

    model.embed = keep
    last = model.read(ids[:, :18])[0][:, -1].sum()
    found = torch.autograd.grad(last, embedded)
    assert [number for number, grad in enumerate(found) if grad.abs().sum() > 0] == reached


def test_checkpointed_blocks_have_the_same_gradients(ids: Tensor) -> None:
    found = []
    for checkpointing in (False, True):
        model = made(backward_segments=2).train()
        model.gradient_checkpointing = checkpointing
        model(ids, ids).loss.backward()
        found.append([parameter.grad for parameter in model.parameters()])
    for plain, again in zip(*found, strict=True):
        torch.testing.assert_close(plain, again, rtol=1e-5, atol=1e-6)


def test_generation_with_a_cache_agrees_with_whole_passes() -> None:
    model, text = made(), [5, 9, 2]
    for token in list(generate(model, text, SamplingConfig(temperature=0, max_new_tokens=20))):
        assert int(model(torch.tensor([text])).logits[0, -1].argmax()) == token
        text = [*text, token]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"memory_tokens": 30}, "memory_tokens = 30 are more than n_positions = 32. Try n_positions = 36"),
        ({"positions": {"type": "learned"}}, "positions.type = 'learned'"),
        ({"attention": {"type": "sliding_window"}}, "attention.type = 'sliding_window'"),
    ],
)
def test_what_a_memory_can_t_have_is_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(Exception, match=text):
        change(SMALL, changes)


def test_packed_documents_are_refused(ids: Tensor) -> None:
    with pytest.raises(ModelError, match="document_mask"):
        made()(ids, documents=torch.zeros_like(ids))


WINDOW, VALUES, FILLERS = 16, 8, 20
MARK = VALUES + FILLERS


def texts(number: int, seed: int) -> Tensor:
    """Fillers, with one of 8 values in the first window; after two windows more it is asked for."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(VALUES, VALUES + FILLERS, (number, 3 * WINDOW + 1), generator=draw)
    value = torch.randint(0, VALUES, (number,), generator=draw)
    place = torch.randint(0, WINDOW, (number,), generator=draw)
    ids[torch.arange(number), place] = value
    ids[:, -2], ids[:, -1] = MARK, value
    return ids


def trained(model: Decoder, tokens: int, steps: int) -> float:
    """How often ``model`` is right after ``steps`` steps, where it is given the last ``tokens`` of a text."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(steps):
        ids = texts(32, step)[:, -tokens - 1 :]
        labels = torch.full_like(ids, -100)
        labels[:, -1] = ids[:, -1]
        optimizer.zero_grad()
        model.train()(ids, labels).loss.backward()
        optimizer.step()
    ids = texts(400, 10**6)[:, -tokens - 1 :]
    with torch.no_grad():
        guess = model.eval()(ids[:, :-1]).logits[:, -1].argmax(-1)
    return float((guess == ids[:, -1]).float().mean())


@pytest.mark.slow
def test_a_key_two_windows_back_is_recalled_with_a_memory_and_guessed_by_a_model_of_the_same_window() -> None:
    torch.set_num_threads(1)
    size = {"vocab_size": MARK + 1, "n_embd": 32, "n_layer": 2, "n_head": 2}
    memory = RecurrentConfig(**size, n_positions=48, segment_tokens=WINDOW, memory_tokens=2 * WINDOW)
    plain = ModernConfig(**size, n_positions=WINDOW)
    assert trained(build(memory, seed=1), 3 * WINDOW, 200) > 0.95
    assert trained(build(plain, seed=1), WINDOW, 200) < 0.2  # chance: 0.125
