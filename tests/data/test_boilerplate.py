from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.data.cleaners.boilerplate import BoilerplateConfig

from .conftest import prose

MENU = "Home\nNews\nLocal Sports\nWeather\nAbout us\nContact\nLog in\nSearch"


def cleaned(text: str, **fields: object) -> tuple[str, int]:
    result = BoilerplateConfig(**fields).clean(pa.array([text], pa.large_string()))
    return result.texts[0].as_py(), int(result.n_edits[0])


@pytest.mark.parametrize(
    "line",
    [
        "Please enable JavaScript to go on.",
        "This site uses cookies.",
        "Read our Privacy Policy.",
        "Lorem ipsum dolor",
        "x" * 1001,
    ],
)
def test_a_line_of_the_frame_goes_and_the_text_stays(line: str) -> None:
    assert cleaned(f"{prose(1)}\n{line}\n{prose(2)}") == (f"{prose(1)}\n{prose(2)}", 1)


def test_menus_go_and_short_lines_of_a_poem_or_letter_stay() -> None:
    assert cleaned(f"{MENU}\n\n{prose(1)}") == (prose(1), 8)
    few = "\n".join(MENU.split("\n")[:7])
    assert cleaned(f"{few}\n{prose(1)}")[1] == 0
    poem = "So much depends\nupon\n\na red wheel\nbarrow\n\nglazed with rain\nwater,"
    assert cleaned(poem) == (poem, 0)


def test_empty_lines_inside_a_menu_do_not_save_it_but_a_sentence_parts_two() -> None:
    assert cleaned(MENU.replace("\n", "\n\n"))[1] == 8
    half = "\n".join(MENU.split("\n")[:4])
    assert cleaned(f"{half}\nThis is a sentence of its own.\n{half}")[1] == 0


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"javascript_lines": False}, "About JavaScript."),
        ({"policy_lines": False}, "Our cookie policy."),
        ({"policy_phrases": ("sign up",)}, "Our cookie policy."),
        ({"lorem_ipsum_lines": False}, "Lorem ipsum."),
        ({"max_word_chars": None}, "x" * 2_000),
        ({"min_menu_lines": None}, MENU),
        ({}, "int main() { return 0; }"),
        ({}, "A heading without a full stop"),
    ],
)
def test_each_rule_can_be_switched(fields: dict[str, object], line: str) -> None:
    assert cleaned(f"{prose(1)}\n{line}", **fields)[1] == 0


def test_the_rules_of_c4_that_cut_headings_and_code_are_there_when_asked_for() -> None:
    text = f"A heading of some words\n{prose(1)}\nToo short.\nint x = {{1}}; it is code."
    assert cleaned(text, only_terminated_lines=True)[0].startswith(prose(1))
    assert "Too short." not in cleaned(text, min_line_words=5)[0]
    assert "int x" not in cleaned(text, curly_bracket_lines=True)[0]


def test_a_text_of_nothing_else_becomes_empty() -> None:
    assert cleaned("We use cookies.\n" + MENU) == ("", 9)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.sampled_from(["", "Home", "use cookies", "A sentence stands here.", "javascript", "  "]),
        max_size=30,
    )
)
def test_what_is_left_are_lines_of_the_text_in_their_order(
    lines: list[str],
) -> None:
    numbered = [f"{line} {number}" if line.strip() else line for number, line in enumerate(lines)]
    text, n_edits = cleaned("\n".join(numbered))
    kept = [line for line in text.split("\n") if line.strip()]
    assert kept == [line for line in numbered if line in kept]
    assert len(kept) + n_edits >= sum(bool(line.strip()) for line in lines)
    assert n_edits or text == "\n".join(numbered)


def test_gold_articles_keep_their_lines(shared_data: Path) -> None:
    gold = json.loads((shared_data / "raw/web_html/ground_truth.json").read_text("utf-8"))
    texts = [page["articleBody"] for page in gold.values()]
    result = BoilerplateConfig().clean(pa.array(texts, pa.large_string()))
    lines = sum(text.count("\n") + 1 for text in texts)
    assert result.n_edits.sum() / lines < 0.01  # 23 of 4,104: votes in a list
    assert (result.n_edits > 0).sum() <= 1
