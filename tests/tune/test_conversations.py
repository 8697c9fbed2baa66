"""Conversations as examples: only the assistant's words and the end of its turn are trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from towpath.core.errors import DataError
from towpath.data import Document, Message
from towpath.model.config import GPT2Config
from towpath.model.decoder import build
from towpath.tokenizer import ByteTokenizer, ChatTemplate
from towpath.train.batches import IGNORED
from towpath.tune.config import SFTConfig
from towpath.tune.conversations import Example, ExampleBatches, examples, padded, preview

TOKENIZER = ByteTokenizer()
TEMPLATE = ChatTemplate()
END = TOKENIZER.special["<|end|>"]


class OneChat:
    """Documents with one source of given chats."""

    def __init__(self, *chats: list[tuple[str, str]]) -> None:
        self.chats = [tuple(Message(role, content) for role, content in chat) for chat in chats]

    def sources(self, split: str) -> list[str]:
        return ["chats"]

    def iterate(self, split: str, source: str):
        for number, messages in enumerate(self.chats):
            yield Document(
                id=str(number),
                text="",
                source=source,
                domain="chat",
                url=None,
                path=None,
                byte_offset=None,
                licence="MIT",
                date=None,
                messages=messages,
            )


def made(*chats: list[tuple[str, str]], max_length: int = 1000) -> list[Example]:
    return examples(OneChat(*chats), "train", None, TEMPLATE, TOKENIZER, max_length)  # pyright: ignore


def trained_text(example: Example) -> str:
    return TOKENIZER.decode(example.ids[example.trained].tolist())


def test_only_the_assistants_words_and_the_end_of_turn_are_trained() -> None:
    (example,) = made([("user", "hi"), ("assistant", "hello"), ("user", "bye"), ("assistant", "see you")])
    assert trained_text(example) == "hello<|end|>see you<|end|>"


@given(
    st.lists(st.tuples(st.text("ab<|>end", max_size=30), st.text("cd", min_size=1, max_size=30)), min_size=1)
)
def test_every_trained_turn_ends_with_the_end_of_turn(pairs: list[tuple[str, str]]) -> None:
    chat = [turn for said, answer in pairs for turn in (("user", said), ("assistant", answer))]
    for example in made(chat, max_length=90):
        assert len(example.ids) <= 90
        ends = np.flatnonzero(example.trained & ~np.append(example.trained[1:], False))
        assert all(example.ids[end] == END for end in ends)


def test_an_example_is_what_the_template_renders() -> None:
    chat = [
        ("system", "be kind"),
        ("user", "hi"),
        ("assistant", "ok"),
        ("assistant", "!"),
        ("user", "b"),
        ("assistant", ""),
    ]
    (example,) = made(chat)
    rendered = TEMPLATE.render([Message(role, content) for role, content in chat], TOKENIZER)
    assert example.ids.tolist() == rendered.ids
    assert example.trained.tolist() == rendered.trained


def test_a_long_chat_is_split_between_exchanges_and_loses_nothing() -> None:
    chat = [
        turn
        for number in range(9)
        for turn in (("user", f"question {number}"), ("assistant", f"answer {number}"))
    ]
    parts = made(chat, max_length=70)
    assert len(parts) > 1
    assert "".join(trained_text(part) for part in parts) == "".join(f"answer {n}<|end|>" for n in range(9))
    for part in parts:
        assert TOKENIZER.decode(part.ids.tolist()).startswith("<|endoftext|><|user|>question")


def test_documents_without_an_assistant_are_refused() -> None:
    with pytest.raises(
        DataError, match="No conversation with an assistant's turn in the train split of chats"
    ):
        made([("user", "hi")])


def test_padding_is_masked_by_position_and_changes_no_loss() -> None:
    rows = made(
        [("user", "hi"), ("assistant", "ok")], [("user", "hello there"), ("assistant", "a longer answer")]
    )
    model = build(GPT2Config(n_positions=64, n_embd=16, n_layer=1, n_head=2, dropout=0.0).for_tokenizer(262))
    batch = padded(rows, TOKENIZER.pad)
    (together,) = batch.micro_batches
    whole = model(**together, loss_tokens=1).loss
    alone = [padded([row], TOKENIZER.pad) for row in rows]
    single = sum(model(**one.micro_batches[0], loss_tokens=1).loss for one in alone)
    torch.testing.assert_close(whole, single, rtol=1e-5, atol=1e-5)
    assert batch.target_tokens == sum(one.target_tokens for one in alone)


def test_padding_whose_id_is_the_end_of_turn_still_trains_the_end_of_turn() -> None:
    (row,) = made([("user", "hi"), ("assistant", "ok")])
    longer = Example("x", np.append(row.ids, [1, 2, 3]), np.append(row.trained, [False] * 3))
    labels = padded([row, longer], pad=END).micro_batches[0]["labels"]
    assert (labels[0] == END).sum() == 1
    assert (labels[0][len(row.ids) :] == IGNORED).all()


def test_each_epoch_sees_every_example_once() -> None:
    rows = made(*[[("user", f"{n}"), ("assistant", "ok")] for n in range(12)])
    source = ExampleBatches(rows, batch_size=4, pad=TOKENIZER.pad, seed=5)
    epochs = [
        [row.document_id for step in range(3 * e, 3 * e + 3) for row in source.chosen(step)] for e in (0, 1)
    ]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(row.document_id for row in rows)
    assert epochs[0] != epochs[1]


def test_preview_marks_what_is_trained() -> None:
    (row,) = made([("user", "hi"), ("assistant", "ok")])
    assert preview(row, TOKENIZER, color=False) == "<|endoftext|><|user|>hi<|end|><|assistant|>«ok<|end|>»"


def test_the_specifications_instruction_config_is_valid_as_it_stands() -> None:
    config = SFTConfig.model_validate(
        {"learning_rate": 5e-5, "batch_size": 8, "max_length": 2048, "num_epochs": 3, "warmup_ratio": 0.1}
    )
    assert config.steps(examples=80) == 30
