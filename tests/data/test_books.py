from __future__ import annotations

import gzip
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.errors import DataError
from towpath.data.document import Document, Rejected
from towpath.data.sources.books import BooksSource
from towpath.data.sources.chapters import chapters

LONG = "It was a long time before anybody spoke of the boat again. " * 10
BOOK = (
    "The Project Gutenberg EBook of A Boat\n\nTitle: A Boat\nAuthor: N. N.\n\n"
    "*** START OF THIS PROJECT GUTENBERG EBOOK A BOAT ***\nProduced by nobody\n\n\n"
    f"CHAPTER I\nCHAPTER II\n\nCHAPTER I\n\n{LONG}\n\nCHAPTER II\n\nCafé. {LONG}\n\n"
    "End of the Project Gutenberg EBook of A Boat\nlicence text"
)
CONTAINER = '<container><rootfiles><rootfile full-path="O/b.opf"/></rootfiles></container>'
PACKAGE = """<package xmlns:dc="x"><metadata><dc:title>A Boat</dc:title>
<dc:creator>N. N.</dc:creator></metadata>
<manifest><item id="a" href="a%20b.xhtml" media-type="application/xhtml+xml"/>
<item id="b" href="../../etc/b.xhtml" media-type="application/xhtml+xml"/>
<item id="c" href="c.xhtml" media-type="application/xhtml+xml"/></manifest>
<spine><itemref idref="c"/><itemref idref="b"/><itemref idref="a"/><itemref idref="a"/></spine></package>"""


def epub(
    path: Path, package: str = PACKAGE, page: str = "<html><body><p>Last page.</p></body></html>"
) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr("O/b.opf", package)
        archive.writestr("O/a b.xhtml", page)
        archive.writestr("O/c.xhtml", "<html><body><h1>One</h1><p>First <b>page</b>.</p></body></html>")
    return path


def read(path: Path, **settings: object) -> list[Document | Rejected]:
    return list(BooksSource.model_validate({"path": str(path), **settings}).documents())


def test_a_gutenberg_book_becomes_its_chapters_without_the_frame(tmp_path: Path) -> None:
    for name, raw in {"a.txt": BOOK.encode(), "b.txt": BOOK.replace("\n", "\r\n").encode("cp1252")}.items():
        (tmp_path / name).write_bytes(raw)
        first, second = (item for item in read(tmp_path / name) if isinstance(item, Document))
        assert first.text == f"CHAPTER I\nCHAPTER II\n\nCHAPTER I\n\n{LONG.strip()}"
        assert second.text == f"CHAPTER II\n\nCafé. {LONG.strip()}"
        assert second.meta == {"title": "A Boat", "author": "N. N.", "chapter": "CHAPTER II"}
        assert second.byte_offset is not None
        assert raw[second.byte_offset :].startswith(
            b"CHAPTER II\r\n\r\nCaf" if name == "b.txt" else b"CHAPTER II\n\nCaf"
        )


def test_a_real_book_is_cut_into_bounded_chapters_that_lose_nothing(shared_data: Path) -> None:
    path = shared_data / "pretrain" / "books" / "austen_prideprejudice.txt"
    found = [item for item in read(path) if isinstance(item, Document)]
    assert len(found) == 62  # the title page and 61 chapters
    assert "".join("".join(item.text for item in found).split()) == "".join(path.read_text().split())
    small = read(path, max_chars=2_000)
    assert max(len(item.text) for item in small if isinstance(item, Document)) <= 2_000


def test_an_epub_is_read_in_the_order_of_its_spine_and_never_outside(tmp_path: Path) -> None:
    first, last, missing = read(epub(tmp_path / "book.epub"))
    assert isinstance(first, Document)
    assert isinstance(last, Document)
    assert isinstance(missing, Rejected)
    assert (first.text.split(), first.path) == (["One", "First", "page."], "book.epub#O/c.xhtml")
    assert (last.text, last.meta) == ("Last page.", {"title": "A Boat", "author": "N. N."})
    assert missing.reason == "damaged_member"


def test_bombs_and_entities_are_refused(tmp_path: Path) -> None:
    (bomb,) = read(epub(tmp_path / "bomb.epub", page="a" * 5_000_000))
    assert isinstance(bomb, Rejected)
    assert bomb.reason == "too_large"
    with pytest.raises(DataError, match="declares the entity"):
        read(epub(tmp_path / "laugh.epub", '<!DOCTYPE p [<!ENTITY a "aaaa">]>' + PACKAGE))
    (tmp_path / "big.txt.gz").write_bytes(gzip.compress(b"a" * 3_000_000))
    (big,) = read(tmp_path / "big.txt.gz", max_bytes=1_000_000)
    assert isinstance(big, Rejected)
    assert big.reason == "too_large"


def test_a_file_cut_short_gives_what_can_be_read_and_says_so(tmp_path: Path) -> None:
    words = " ".join(str(number * 7919 % 10_007) for number in range(60_000))
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(words.encode())[:-40_000])
    *read_of_it, cut = read(tmp_path / "cut.txt.gz")
    assert isinstance(cut, Rejected)
    assert cut.reason == "truncated_file"
    assert sum(len(item.text) for item in read_of_it if isinstance(item, Document)) > 50_000
    (tmp_path / "no.epub").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(DataError, match=r"no\.epub can't be read as EPUB"):
        read(tmp_path / "no.epub")


def test_a_scanned_book_is_cleaned_up(shared_data: Path) -> None:
    (found,) = read(shared_data / "raw" / "ocr" / "northanger_abbey.ocr.txt", ocr=True)
    assert isinstance(found, Document)
    assert "NORTHANGER ABBEY" not in found.text
    assert "introduced a light conversation" in found.text


@given(
    st.lists(st.sampled_from(["Chapter 1\n", "PART II", "\n", "word " * 40, "a" * 90, "\n\n"]), max_size=60)
)
@settings(max_examples=50)
def test_no_chapter_is_too_long_and_no_letter_lost(tokens: list[str]) -> None:
    text = "".join(tokens)
    found = list(chapters(text, 1_000))
    assert all(len(piece.text) <= 1_000 and text[piece.start :].startswith(piece.text) for piece in found)
    assert "".join("".join(piece.text.split()) for piece in found) == "".join(text.split())


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_a_changed_epub_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("books") / "book.epub"
    raw = bytearray(epub(path).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    with suppress(DataError):
        assert all(isinstance(item, Document | Rejected) for item in read(path))


@pytest.mark.parametrize(
    "token", ["\n", "\n \n", "chapter i\n", "chapter ", "*** START OF THE PROJECT GUTENBERG ", " "]
)
@pytest.mark.timeout(10)
def test_hostile_text_takes_linear_time(token: str) -> None:
    list(chapters(token * 100_000, 100_000))
