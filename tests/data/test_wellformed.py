from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.data.document import Message, document_id
from towpath.data.wellformed import gate, malformation, read_utf8, repair

from .conftest import document


@pytest.mark.parametrize(
    ("text", "reason", "repaired"),
    [
        ("plain", None, "plain"),
        ("naïve 東京 🙂", None, "naïve 東京 🙂"),
        ("a\0b", "nul_byte", "a\\x00b"),
        ("a\ud800b", "lone_surrogate", "a\\ud800b"),
        (read_utf8(b"caf\xe9 \xff"), "invalid_utf8", "caf\\xe9 \\xff"),
        (read_utf8(b"\xe6\x9d") + "\ud800", "lone_surrogate", "\\xe6\\x9d\\ud800"),
    ],
)
def test_malformed_text_is_named_and_spelled_out(text: str, reason: str | None, repaired: str) -> None:
    checked, found = gate(document(text))
    assert (checked.text, found) == (repaired, reason)


@given(st.text(st.characters(exclude_categories=()), max_size=50))
def test_repaired_text_is_well_formed_and_keeps_what_was_whole(text: str) -> None:
    repaired = repair(text)
    repaired.encode()
    assert malformation(repaired) is None
    assert (repaired == text) == (malformation(text) is None)


@given(st.binary(max_size=60))
def test_every_byte_string_can_be_read_and_repaired(raw: bytes) -> None:
    checked, reason = gate(document(read_utf8(raw)))
    assert (reason is None) == (b"\0" not in raw and raw.decode("utf-8", "ignore").encode() == raw)
    checked.text.encode()


def test_a_malformed_turn_drops_the_chat_and_a_malformed_path_only_gets_repaired() -> None:
    chat = document("fine", messages=(Message("user", "fine"), Message("assistant", "a\0b")))
    checked, reason = gate(chat)
    assert reason == "nul_byte"
    assert checked.messages == (Message("user", "fine"), Message("assistant", "a\\x00b"))
    checked, reason = gate(document("fine", path="caf\udce9.txt"))
    assert (checked.path, reason) == ("caf\\xe9.txt", None)


def test_an_id_is_a_function_of_source_place_and_offset() -> None:
    assert document_id("books", "a.txt", 10) == document_id("books", "a.txt", 10)
    ids = {
        document_id(*place) for place in [("books", "a.txt", 10), ("web", "a.txt", 10), ("books", "a.txt", 0)]
    }
    assert len(ids) == 3
    assert all(len(identifier) == 32 and int(identifier, 16) >= 0 for identifier in ids)
