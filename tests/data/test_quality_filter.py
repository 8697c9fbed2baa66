from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from towpath.data import QualityFilter
from towpath.data.filters.gopher import GopherConfig
from towpath.data.filters.language import LanguageConfig
from towpath.data.filters.length import LengthConfig
from towpath.data.filters.profanity import ProfanityConfig
from towpath.data.filters.rule import RuleConfig
from towpath.data.judging import reasons_to_drop
from towpath.data.quality_filter import columns_of_text, reasons_to_drop_text

from .conftest import document, prose

GERMAN = "Der Fluss fließt langsam durch das Tal und die Boote liegen ruhig am Ufer der alten Stadt. " * 4


def test_good_english_is_kept_and_other_text_is_not() -> None:
    quality_filter = QualityFilter(quality=[GopherConfig()])
    assert quality_filter.filter_text(prose(1)) is True
    assert quality_filter.filter_text(GERMAN) is False
    assert quality_filter.filter_text("Too short to learn from.") is False
    assert quality_filter.filter_text(prose(1) * 200) is False
    assert quality_filter.filter_text("") is False


def test_each_of_the_named_methods_answers_for_itself() -> None:
    quality_filter = QualityFilter()
    language, score = quality_filter.language_detector(prose(1))
    assert language == "en"
    assert score > 0.65
    assert quality_filter.language_detector("")[1] < 0.65
    assert quality_filter.is_english(prose(1))
    assert not quality_filter.is_english(GERMAN)
    assert "too_few_words" in quality_filter.low_quality_indicators("# # # # # a b c")
    assert not quality_filter.profanity_filter(prose(1))


def test_profanity_is_an_indicator_with_a_bound_of_ones_own(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("bother\n")
    strict = ProfanityConfig(lists=(), paths=(str(words),))
    text = f"{prose(1)} Oh bother."
    assert QualityFilter(profanity=strict).profanity_filter(text)
    assert "profanity" in QualityFilter(profanity=strict).low_quality_indicators(text)
    mild = ProfanityConfig(lists=(), paths=(str(words),), max_count=1)
    assert not QualityFilter(profanity=mild).profanity_filter(text)


def test_the_languages_wanted_can_be_others() -> None:
    assert QualityFilter(language=LanguageConfig(languages=("de",))).is_english(GERMAN)


@pytest.mark.parametrize(
    ("expression", "drops"),
    [
        ("n_words > 100 AND NOT (n_words > 1000)", True),
        ("n_words / 1000 > 0.1", True),
        ("mean_word_chars IS NULL", False),
        ("n_words * 2 - 1 IN (1, 2)", False),
        ("n_stop_words < 1 OR bullet_line_share >= 0", True),
    ],
)
def test_expressions_of_a_rule_are_evaluated(expression: str, drops: bool) -> None:
    rules = [GopherConfig(), RuleConfig(reason="mine", drop_when=expression)]
    assert ("mine" in reasons_to_drop_text(prose(1), rules)) is drops


def test_one_row_gives_the_reasons_that_the_engine_gives_for_columns(shared_data: Path) -> None:
    lines = (shared_data / "pretrain/web/c4.jsonl").read_text("utf-8").splitlines()[:40]
    texts = [*(json.loads(line)["text"] for line in lines), "", "a", GERMAN, "…\n" * 60, prose(1) * 200]
    quality_filter = QualityFilter()
    filters = [
        quality_filter.language,
        quality_filter.length,
        *quality_filter.quality,
        quality_filter.profanity,
    ]
    one_by_one = [next(iter(reasons_to_drop_text(text, filters)), None) for text in texts]
    assert one_by_one == reasons_to_drop([document(text) for text in texts], filters)
    assert len(set(one_by_one)) >= 4
    kept = [quality_filter.filter_text(text) for text in texts]
    assert kept == [reason is None for reason in one_by_one]


def test_it_can_be_sent_to_another_process() -> None:
    there = pickle.loads(pickle.dumps(QualityFilter(length=LengthConfig(min_chars=5))))
    assert there.length.min_chars == 5
    assert "n_words" in columns_of_text("some words", [GopherConfig()])
