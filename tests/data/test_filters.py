from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.errors import ConfigError
from towpath.data import DataConfig
from towpath.data.features.language import detect_language
from towpath.data.filters import FILTERS, FilterConfig
from towpath.data.filters.gopher import GopherConfig
from towpath.data.filters.language import LanguageConfig
from towpath.data.filters.length import LengthConfig
from towpath.data.judging import reasons_to_drop
from towpath.data.kernels.language_id import two_windows
from towpath.data.rules import check_rules

from .conftest import document, prose

GERMAN = "Der Fluss fließt langsam durch das Tal und die Boote liegen ruhig am Ufer der alten Stadt. " * 4


def reason(text: str, config: FilterConfig, domain: str = "prose") -> str | None:
    return reasons_to_drop([document(text, domain=domain)], [config])[0]


@pytest.mark.parametrize(
    ("size", "expected"), [(99, "too_short"), (100, None), (100_000, None), (100_001, "too_long")]
)
def test_length_keeps_100_to_100_000_characters(size: int, expected: str | None) -> None:
    assert reason("x" * size, LengthConfig()) == expected


def test_length_bounds_that_nothing_can_pass_are_refused() -> None:
    with pytest.raises(ValueError, match="min_chars = 10 is more than max_chars = 5: nothing could pass"):
        LengthConfig(min_chars=10, max_chars=5)


def test_language_keeps_the_wanted_one() -> None:
    assert reason(prose(1), LanguageConfig()) is None
    assert reason(GERMAN, LanguageConfig()) == "other_language"
    assert reason(GERMAN, LanguageConfig(languages=("en", "de"))) is None
    assert reason("12 34 56 78 " * 20, LanguageConfig(min_score=0.9)) in {
        "uncertain_language",
        "other_language",
    }


def test_language_is_seen_in_the_middle_of_a_text_and_across_newlines() -> None:
    assert detect_language(GERMAN.replace(" ", "\n"))[0] == "de"
    assert len(two_windows("x" * 50_000, 1_000)) == 2_001
    assert two_windows("a" * 1_000 + "b" * 98_000 + "c" * 1_000, 1_000).count("b") == 1_000


def test_a_missing_language_model_is_named() -> None:
    with pytest.raises(ConfigError, match=r"model_path /no/lid\.bin is not a file"):
        reason("text", LanguageConfig(model_path="/no/lid.bin"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (prose(1), None),
        ("the boat and the river", "too_few_words"),
        ("a b c d e the and " * 20, "mean_word_length_out_of_bounds"),
        ("the extraordinarilyunbelievable and " * 40, "mean_word_length_out_of_bounds"),
        ("# the boats and # rivers # that " * 20, "too_many_symbols"),
        ("- the boats have to be there and with\n" * 20, "too_many_bullet_lines"),
        (
            "the boats have to be there and with this and so on, going for long...\n" * 5,
            "too_many_ellipsis_lines",
        ),
        ("the 1234 and 5678 of 9012 " * 20, "too_few_alphabetic_words"),
        ("lorem ipsum dolor amet consectetur " * 20, "too_few_stop_words"),
    ],
)
def test_each_gopher_rule_has_its_reason(text: str, expected: str | None) -> None:
    assert reason(text, GopherConfig()) == expected


def test_rules_for_prose_leave_code_alone() -> None:
    code = "#!/bin/sh\n" + "# comment\n" * 200
    assert reason(code, GopherConfig(), domain="code") is None
    assert reason(GERMAN, LanguageConfig(), domain="code") is None
    assert reason("x", LengthConfig(), domain="code") == "too_short"
    assert reason(code, GopherConfig(domains=("code",)), domain="code") == "too_many_symbols"


def test_the_first_filter_that_drops_names_the_reason() -> None:
    filters = [LengthConfig(min_chars=10_000), LanguageConfig()]
    assert reasons_to_drop([document(GERMAN)], filters) == ["too_short"]
    assert reasons_to_drop([document(GERMAN)], filters[::-1]) == ["other_language"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=300), max_size=5))
def test_filters_judge_any_text(texts: list[str]) -> None:
    documents = [document(text) for text in texts]
    together = reasons_to_drop(documents, DataConfig().filters)
    assert together == [reasons_to_drop([one], DataConfig().filters)[0] for one in documents]


def test_every_filter_names_columns_that_its_rules_can_be_evaluated_over() -> None:
    settings_needed = {"rule": {"reason": "long", "drop_when": "characters > 5"}}
    for name in FILTERS.names():
        if name != "classifier":  # its columns are those of a trained model
            check_rules([FILTERS.load(name)(type=name, **settings_needed.get(name, {}))])  # pyright: ignore


def test_an_unknown_filter_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"Unknown filter 'gohper'\. Did you mean 'gopher'\? Available: "):
        DataConfig(filters=[{"type": "gohper"}])
    with pytest.raises(ValueError, match=r"Unknown source 'fils'\. Did you mean 'files'\?"):
        DataConfig(sources=[{"type": "fils", "path": "x"}])
    with pytest.raises(ValueError, match="two sources are called 'chitchat'; give each its own 'name'"):
        DataConfig(sources=[{"type": "chitchat"}, {"type": "chitchat"}])
