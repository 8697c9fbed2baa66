from __future__ import annotations

import gzip
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from towpath.core.errors import DataError
from towpath.data.document import Document, Rejected
from towpath.data.sources.stack_exchange import StackExchangeSource, licence_of, plain_text


def read(path: Path, **fields: Any) -> list[Document | Rejected]:
    return list(StackExchangeSource(path=str(path), **fields).documents())


def row(**facts: str) -> str:
    return "<row " + " ".join(f"{name}={quoteattr(value)}" for name, value in facts.items()) + "/>"


def dump(path: Path, rows: list[str]) -> Path:
    path.write_text('<?xml version="1.0"?>\n<posts>\n' + "\n".join(rows) + "\n</posts>\n")
    return path


QUESTION = row(Id="1", PostTypeId="1", AcceptedAnswerId="3", Title="Why?", Body="<p>I ask.</p>", Score="2",
               CreationDate="2012-01-01T00:00:00.000", Tags="<a><b-c>")  # fmt: skip
ANSWERS = [
    row(Id=number, PostTypeId="2", ParentId="1", Body=f"<p>{body}</p>", Score=score, CreationDate=date)
    for number, body, score, date in [
        ("2", "Well liked", "9", "2019-01-01T00:00:00.000"),
        ("3", "Accepted", "1", "2012-01-02T00:00:00.000"),
        ("4", "Disliked", "-3", "2012-01-03T00:00:00.000"),
    ]
]


def test_every_question_of_the_real_dump_has_its_answers(shared_data: Path) -> None:
    path = shared_data / "raw/stackexchange/beer.Posts.xml.gz"
    raw = gzip.decompress(path.read_bytes())
    rows = [item.attrib for item in ElementTree.fromstring(raw)]
    questions = [item for item in rows if item["PostTypeId"] == "1"]
    found = read(path)
    assert len(found) == len(questions)
    for item, question in zip(found, questions, strict=True):
        assert isinstance(item, Document)
        answers = [one for one in rows if one.get("ParentId") == question["Id"]]
        assert item.text.count("\n\nA: ") >= len(answers) == item.meta["n_answers"]
        assert item.text.startswith(f"Q: {question['Title']}")
        assert item.url == f"https://beer.stackexchange.com/questions/{question['Id']}"
        assert raw[item.byte_offset :].startswith(f'<row Id="{question["Id"]}"'.encode())
        assert item.licence in ("CC-BY-SA-3.0", "CC-BY-SA-4.0")
        if item.meta["accepted"]:
            accepted = next(one for one in answers if one["Id"] == question["AcceptedAnswerId"])
            assert item.text.partition("\n\nA: ")[2].startswith(plain_text(accepted["Body"]))


def test_the_accepted_answer_comes_first_and_then_the_others_by_score(tmp_path: Path) -> None:
    path = dump(tmp_path / "site.Posts.xml", [ANSWERS[2], QUESTION, ANSWERS[0], ANSWERS[1]])
    (found,) = read(path)
    assert isinstance(found, Document)
    assert found.text == "Q: Why?\n\nI ask.\n\nA: Accepted\n\nA: Well liked\n\nA: Disliked"
    assert found.licence == "CC-BY-SA-3.0 AND CC-BY-SA-4.0"
    assert found.meta == {
        "site": "site.stackexchange.com",
        "score": 2,
        "tags": "a, b-c",
        "n_answers": 3,
        "accepted": True,
    }
    (fewer,) = read(path, min_answer_score=2)
    assert isinstance(fewer, Document)
    assert fewer.text.endswith("A: Accepted\n\nA: Well liked")
    (one,) = read(path, max_answers=1)
    assert isinstance(one, Document)
    assert one.text.endswith("I ask.\n\nA: Accepted")
    assert read(path, min_score=3) == []
    assert read(path, min_answers=4) == []


def test_code_is_kept_as_it_is_written() -> None:
    assert plain_text("<p>Try:</p><pre><code>if x &lt; 1:\n    y()\n</code></pre><p>Done.</p>") == (
        "Try:\n\nif x < 1:\n    y()\n\nDone."
    )


@pytest.mark.parametrize(
    ("date", "stated", "licence"),
    [
        ("2011-04-07T23:59:59", "", "CC-BY-SA-2.5"),
        ("2011-04-08T00:00:00", "", "CC-BY-SA-3.0"),
        ("2018-05-01T23:59:59", "", "CC-BY-SA-3.0"),
        ("2018-05-02T00:00:00", "", "CC-BY-SA-4.0"),
        ("2018-05-02T00:00:00", "CC BY-SA 3.0", "CC-BY-SA-3.0"),
    ],
)
def test_the_licence_follows_the_date_unless_the_dump_names_it(date: str, stated: str, licence: str) -> None:
    assert licence_of([(date, stated)]) == licence


def test_an_answer_without_its_question_is_rejected(tmp_path: Path) -> None:
    path = dump(tmp_path / "Posts.xml", ANSWERS[:1])
    (found,) = read(path, site="stackoverflow")
    assert isinstance(found, Rejected)
    assert found.reason == "no_question"
    assert found.document.text == "<p>Well liked</p>"


def test_a_dump_that_is_cut_short_is_read_to_the_cut(tmp_path: Path) -> None:
    path = dump(tmp_path / "Posts.xml", [QUESTION, *ANSWERS])
    raw = path.read_bytes()
    path.write_bytes(raw[: raw.index(b"Disliked")])
    question, cut = read(path, site="stackoverflow")
    assert isinstance(question, Document)
    assert question.url == "https://stackoverflow.com/questions/1"
    assert question.meta["n_answers"] == 2
    assert isinstance(cut, Rejected)
    assert cut.reason == "truncated_file"


def test_what_is_no_dump_is_named(tmp_path: Path) -> None:
    path = tmp_path / "Posts.xml"
    path.write_text("hello")
    with pytest.raises(DataError, match=r"Posts\.xml is not a Stack Exchange dump"):
        read(path)
    path.write_text('<!DOCTYPE a [<!ENTITY b "&c;&c;">]><posts>&b;</posts>')
    with pytest.raises(DataError, match=r"Posts\.xml: .*entity"):
        read(path)
    (tmp_path / "site.7z").write_bytes(b"7z")
    with pytest.raises(DataError, match="7z x -so"):
        read(tmp_path / "site.7z")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=30), st.integers(0, 900), st.integers(0, 30))
def test_any_bytes_give_documents_and_rejected_records(
    tmp_path: Path, noise: bytes, at: int, taken: int
) -> None:
    path = dump(tmp_path / "Posts.xml", [QUESTION, *ANSWERS])
    raw = path.read_bytes()
    path.write_bytes(raw[:at] + noise + raw[at + taken :])
    with suppress(DataError):
        assert all(isinstance(item, Document | Rejected) for item in read(path))


def test_an_encoding_that_nobody_knows_is_damage_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.Posts.xml"
    path.write_text('<?xml version="1.0" encoding="utf-6"?><posts></posts>')
    with pytest.raises(DataError, match=r"x\.Posts\.xml is not a Stack Exchange dump: unknown encoding"):
        list(StackExchangeSource(path=str(path)).documents())
