"""Signatures: the kernel is its Python, and near duplicates against exact similarities."""

from __future__ import annotations

import json
import random
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.texts import Texts
from towpath.data.dedup.near import near_duplicates
from towpath.data.kernels import minhash
from towpath.data.kernels.minhash import reference_signature, shingles, signatures, words_of

from .conftest import prose

BANDS, PER_BAND, MIN_SIMILARITY = 14, 8, 0.75
N_HASHES = BANDS * PER_BAND


def sketched(texts: list[str], shingle_words: int = 5) -> tuple[np.ndarray, np.ndarray]:
    return signatures(Texts.of(pa.array(texts, pa.large_string())), shingle_words, N_HASHES)


def jaccard(left: str, right: str) -> float:
    one, two = shingles(left, 5), shingles(right, 5)
    return len(one & two) / len(one | two)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=4), st.integers(1, 6))
def test_the_kernel_is_its_python(texts: list[str], shingle_words: int) -> None:
    found, known = sketched(texts, shingle_words)
    for row, text in enumerate(texts):
        expected = reference_signature(text, shingle_words, N_HASHES)
        assert known[row] == (expected is not None)
        assert found[row].tolist() == (expected or [0] * N_HASHES)


def test_without_the_kernel_the_signatures_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [prose(1, 40), "", "日本語 のテキスト", "Ärger, mit Umlauten — und Strichen."]
    compiled = sketched(texts)
    monkeypatch.setattr(minhash, "library", lambda *_: None)
    for one, other in zip(compiled, sketched(texts), strict=True):
        assert one.tolist() == other.tolist()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The cat's 2 hats_", ["the", "cat", "s", "2", "hats_"]),
        ("naïve—CAFÉ", ["naïve", "cafÉ"]),
        ("日本語です。次", ["日", "本", "語", "で", "す", "次"]),
        ("x\u00a0y\u3000z🙂w", ["x", "y", "z", "w"]),
        ("…!?", []),
    ],
)
def test_words_are_what_punctuation_and_spaces_part(text: str, words: list[str]) -> None:
    assert list(words_of(text)) == words


@pytest.mark.parametrize("n_words", [8, 40, 1_000])
def test_equal_places_estimate_the_similarity_without_bias(n_words: int) -> None:
    chance = random.Random(n_words)
    errors = []
    for _ in range(60):
        shared = [f"s{chance.getrandbits(60)}" for _ in range(n_words)]
        own = [[f"o{chance.getrandbits(60)}" for _ in range(n_words // 4)] for _ in range(2)]
        found, _ = sketched([" ".join(shared + own[0]), " ".join(shared + own[1])], shingle_words=1)
        true = n_words / (n_words + 2 * (n_words // 4))
        errors.append((found[0] == found[1]).mean() - true)
    spread = (0.67 * 0.33 / N_HASHES) ** 0.5  # of independent hashes; these do no worse
    assert abs(np.mean(errors)) < 4 * spread / 60**0.5
    assert np.std(errors) < 1.4 * spread


def edited(text: str, chance: random.Random, share: float) -> str:
    words = text.split(" ")
    for _ in range(int(share * len(words))):
        words[chance.randrange(len(words))] = f"edit{chance.randrange(10**6)}"
    return " ".join(words)


def test_recall_and_precision_against_exact_similarities(shared_data: Path) -> None:
    """Web pages, each with copies in which 0.2 to 6 % of the words were replaced."""
    chance = random.Random(3)
    lines = (shared_data / "pretrain/web/c4.jsonl").read_text().splitlines()
    pages = [json.loads(line)["text"] for line in lines][:120]
    texts = [
        text
        for page in pages
        for text in [page, *(edited(page, chance, share) for share in (0.002, 0.01, 0.02, 0.04, 0.06))]
    ]
    found, _ = sketched(texts)
    first = near_duplicates(found, BANDS, MIN_SIMILARITY)
    similar = {
        (left, right): jaccard(texts[left], texts[right])
        for start in range(0, len(texts), 6)
        for left, right in combinations(range(start, start + 6), 2)
    }
    high = [pair for pair, value in similar.items() if value >= 0.8]
    recall = sum(first[left] == first[right] for left, right in high) / len(high)
    joined = [(row, int(leader)) for row, leader in enumerate(first) if leader != row]
    precise = [jaccard(texts[row], texts[leader]) >= 0.5 for row, leader in joined]
    assert len(high) > 300
    assert recall >= 0.95, recall
    assert sum(precise) / len(precise) >= 0.99, sum(precise) / len(precise)
