"""A dump of many bzip2 streams is read in ranges, and gives what it gives when it is read in one go."""

from __future__ import annotations

import bz2
import re
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.artifacts import Store
from towpath.core.errors import DataError
from towpath.data import DataConfig, reading
from towpath.data.document import Document, Rejected
from towpath.data.parts import part_paths, read_table
from towpath.data.reading import make_records
from towpath.data.sources import multistream
from towpath.data.sources.multistream import read_range
from towpath.data.sources.wikipedia import WikipediaSource

from .test_wikipedia import SITE, page

HEADER = f"<mediawiki>\n  {SITE}\n"
END = "</mediawiki>"


def streams_of(n_streams: int, pages_each: int = 3) -> list[str]:
    """The content of each stream of a dump: its header, pages, its end."""
    groups = [
        "".join(
            "  " + page(f"Seite {number} {inner}", f"Text {number} [[Datei:x.jpg|mini]] {inner}." * 4)
            for inner in range(pages_each)
        )
        for number in range(n_streams)
    ]
    return [HEADER, *groups, END]


def written(path: Path, streams: Sequence[str]) -> list[int]:
    """Write ``streams`` to ``path``; where each starts."""
    stored = [bz2.compress(stream.encode()) for stream in streams]
    path.write_bytes(b"".join(stored))
    return [sum(map(len, stored[:number])) for number in range(len(stored))]


