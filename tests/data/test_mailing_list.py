from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from towpath.core.errors import DataError
from towpath.data.document import Document, Rejected
from towpath.data.sources.forum import MailingListSource


def mail(own: str, body: str, parent: str = "", subject: str = "Boats", day: int = 1) -> str:
    reply = f"In-Reply-To: <{parent}@x>\n" if parent else ""
    return (
        f"From ann at example.org Mon Jan  {day} 10:00:00 2007\nFrom: ann at example.org (Ann)\n"
        f"Date: Mon, 0{day} Jan 2007 10:00:00 +0100\nSubject: [list] {subject}\n"
        f"Message-ID: <{own}@x>\n{reply}"
        f"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{body}\n\n"
    )


def read(path: Path, **fields: Any) -> list[Document | Rejected]:
    return list(MailingListSource(path=str(path), **fields).documents())


THREADS = (
    mail("1", "How long is a barge? Café.\n-- \nAnn\nDirector")
    + mail("2", "Unrelated.\n\nFrom here on it is a line.", subject="Locks")
    + mail("3", "> How long is a barge?\n21 metres.", "1", "Re: Boats", day=2)
    + mail("4", "On Tuesday, Bob wrote:\n> 21 metres.\nThanks.", "3", "Re: Boats", day=3)
)


def test_threads_are_rebuilt_without_quotes_and_signatures(tmp_path: Path) -> None:
    path = tmp_path / "2007-January.txt"
    path.write_text(THREADS)
    boats, locks = read(path)
    assert isinstance(boats, Document)
    assert boats.text == "Boats\n\nHow long is a barge? Café.\n\n21 metres.\n\nThanks."
    assert (boats.date, boats.meta) == ("2007-01-01T09:00:00+00:00", {"n_messages": 3})
    assert isinstance(locks, Document)
    assert locks.text == "Locks\n\nUnrelated.\n\nFrom here on it is a line."
    assert path.read_bytes()[locks.byte_offset :].startswith(b"From ann")
    quoted = read(path, keep_quotes=True)[0]
    assert isinstance(quoted, Document)
    assert "> 21 metres." in quoted.text


def test_what_is_no_message_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.mbox").write_text("no mail\n\n" + mail("1", "x" * 3_000) + mail("2", "> only a quote"))
    found = read(tmp_path, max_message_bytes=2_000)
    assert [item.reason for item in found if isinstance(item, Rejected)] == [
        *("no_message", "record_too_long", "no_text"),
    ]
    assert len(found) == 3


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60), st.integers(0, 1_200), st.integers(0, 60))
def test_any_bytes_give_threads_and_rejected_records(
    tmp_path: Path, noise: bytes, at: int, taken: int
) -> None:
    raw = THREADS.encode()
    (tmp_path / "a.mbox").write_bytes(raw[:at] + noise + raw[at + taken :])
    with suppress(DataError):
        found = read(tmp_path)
        assert found
        assert all(isinstance(item, Document | Rejected) for item in found)
