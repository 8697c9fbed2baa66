"""By difficulty: windows that are easy to read, to compress or to predict first.

Readability is the automated readability index (Smith and Senter 1967, "Automated Readability Index",
AMRL-TR-66-220): 4.71 letters a word + 0.5 words a sentence - 21.43. Compression is the size of the text
after zlib over the size before. A column is any score of documents, such as the loss of a small model,
in a Parquet file with the columns ``id`` and ``score``; ``losses.write_losses`` makes one.
"""

from __future__ import annotations

import re
import zlib
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from towpath.core.errors import DataError
from towpath.train.curriculum.length import PacedConfig

if TYPE_CHECKING:
    from towpath.tokenizer import Samples

_SENTENCE = re.compile(r"[.!?。！？]+(?:\s|$)")


class DifficultyConfig(PacedConfig):
    """Easy windows first."""

    type: Literal["difficulty"] = "difficulty"
    by: Literal["readability", "compression", "column"] = "compression"
    """What is called difficult."""
    path: str | None = Field(default=None)
    """The Parquet file of ``by = "column"``, with ``id`` and ``score`` of each document."""

    @model_validator(mode="after")
    def _agree(self) -> DifficultyConfig:
        if (self.by == "column") != (self.path is not None):
            raise ValueError('by = "column" and path belong together: give both or none.')
        return self

    @cached_property
    def column(self) -> dict[str, float]:
        """Score by id of document."""
        from pyarrow import parquet

        assert self.path is not None
        try:
            table = parquet.read_table(self.path)
            return dict(zip(table["id"].to_pylist(), table["score"].to_pylist(), strict=True))
        except (OSError, KeyError, ValueError) as error:  # Arrow's errors are ValueErrors
            raise DataError(
                f"train.curriculum.path = {self.path!r} can't be read: {error}. Expected is a Parquet file "
                "with the columns id and score of each document, such as "
                "towpath.train.curriculum.losses.write_losses makes."
            ) from error

    def check(self) -> None:
        """See ``CurriculumConfig.check``."""
        if self.by == "column":
            _ = self.column

    def score(self, samples: Samples, index: int) -> float:
        """See ``PacedConfig.score``."""
        if self.by == "column":
            return self._of_documents(samples, index)
        text = samples.tokenizer.decode(samples.ids(index).tolist())
        return readability(text) if self.by == "readability" else compression(text)

    def _of_documents(self, samples: Samples, index: int) -> float:
        total = tokens = 0.0
        for span in samples.provenance(index):
            if span.document_id not in self.column:
                raise DataError(f"{self.path} has no score of the document {span.document_id!r}.")
            share = span.tokens[1] - span.tokens[0]
            total += share * self.column[span.document_id]
            tokens += share
        return total / tokens


def readability(text: str) -> float:
    """The automated readability index: about the school year that ``text`` is written for.

    >>> round(readability("The cat sat. It ran."), 2)
    -8.03
    """
    words = text.split()
    if not words:
        return 0.0
    sentences = max(1, len(_SENTENCE.findall(text)))
    letters = sum(character.isalnum() for character in text)
    return 4.71 * letters / len(words) + 0.5 * len(words) / sentences - 21.43


def compression(text: str) -> float:
    """Bytes after zlib over bytes before; 0 of no text."""
    content = text.encode()
    return len(zlib.compress(content, 6)) / len(content) if content else 0.0
