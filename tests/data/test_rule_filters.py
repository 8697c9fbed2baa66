from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from towpath.data.filters import FilterConfig
from towpath.data.filters.c4 import C4Config
from towpath.data.filters.fineweb import FineWebConfig
from towpath.data.filters.gopher import GopherConfig
from towpath.data.filters.gopher_repetition import GopherRepetitionConfig
from towpath.data.judging import reasons_to_drop

from .conftest import document, prose


def reason(text: str, config: FilterConfig) -> str | None:
    return reasons_to_drop([document(text)], [config])[0]


SENTENCES = "The boat lies in the river. It is old. We like it. The water is cold today. Nobody swims. "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SENTENCES * 2, None),
        ("The boat lies in the river. It is old.", "too_few_sentences"),
        (SENTENCES.replace(". ", "\n"), "too_few_sentences"),
        (SENTENCES + "Here is some Lorem Ipsum text.", "lorem_ipsum"),
        (SENTENCES + "if (x) { return y; }.", "curly_bracket"),
        (SENTENCES * 2 + "\nPlease enable JavaScript { now }.", None),
        (SENTENCES + "This site uses cookies.", "too_few_sentences"),
        (SENTENCES + "x" * 1_001 + " is long.", "too_few_sentences"),
        (SENTENCES.strip() + "[1]", None),
        (SENTENCES.strip() + "..", "too_few_sentences"),
    ],
)
def test_c4_drops_by_the_lines_that_it_keeps(text: str, expected: str | None) -> None:
    assert reason(text, C4Config()) == expected


def test_c4_can_look_at_lines_without_an_end_mark_and_leave_rules_out() -> None:
    text = SENTENCES + "and more { lorem ipsum"
    assert reason(text, C4Config(only_lines_with_end_mark=False)) == "lorem_ipsum"
    config = C4Config(only_lines_with_end_mark=False, drop_lorem_ipsum=False)
    assert reason(text.replace("lorem ", ""), config) == "curly_bracket"
    config = C4Config(only_lines_with_end_mark=False, drop_curly_brackets=False, min_sentences=7)
    assert reason(text.replace("lorem ", ""), config) == "too_few_sentences"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (prose(1), None),
        ("a menu without any mark\nand another of its lines\n" * 1, "too_few_terminal_lines"),
        ("\n".join(f"Short line {i}." for i in range(10)), "too_many_short_lines"),
        ("This line of some forty characters is here.\n" * 3, "too_many_repeated_lines"),
        ("abcdefghijklmnopqrstuvwxyzabcdefghi.\nbbcdefghijklmnopqrstuvwxyzabcdefghi.\n", "too_many_newlines"),
    ],
)
def test_each_fineweb_rule_has_its_reason(text: str, expected: str | None) -> None:
    assert reason(text, FineWebConfig()) == expected


FILLER = " ".join(f"{a}{b}" for a in "abcdefghijklm" for b in "nopqrstuvwxyz")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (prose(3), None),
        (("a\n\n" * 9) + FILLER, "duplicate_paragraphs"),
        (f"{FILLER}\n\n{FILLER}", "duplicate_paragraphs"),
        (("a\n" * 9) + FILLER, "duplicate_lines"),
        (f"a\nb\nc\n{FILLER}\n{FILLER}", "duplicate_line_chars"),
        ("the boat " * 30, "top_2gram"),
        (f"{FILLER} {FILLER}", "duplicate_5grams"),
    ],
)
def test_each_kind_of_repetition_has_its_reason(text: str, expected: str | None) -> None:
    assert reason(text, GopherRepetitionConfig()) == expected


def test_thresholds_are_the_configs() -> None:
    loose = GopherRepetitionConfig(
        max_top_ngram_chars=(9, 9, 9), max_duplicate_ngram_chars=(1, 1, 1, 1, 1, 0.1)
    )
    assert reason("the boat " * 30, loose) == "duplicate_10grams"
    assert reason("One.\nTwo two.", FineWebConfig(max_short_lines=1, max_newlines_per_word=1)) is None


def lines_of(path: Path, n: int) -> list[Any]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return [json.loads(line) for line in islice(file, n)]


def prose_texts(folder: Path, n: int) -> list[str]:
    files = ("web/c4.jsonl", "mixed/brown.jsonl.gz", "mixed/masc.jsonl.gz", "stories/storybooks.jsonl")
    texts = [row["text"] for name in files for row in lines_of(folder / "pretrain" / name, n)]
    emma = (folder / "pretrain/books/austen_emma.txt").read_text()
    return texts + [emma[start : start + 5_000] for start in range(0, 5_000 * (n // 4), 5_000)]


def other_texts(folder: Path, n: int) -> list[str]:
    pages = json.loads((folder / "raw/web_html/ground_truth.json").read_text())
    texts = [page["articleBody"] for page in islice(pages.values(), n)]
    texts += [path.read_text()[:5_000] for path in islice(sorted((folder / "raw/irc").glob("*")), n)]
    texts += [
        row["text"][:6_000] for row in lines_of(folder / "pretrain/encyclopedia/factbook.jsonl.gz", n // 4)
    ]
    sources = sorted((Path(__file__).parents[2] / "src").rglob("*.py"))
    return texts + [path.read_text()[:5_000] for path in islice(sources, n)]


def peers() -> dict[str, tuple[FilterConfig, Callable[[Any], Any]]]:
    filters = pytest.importorskip("datatrove.pipeline.filters")
    pytest.importorskip("spacy")
    return {
        "gopher": (GopherConfig(), filters.GopherQualityFilter().filter),
        "gopher_repetition": (GopherRepetitionConfig(), filters.GopherRepetitionFilter().filter),
        "c4": (C4Config(), filters.C4QualityFilter().filter),
        "c4, any end": (
            C4Config(only_lines_with_end_mark=False),
            filters.C4QualityFilter(filter_no_terminal_punct=False).filter,
        ),
        "fineweb": (FineWebConfig(), filters.FineWebQualityFilter().filter),
    }


def agreement(texts: list[str]) -> dict[str, float]:
    """For each filter the share of ``texts`` that it and datatrove both keep or both drop."""
    from datatrove.data import Document as Theirs

    shares = {}
    for name, (config, judge) in peers().items():
        ours = reasons_to_drop([document(text, id=f"{i:032x}") for i, text in enumerate(texts)], [config])
        theirs = [judge(Theirs(text=text, id="x")) is True for text in texts]
        same = [(mine is None) == kept for mine, kept in zip(ours, theirs, strict=True)]
        shares[name] = sum(same) / len(same)
    return shares


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_decisions_agree_with_datatrove(shared_data: Path) -> None:
    on_prose, on_others = prose_texts(shared_data, 60), other_texts(shared_data, 30)
    prose_shares, other_shares = agreement(on_prose), agreement(on_others)
    print(len(on_prose), prose_shares, len(on_others), other_shares)
    for name, share in prose_shares.items():
        assert share >= 0.98, f"{name} on prose"
        both = share * len(on_prose) + other_shares[name] * len(on_others)
        assert both >= 0.95 * (len(on_prose) + len(on_others)), f"{name} on all"
