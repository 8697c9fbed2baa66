from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from towpath.core.errors import DataError
from towpath.data.document import Document, Rejected
from towpath.data.sources.literature import LiteratureSource, form_of, shaped

POEM = """Tyger Tyger, burning bright,
In the forests of the night;
What immortal hand or eye,
Could frame thy fearful symmetry?

In what distant deeps or skies,
Burnt the fire of thine eyes?
"""
PLAY = """ACT I
SCENE I. Elsinore. A platform before the castle.

FRANCISCO at his post. Enter to him BERNARDO

BERNARDO
Who's there?

FRANCISCO
Nay, answer me: stand, and unfold yourself.
"""
PROSE = """It was the best of times, it was the worst of times, it was the age
of wisdom, it was the age of foolishness, it was the epoch of belief,
it was the epoch of incredulity, it was the season of Light, it was
the season of Darkness.

There were a king with a large jaw and a queen with a plain face, on
the throne of England.
"""


def read(path: Path, **fields: Any) -> list[Document]:
    return [
        item for item in LiteratureSource(path=str(path), **fields).documents() if isinstance(item, Document)
    ]


def test_forms_are_told_by_the_shape_of_lines() -> None:
    assert [form_of(text) for text in (POEM, PLAY, PROSE, "", "One line.")] == [
        *("poem", "script", "story", "story", "story"),
    ]


def test_prose_is_joined_and_verse_and_scripts_keep_their_lines() -> None:
    first, second = shaped(PROSE, "story").split("\n\n")
    assert "age of wisdom, it" in first
    assert "\n" not in first + second
    assert shaped(POEM, "poem") == POEM.strip()
    assert "BERNARDO\nWho's there?\n\nFRANCISCO\nNay" in shaped(PLAY + "\n\n\n", "script")


def test_real_books_and_stories_are_prose(shared_data: Path) -> None:
    book = read(shared_data / "pretrain/books/austen_northangerabbey.txt")
    assert {item.meta["form"] for item in book} == {"story"}
    raw = (shared_data / "pretrain/books/austen_northangerabbey.txt").read_text()
    assert "".join(item.text for item in book).split() != []
    assert sum(len(item.text.split()) for item in book) == len(raw.split())
    stories = read(shared_data / "pretrain/stories/tinystories.txt")
    assert len(stories) >= 1_900
    kinds = [item.meta["form"] for item in stories]
    assert kinds.count("story") / len(kinds) > 0.97


def test_a_form_can_be_set_and_documents_carry_their_place(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(PROSE + "<|endoftext|>\n" + POEM)
    prose, poem = read(path)
    assert (prose.meta["form"], poem.meta["form"]) == ("story", "poem")
    assert path.read_text()[poem.byte_offset :].startswith("Tyger")
    assert read(path, form="poem")[0].text == PROSE.strip()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text(max_size=20) | st.sampled_from(["ACT I\n", "HAMLET.\n", "\n", "A: b\n"])).map("".join)
)
def test_any_text_keeps_its_words(tmp_path: Path, text: str) -> None:
    for form in ("story", "poem", "script"):
        assert shaped(text, form).split() == text.split()
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(DataError):
        found = list(LiteratureSource(path=str(path)).documents())
        assert all(isinstance(item, Document | Rejected) for item in found)
        assert json.dumps([str(item) for item in found])
