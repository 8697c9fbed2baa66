"""Small corpora for the tests of the data room."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from towpath.core.artifacts import Store
from towpath.data import DataConfig, Document

SENTENCE = (
    "the river and the boat that have to be with a house of wood near water where people walk every day "
    "towards market carrying bread apples letters news songs while rain falls on stone bridges at night"
)
VOCABULARY = SENTENCE.split()


def prose(seed: int, n_words: int = 120) -> str:
    """English words in a random order, different for each seed, that pass all default filters."""
    choice = random.Random(seed).choice
    words = [choice(VOCABULARY) for _ in range(n_words)]
    return (
        ". ".join(" ".join(words[start : start + 12]).capitalize() for start in range(0, n_words, 12)) + "."
    )


def document(text: str = "", **fields: Any) -> Document:
    """A document of prose with made-up origin."""
    return Document(**{"id": "0" * 32, "text": text, "source": "test", "domain": "prose", **fields})


WriteLines = Callable[[str, Sequence[Any]], Path]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


@pytest.fixture
def json_lines(tmp_path: Path) -> WriteLines:
    """Write records, or lines as they are, to a .jsonl file below the test's folder."""

    def write(name: str, records: Sequence[Any]) -> Path:
        lines = [item if isinstance(item, str) else json.dumps(item) for item in records]
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(line + "\n" for line in lines))
        return path

    return write


def files_config(path: Path, **fields: Any) -> DataConfig:
    """Settings that read ``path`` and nothing else, in parts of four documents."""
    return DataConfig(**{"sources": [{"type": "files", "path": str(path)}], "part_documents": 4, **fields})
