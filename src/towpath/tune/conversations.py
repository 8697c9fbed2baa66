"""Conversations as training examples: token ids, and which of them are trained.

Only what the assistant says, and the token that ends its turn, is a target. A chat longer than an
example may be is split between turns, each part starting with a user's turn; a single turn that is
too long is cut. Padding is masked by its position, never by its id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from towpath.core.errors import DataError
from towpath.core.progress import progress
from towpath.data import Documents, Message
from towpath.tokenizer import ChatTemplate, Rendered, Tokenizer
from towpath.tokenizer.order import KeyedPermutation, key_of
from towpath.train.batches import IGNORED, Batch


@dataclass(frozen=True)
class Example:
    """One example of at most ``max_length`` tokens. ``trained`` says which are targets."""

    document_id: str
    ids: np.ndarray
    trained: np.ndarray


def examples(
    documents: Documents,
    split: str,
    sources: Sequence[str] | None,
    template: ChatTemplate,
    tokenizer: Tokenizer,
    max_length: int,
) -> list[Example]:
    """The examples of ``split``, in reading order.

    Raises:
        DataError: no document of these sources has turns of an assistant.
    """
    chosen = [source for source in documents.sources(split) if sources is None or source in sources]
    cut = _Cutter(template, tokenizer, max_length)
    found: list[Example] = []
    with progress(f"preparing conversations ({split})", unit="chats") as bar:
        for source in chosen:
            for document in documents.iterate(split, source):
                if document.messages:
                    found += cut.examples(document.id, document.messages)
                    bar.advance()
    if not found:
        raise DataError(
            f"No conversation with an assistant's turn in the {split} split of "
            f"{', '.join(chosen) or 'no source'}. "
            "Fine-tuning needs documents with messages: see tune.sft.sources."
        )
    return found


class _Cutter:
    """Cuts chats into examples of at most ``max_length`` tokens; every turn is encoded once."""

    def __init__(self, template: ChatTemplate, tokenizer: Tokenizer, max_length: int) -> None:
        self.template = template
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.begin = template.render([], tokenizer)

    def examples(self, document_id: str, messages: Sequence[Message]) -> Iterator[Example]:
        part = self._empty()
        for exchange in _exchanges(messages):
            rendered = self.template.render(exchange, self.tokenizer)
            body = len(self.begin.ids)
            if len(part.ids) > body and len(part.ids) + len(rendered.ids) - body > self.max_length:
                yield from self._example(document_id, part)
                part = self._empty()
            part.ids += rendered.ids[body:]
            part.trained += rendered.trained[body:]
        yield from self._example(document_id, part)

    def _empty(self) -> Rendered:
        return Rendered(list(self.begin.ids), list(self.begin.trained))

    def _example(self, document_id: str, part: Rendered) -> Iterator[Example]:
        ids = np.array(part.ids[: self.max_length], dtype=np.int64)
        trained = np.array(part.trained[: self.max_length], dtype=bool)
        if trained[1:].any():
            yield Example(document_id, ids, trained)


def _exchanges(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Turns in groups that each start with a user's turn; what precedes the first stays with it."""
    group: list[Message] = []
    for message in messages:
        if message.role == "user" and any(item.role != "system" for item in group):
            yield group
            group = []
        group.append(message)
    if group:
        yield group


class ExampleBatches:
    """Batches of examples by step: every epoch is a keyed permutation of all of them."""

    def __init__(self, examples: Sequence[Example], batch_size: int, pad: int, seed: int) -> None:
        self.examples = examples
        self.batch_size = batch_size
        self.pad = pad
        self.seed = seed

    def chosen(self, step: int) -> list[Example]:
        """The examples of optimizer step ``step``, counted from 0."""
        first = step * self.batch_size
        return [self._at(index) for index in range(first, first + self.batch_size)]

    def _at(self, index: int) -> Example:
        epoch, position = divmod(index, len(self.examples))
        order = KeyedPermutation(len(self.examples), key_of(self.seed, "sft", epoch))
        return self.examples[order[position]]

    def batch(self, step: int) -> Batch:
        """See ``towpath.train.batches.BatchSource``."""
        return padded(self.chosen(step), self.pad)

    def describe(self, step: int) -> str:
        """See ``towpath.train.batches.BatchSource``."""
        first = step * self.batch_size
        return f"examples {first} to {first + self.batch_size - 1}"


def padded(rows: Sequence[Example], pad: int) -> Batch:
    """``rows`` side by side, the short ones filled up on the right with ``pad``, which is no target."""
    length = max(len(row.ids) for row in rows)
    ids = np.full((len(rows), length), pad, dtype=np.int64)
    labels = np.full((len(rows), length), IGNORED, dtype=np.int64)
    for line, row in enumerate(rows):
        ids[line, : len(row.ids)] = row.ids
        labels[line, : len(row.ids)] = np.where(row.trained, row.ids, IGNORED)
    targets = int((labels[:, 1:] != IGNORED).sum())
    return Batch([{"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(labels)}], targets)


def preview(example: Example, tokenizer: Tokenizer, *, color: bool) -> str:
    """The text of an example with what is trained marked: in green, or between « and »."""
    before, after = ("\x1b[32m", "\x1b[0m") if color else ("«", "»")
    pieces: list[str] = []
    start = 0
    for end in range(1, len(example.ids) + 1):
        if end == len(example.ids) or example.trained[end] != example.trained[start]:
            text = tokenizer.decode(example.ids[start:end].tolist())
            pieces.append(f"{before}{text}{after}" if example.trained[start] else text)
            start = end
    return "".join(pieces)
