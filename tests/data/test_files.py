from __future__ import annotations

import bz2
import gzip
import io
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from towpath.core.errors import DataError
from towpath.core.files import sha256_of
from towpath.data.document import Document, Message, Rejected
from towpath.data.sources.files import FilesSource, cut
from towpath.data.sources.streams import lines_of, read_lines

from .conftest import WriteLines

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": lambda raw: bz2.compress(raw, 1),
    ".zst": zstandard.compress,
}


def read(path: Path | str, **fields: Any) -> list[Document | Rejected]:
    return list(FilesSource(path=str(path), **fields).documents())


def texts(path: Path | str, **fields: Any) -> list[str]:
    return [item.text for item in read(path, **fields) if isinstance(item, Document)]


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_a_document_is_found_again_by_its_byte_offset(tmp_path: Path, suffix: str) -> None:
    lines = [json.dumps({"text": f"text {number} é"}, ensure_ascii=False).encode() for number in range(5)]
    raw = b"\n\n".join(lines) + b"\n"
    (tmp_path / f"a.jsonl{suffix}").write_bytes(COMPRESSORS[suffix](raw))
    found = read(tmp_path)
    assert [item.text for item in found if isinstance(item, Document)] == [
        f"text {number} é" for number in range(5)
    ]
    for item, line in zip(found, lines, strict=True):
        assert isinstance(item, Document)
        assert item.path == f"a.jsonl{suffix}"
        assert item.byte_offset is not None
        assert raw[item.byte_offset :].startswith(line)


@pytest.mark.parametrize("suffix", [suffix for suffix in COMPRESSORS if suffix])
@pytest.mark.parametrize("kind", ["jsonl", "txt"])
def test_a_truncated_file_is_read_as_far_as_it_goes(tmp_path: Path, suffix: str, kind: str) -> None:
    rows = [json.dumps({"text": f"{number * 7919}"}) for number in range(30_000)]
    whole = COMPRESSORS[suffix]("\n".join(rows).encode())
    path = tmp_path / f"cut.{kind}{suffix}"
    path.write_bytes(whole[: len(whole) * 3 // 4])
    *documents, last = read(path, cut_bytes=1_000)
    assert isinstance(last, Rejected)
    assert last.reason == "truncated_file"
    assert isinstance(documents[-1], Document)
    assert (last.document.byte_offset or 0) > (documents[-1].byte_offset or 0) > 0
    assert isinstance(documents[0], Document)
    assert documents[0].text.startswith("0" if kind == "jsonl" else rows[0])


@pytest.mark.parametrize("suffix", [suffix for suffix in COMPRESSORS if suffix])
def test_a_file_of_which_nothing_can_be_read_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut.jsonl{suffix}"
    path.write_bytes(COMPRESSORS[suffix](b'{"text": "1"}')[:11])
    with pytest.raises(
        DataError, match=rf"cut\.jsonl{suffix} is cut short or damaged: .*Fetch or write the file"
    ):
        read(path)


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_streams_in_a_row_are_one_file(tmp_path: Path, suffix: str) -> None:
    stored = b"".join(COMPRESSORS[suffix](f'{{"text": "{number}"}}\n'.encode()) for number in range(300))
    (tmp_path / f"many.jsonl{suffix}").write_bytes(stored)
    assert texts(tmp_path) == [str(number) for number in range(300)]


def test_a_file_that_needs_a_long_window_is_read_where_that_is_asked_for(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=31)
    path = tmp_path / "long.jsonl.zst"
    with zstandard.open(path, "wb", cctx=zstandard.ZstdCompressor(compression_params=parameters)) as file:
        file.write(b'{"text": "a"}\n' * 100_000)
    with pytest.raises(DataError, match="too much memory"):
        list(read_lines(path))
    assert len(list(read_lines(path, long_windows=True))) == 100_000


def test_a_line_of_50_megabytes_is_rejected_unparsed_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_bytes(b'{"text": "first"}\n{"text": "' + b"[" * 50_000_000 + b'"}\n{"text": "last"}\n')
    started = time.process_time()
    first, long, last = read(path)
    assert time.process_time() - started < 2
    assert isinstance(long, Rejected)
    assert (long.reason, long.document.byte_offset) == ("record_too_long", 18)
    assert len(long.document.text) <= 1 << 16
    assert isinstance(first, Document)
    assert isinstance(last, Document)
    assert last.text == "last"
    assert len(read(path, max_record_bytes=17)) == 3


def test_a_truncated_parquet_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["a" * 100] * 100}), path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match=r"rows\.parquet is cut short or damaged: "):
        read(path)


def test_parquet_rows_are_documents_and_a_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    raw = pa.array([b"one", b"caf\xe9", None], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"body": raw, "url": ["http://a", None, None]}), path)
    first, second, third = read(path, text_field="body")
    assert isinstance(first, Document)
    assert (first.text, first.url, first.path) == ("one", "http://a", "rows.parquet#0")
    assert isinstance(second, Document)
    assert second.text == "caf\udce9"
    assert isinstance(third, Rejected)
    assert third.reason == "no_text"
    with pytest.raises(
        DataError, match=r"has no column 'text'; it has: body, url\. Name the one .* text_field"
    ):
        read(path)