@pytest.fixture
def ranges_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set the size of ranges."""
    return lambda size_bytes: monkeypatch.setattr(multistream, "RANGE_BYTES", size_bytes)


def read(path: Path) -> list[Document | Rejected]:
    return list(WikipediaSource(path=str(path)).documents())


@pytest.mark.parametrize("range_bytes", [1, 300, 900, 5_000])
def test_ranges_give_what_one_go_gives(
    range_bytes: int, tmp_path: Path, ranges_of: Callable[[int], None]
) -> None:
    path = tmp_path / "dump.xml.bz2"
    starts = written(path, streams_of(12))
    whole = read(path)
    assert len(whole) == 36
    assert {item.byte_offset for item in whole if isinstance(item, Document)} == set(starts[1:-1])
    ranges_of(range_bytes)
    pieces = WikipediaSource(path=str(path)).pieces()
    spans = [piece.span for piece in pieces if piece.span]
    assert [start for start, _ in spans] == [0, *(stop for _, stop in spans[:-1])]
    assert sum(piece.size_bytes for piece in pieces) == path.stat().st_size
    assert len(pieces) == {1: 13, 300: 7, 900: 4, 5_000: 1}[range_bytes]
    assert all(start in starts for start, _ in spans)
    assert read(path) == whole


def test_places_found_are_those_of_the_index_of_the_dump(
    tmp_path: Path, ranges_of: Callable[[int], None]
) -> None:
    path = tmp_path / "dump.xml.bz2"
    starts = written(path, streams_of(9))
    index = [f"{start}:{number}:Seite {number} 0" for number, start in enumerate(starts[1:-1])]
    ranges_of(1)
    found = [start for start, _ in multistream.ranges(path)]
    assert found == [0, *(int(line.split(":")[0]) for line in index)]


@pytest.mark.parametrize(
    "streams",
    [
        ["".join(streams_of(9))],
        re.findall(r"(?s).{1,900}", "".join(streams_of(9))),  # cut anywhere, as by pbzip2
        [HEADER + streams_of(9)[1], *streams_of(9)[2:]],  # pages in the first stream
        [HEADER, "", END],
    ],
)
def test_other_dumps_are_one_piece(
    streams: list[str], tmp_path: Path, ranges_of: Callable[[int], None]
) -> None:
    path = tmp_path / "dump.xml.bz2"
    written(path, streams)
    texts = [item.text for item in read(path) if isinstance(item, Document)]
    ranges_of(1)
    assert multistream.ranges(path) == [(0, path.stat().st_size)]
    assert [item.text for item in read(path) if isinstance(item, Document)] == texts
    assert len(texts) == (27 if len(streams) != 3 else 0)


def test_signs_of_a_stream_inside_one_are_no_start(tmp_path: Path, ranges_of: Callable[[int], None]) -> None:
    path = tmp_path / "dump.xml.bz2"
    stored = [bz2.compress(stream.encode()) for stream in streams_of(3)]
    signs = b"BZh91AY&SY" + b"<page>" * 9
    path.write_bytes(b"".join([*stored[:2], signs, *stored[2:]]))  # damage that looks like a start
    ranges_of(1)
    assert [start for start, _ in multistream.ranges(path)] == [
        0,
        len(stored[0]),
        len(b"".join(stored[:2])) + len(signs),
        len(b"".join(stored[:3])) + len(signs),
    ]
    found = read(path)
    assert [type(item) for item in found] == [Document] * 3 + [Rejected] + [Document] * 6
    [damaged] = [item for item in found if isinstance(item, Rejected)]
    assert damaged.reason == "damaged_file"


def test_a_dump_that_was_cut_short_gives_its_whole_articles_and_says_so(
    tmp_path: Path, ranges_of: Callable[[int], None]
) -> None:
    path = tmp_path / "dump.xml.bz2"
    starts = written(path, streams_of(6))
    content = path.read_bytes()
    path.write_bytes(content[: starts[6] + 40])
    whole = read(path)
    ranges_of(1)
    parts = read(path)
    for found in (whole, parts):
        *articles, cut = found
        assert [type(item) for item in articles] == [Document] * 15
        assert isinstance(cut, Rejected)
        assert cut.reason == "truncated_file"
    assert [item for item in parts if isinstance(item, Document)] == whole[:-1]
    path.write_bytes(content[: starts[1] - 9])
    with pytest.raises(DataError, match="cut short or damaged"):
        read(path)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(0, 50), st.data())
def test_ranges_of_any_streams_hold_every_byte_once(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes], n_zeros: int, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("streams") / "any.bz2"
    stored = [bz2.compress(content) for content in contents]
    path.write_bytes(b"".join(stored) + b"\0" * n_zeros)
    middle = data.draw(st.integers(0, path.stat().st_size))
    starts = [sum(map(len, stored[:number])) for number in range(len(stored))]
    middle = min([start for start in starts if start >= middle], default=path.stat().st_size)
    chunks = [*read_range(path, 0, middle), *read_range(path, middle, path.stat().st_size)]
    assert b"".join(chunk.content for chunk in chunks) == b"".join(contents)
    assert {chunk.stream for chunk in chunks} <= set(starts)


def test_workers_share_a_dump(
    store: Store, tmp_path: Path, ranges_of: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "dump.xml.bz2"
    written(path, streams_of(12))
    ranges_of(900)
    tasks: list[int] = []
    original = reading.read_task

    def seen(task: reading.Task) -> list[reading.Part]:
        tasks.append(task.number)
        return original(task)

    monkeypatch.setattr(reading, "read_task", seen)
    monkeypatch.setattr("towpath.data.engine.each", lambda function, items: map(function, items))
    config = DataConfig(sources=[{"type": "wikipedia", "path": str(path)}], part_bytes=1_000)
    records = make_records(store, config.sources[0], config, "x")
    assert len(tasks) == 4
    ids = [value for part in part_paths(records.path) for value in read_table(part, ["id"])["id"].to_pylist()]
    assert ids == [item.id for item in read(path) if isinstance(item, Document)]


def test_the_real_sample_as_a_multistream_dump(
    shared_data: Path, tmp_path: Path, ranges_of: Callable[[int], None]
) -> None:
    sample = shared_data / "raw" / "wikipedia" / "enwiki-pages-articles-shortened.xml.bz2"
    header, *pages = re.split(r"(?=  <page>)", bz2.decompress(sample.read_bytes()).decode())
    groups = ["".join(pages[start : start + 10]) for start in range(0, 50, 10)]
    path = tmp_path / "multistream.xml.bz2"
    written(path, [header, *groups, "</mediawiki>"])
    whole = read(path)
    ranges_of(20_000)
    assert len(multistream.ranges(path)) > 2
    assert read(path) == whole
    texts = [item.text for item in whole if isinstance(item, Document)]
    articles = islice(WikipediaSource(path=str(sample)).documents(), len(texts))
    assert texts == [item.text for item in articles if isinstance(item, Document)]
