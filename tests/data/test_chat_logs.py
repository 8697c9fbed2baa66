from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from towpath.core.errors import DataError
from towpath.data.document import Document, Rejected
from towpath.data.sources.irc import IrcSource, parse


def read(path: Path, **fields: Any) -> list[Document | Rejected]:
    return list(IrcSource(path=str(path), **fields).documents())


def log(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_every_line_that_somebody_wrote_in_the_real_logs_is_kept(shared_data: Path) -> None:
    for path in sorted((shared_data / "raw/irc").glob("*.txt"))[::6]:
        raw = path.read_bytes()
        expected = re.findall(rb"(?m)^\[\d\d:\d\d\] <\S+> .*\S", raw)
        found = [item for item in read(path, pseudonyms=False, min_lines=1) if isinstance(item, Document)]
        lines = [line for item in found for line in item.text.split("\n")]
        assert [line for line in lines if line.startswith("<")] == [
            line.decode()[8:].rstrip() for line in expected
        ]
        assert not [line for line in lines if "has joined" in line and line.startswith("*")]
        assert all(raw[item.byte_offset :][:1] in (b"[", b"=") for item in found)


def test_a_silence_cuts_the_log(tmp_path: Path) -> None:
    lines = [
        "[23:50] <ann> one",
        "[23:59] <bob> two",
        "[00:10] <ann> three",
        "[01:00] <ann> four",
        "[01:05] <bob> five",
    ]
    path = log(tmp_path / "a.txt", *lines)
    assert [item.text.count("\n") + 1 for item in read(path) if isinstance(item, Document)] == [3, 2]
    assert len(read(path, silence_minutes=5)) == 5
    short = read(path, max_lines=2)
    assert [item.reason if isinstance(item, Rejected) else None for item in short] == [
        None,
        "too_few_lines",
        None,
    ]


@pytest.mark.parametrize(
    ("line", "nick", "text", "minute"),
    [
        ("[12:34] <nick> some text", "nick", "some text", 754),
        ("[12:34:56] <+nick> a", "nick", "a", 754),
        ("12:34 <@nick> a", "nick", "a", 754),
        ("12:34 < nick> a", "nick", "a", 754),
        ("Jan 01 12:34:56 <nick>\ta", "nick", "a", 754),
        ("2020-01-31 12:34:56\t@nick\ta", "nick", "a", 754),
        ("<nick> a", "nick", "a", None),
    ],
)
def test_lines_of_common_clients_are_known(line: str, nick: str, text: str, minute: int | None) -> None:
    said = parse(line)
    assert said is not None
    assert (said.nick, said.text, said.minute, said.is_action) == (nick, text, minute, False)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("=== nick waves", "waves"),
        ("[12:34] * nick waves", "waves"),
        ("12:34  * nick waves", "waves"),
        ("2020-01-31 12:34:56\t *\tnick waves", "waves"),
        ("=== nick [~a@example.org]  has joined #ubuntu", None),
        ("=== nick is now known as nack", None),
        ("12:34 -!- nick [~a@example.org] has quit [Ping timeout]", None),
        ("--- Day changed Mon Jan 01 2007", None),
        ("2020-01-31 12:34:56\t-->\tnick (~a@example.org) has joined #a", None),
        ("2020-01-31 12:34:56\t--\tMode #a [+o nick]", None),
        ("**** BEGIN LOGGING AT Mon Jan  1 00:00:00 2007", None),
        ("[12:34] <nick> ", None),
        ("", None),
    ],
)
def test_actions_are_kept_and_what_the_channel_says_is_not(line: str, text: str | None) -> None:
    said = parse(line)
    assert (said.text if said else None) == text
    assert said is None or (said.nick, said.is_action) == ("nick", True)


def test_names_become_the_same_pseudonyms_each_time(tmp_path: Path) -> None:
    lines = [
        "[10:00] <Anna> bob: hello annals",
        "[10:01] <bob> Anna, so",
        "=== Anna greets bob",
        "[10:02] <it> is it",
    ]
    path = log(tmp_path / "a.log", *lines)
    (found,) = read(path)
    assert isinstance(found, Document)
    assert found.text.split("\n") == [
        "<user1> user2: hello annals",
        "<user2> user1, so",
        "* user1 greets user2",
        "<user3> is it",
    ]
    assert found.meta == {"n_lines": 4, "n_people": 3}
    (plain,) = read(path, pseudonyms=False)
    assert isinstance(plain, Document)
    assert plain.text.startswith("<Anna> bob: hello annals\n")


def test_old_encodings_and_logs_without_messages(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"[10:00] <a> caf\xe9\n[10:00] <b> \xc3\xa9\n")
    (tmp_path / "b.txt").write_bytes(b"nothing here\n")
    cafe, nothing = read(tmp_path)
    assert isinstance(cafe, Document)
    assert cafe.text == "<user1> café\n<user2> é"
    assert isinstance(nothing, Rejected)
    assert nothing.reason == "no_messages"


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.binary(max_size=30)
        | st.sampled_from([b"[10:00] <a> hi", b"=== a waves", b"99:99\t*\t", b"[23:59] <b> a a"])
    ).map(b"\n".join)
)
def test_any_bytes_give_documents_and_rejected_records(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "a.log").write_bytes(raw)
    with suppress(DataError):
        found = read(tmp_path)
        assert found
        assert all(isinstance(item, Document | Rejected) for item in found)