def test_bad_lines_are_rejected_with_reason_and_place_and_the_rest_is_read(json_lines: WriteLines) -> None:
    lines = [
        '{"text": "good"}',
        "{broken",
        '{"body": 1}',
        "[1]",
        '{"text": null}',
        "[" * 100_000,
        '{"text": "end"}',
    ]
    found = read(json_lines("a.jsonl", lines))
    reasons = [item.reason if isinstance(item, Rejected) else None for item in found]
    assert reasons == [None, "bad_json", "no_text", "no_text", "no_text", "bad_json", None]
    rejected = found[1]
    assert isinstance(rejected, Rejected)
    assert (rejected.document.path, rejected.document.byte_offset) == ("a.jsonl", len(lines[0]) + 1)
    assert rejected.document.text == "{broken\n"


def test_chats_are_read_from_messages(json_lines: WriteLines) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    chat, other = read(json_lines("a.jsonl", [{"messages": turns}, {"messages": [{"role": "x"}]}]))
    assert isinstance(chat, Document)
    assert chat.messages == (Message("user", "Hi"), Message("assistant", "Hello"))
    assert chat.text == "Hi\nHello"
    assert isinstance(other, Rejected)


def test_a_long_text_is_cut_at_blank_lines_and_a_separator_ends_a_document(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    raw = b"\xef\xbb\xbfOne.\r\nTwo.\n\nThree.\n<|endoftext|>\nFour.\n"
    path.write_bytes(raw)
    found = [item for item in read(path, cut_bytes=16) if isinstance(item, Document)]
    assert [item.text for item in found] == ["One.\nTwo.\n\n", "Three.\n", "Four.\n"]
    assert [raw[item.byte_offset or 0 :][:4] for item in found] == [b"One.", b"Thre", b"Four"]
    assert texts(path, cut_bytes=6)[:2] == ["One.\n", "Two.\n\n"]
    assert len(texts(path, cut_bytes=None)) == 2
    assert len(texts(path, cut_bytes=None, separator=None)) == 1


@given(
    st.lists(
        st.sampled_from([b"\n", b"a\n", b"some words\n", b"a longer line of words\n", b"%%\n"]), max_size=30
    ),
    st.none() | st.integers(1, 60),
)
def test_cutting_loses_nothing_but_blank_lines_and_separators(
    lines: list[bytes], cut_bytes: int | None
) -> None:
    raw = b"".join(lines)
    pieces = [(piece.byte_offset, piece.raw) for piece in cut(lines_of(io.BytesIO(raw)), b"%%", cut_bytes)]
    for offset, piece in pieces:
        assert raw[offset : offset + len(piece)] == piece
        assert cut_bytes is None or len(piece) <= cut_bytes or b" " not in piece[:cut_bytes]
    words = [word for word in raw.split() if word != b"%%"]
    assert b"\n".join(piece for _, piece in pieces).split() == words


def test_files_are_read_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b/2.txt", "b/1.md", "a.txt", ".hidden.txt", "b/.git/x.txt", "notes.pdf"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    assert texts(tmp_path) == ["a.txt", "b/1.md", "b/2.txt"]
    assert texts(f"{tmp_path}/**/*.txt") == ["a.txt", "b/2.txt"]
    assert [item.path for item in read(f"{tmp_path}/b/*.txt") if isinstance(item, Document)] == ["2.txt"]


def test_paths_that_mean_nothing_are_explained(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    with pytest.raises(
        DataError, match=r"No file matches '.*\*\.txt' \(looked from .*\)\. Expected a file, a folder"
    ):
        read(f"{tmp_path}/*.txt")
    with pytest.raises(DataError, match=r"text does not exist\. Did you mean 'texts'\?"):
        read(tmp_path / "text")
    with pytest.raises(DataError, match="is an empty folder"):
        read(tmp_path / "texts")
    (tmp_path / "texts" / "a.pdf").write_text("x")
    with pytest.raises(
        DataError, match=r"holds no file that can be read\. .* of \.txt, \.md, \.jsonl, \.parquet"
    ):
        read(tmp_path / "texts")


def test_the_fingerprint_depends_on_content_and_names_and_not_on_the_folder(tmp_path: Path) -> None:
    prints = []
    for folder, name, text in [
        ("x", "a.txt", "1"),
        ("y", "a.txt", "1"),
        ("z", "b.txt", "1"),
        ("w", "a.txt", "2"),
    ]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text)
        prints.append(FilesSource(path=str(tmp_path / folder)).fingerprint(sha256_of))
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.binary(max_size=40) | st.sampled_from([b'{"text": "a"}\n', b"\n", b"[1]\n", b'{"text": ['])
    ).map(b"".join),
    st.sampled_from(sorted(COMPRESSORS)),
    st.sampled_from(["jsonl", "txt", "parquet"]),
    st.booleans(),
)
def test_any_bytes_give_documents_and_rejected_records(
    tmp_path: Path, raw: bytes, suffix: str, kind: str, compressed: bool
) -> None:
    path = tmp_path / f"any.{kind}{suffix}"
    path.write_bytes(COMPRESSORS[suffix](raw) if compressed else raw)
    with suppress(DataError):
        found = read(path)
        if compressed and kind == "jsonl":
            assert len(found) == sum(bool(line.strip()) for line in raw.split(b"\n"))
    path.unlink()
