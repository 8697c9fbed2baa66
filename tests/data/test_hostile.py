"""Real files cut short and with changed bytes, through every source: nothing before the damage is lost."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from towpath.core.artifacts import Store
from towpath.core.errors import DataError
from towpath.data import DataConfig, Document, Documents, Rejected, make_documents
from towpath.data.sources import SOURCES
from towpath.data.sources.files import FilesSource
from towpath.data.wellformed import gate

FILES = {
    "arxiv": "raw/arxiv/1911.02782.tar.gz",
    "books": "pretrain/books/austen_northangerabbey.txt",
    "files": "pretrain/web/c4.jsonl",
    "irc": "raw/irc/2004-12-25.train-c.raw.txt",
    "openwebtext2": "raw/pile/openwebtext2_like.jsonl.zst",
    "pdf": "raw/pdf/2020.acl-main.207.pdf",
    "pile": "raw/pile/pile_like.jsonl.zst",
    "pubmed": "raw/pubmed/1471-2180-11-174.nxml",
    "stack_exchange": "raw/stackexchange/beer.Posts.xml.gz",
    "warc": "raw/commoncrawl/CC-MAIN-2020-34.sample.warc.gz",
    "wikipedia": "raw/wikipedia/enwiki-pages-articles-shortened.xml.bz2",
}
RECORDS_APART = ("files", "openwebtext2", "pile", "warc", "wikipedia")
"""Sources whose records stand one after the other, so that those before a cut are what they were."""


SUFFIXES = {
    "arxiv": ".tex",
    "books": ".txt",
    "code_files": ".py",
    "documentation": ".rst",
    "files": ".jsonl",
    "html": ".html",
    "irc": ".log",
    "literature": ".txt",
    "mailing_list": ".mbox",
    "openwebtext2": ".jsonl",
    "pdf": ".pdf",
    "pile": ".jsonl",
    "pubmed": ".nxml",
    "reddit": ".jsonl",
    "stack_exchange": ".xml",
    "warc": ".warc",
    "wikipedia": ".xml",
}
"""A kind of file that each source of files reads."""
GOOD = {
    "pubmed": "<article><front><article-title>Grüße</article-title></front><body><p>ü</p></body></article>",
    "stack_exchange": "<posts><row Id='1' PostTypeId='1' Body='Grüße'/></posts>",
    "wikipedia": "<mediawiki><page><title>Grüße</title><ns>0</ns><revision><text>ü</text></revision></page>"
    "</mediawiki>",
    "warc": "WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: 7\r\n\r\nGrüße\r\n\r\n",
    "mailing_list": "From a at b.org Mon Jan  1 10:00:00 2007\nMessage-ID: <1@x>\n\nGrüße\n\n",
    "irc": "[10:00] <ann> Grüße\n[10:01] <bob> Grüße\n",
    "reddit": '{"id": "a", "title": "Grüße", "selftext": "ü"}\n',
    "arxiv": "\\documentclass{a}\\begin{document}Grüße\\end{document}",
    "html": "<html><body><p>Grüße</p></body></html>",
    **dict.fromkeys(("files", "openwebtext2", "pile"), '{"text": "Grüße"}\n'),
    **dict.fromkeys(("books", "documentation", "literature", "pdf"), "Grüße aus München.\n" * 30),
    "code_files": "def greet():\n    return 'Grüße'\n",
}
SPOILT: dict[str, Callable[[str], bytes]] = {
    "latin-1": lambda text: text.encode("latin-1"),
    "UTF-16 with its mark": lambda text: text.encode("utf-16"),
    "UTF-8 with a broken letter": lambda text: text.encode().replace("ü".encode(), b"\xc3"),
    "NUL bytes": lambda text: text.replace("e", "\0").encode(),
    "a mark of the byte order": lambda text: text.encode("utf-8-sig"),
    "nothing": lambda _: b"",
    "one byte": lambda _: b"\xff",
}
XML_KINDS = ("pubmed", "stack_exchange", "wikipedia")
DECLARED = {
    "a file outside": '<!ENTITY e SYSTEM "file:///etc/passwd">',
    "an address outside": '<!ENTITY % e SYSTEM "http://127.0.0.1:9/e.dtd"> %e;',
    "a billion laughs": '<!ENTITY a "ha"><!ENTITY e "&a;&a;&a;">',
    "a long default": f'<!ATTLIST row Body CDATA "{"ha" * 9_000}">',
}
SECRET = "the words of a file outside"


def read(kind: str, path: Path) -> list[Document | Rejected] | str:
    """What the source gives, or the text of its error."""
    path = path.parent if kind == "code_files" and path.is_file() else path
    try:
        return list(SOURCES.load(kind).model_validate({"path": str(path)}).documents())  # pyright: ignore[reportAttributeAccessIssue]
    except DataError as error:
        return str(error)


def texts(items: list[Document | Rejected] | str) -> list[str]:
    return [] if isinstance(items, str) else [item.text for item in items if isinstance(item, Document)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_short_gives_what_came_before_or_an_error_with_its_name(
    kind: str, shared_data: Path, tmp_path: Path
) -> None:
    whole = (shared_data / FILES[kind]).read_bytes()[:1_500_000]
    path = tmp_path / Path(FILES[kind]).name
    path.write_bytes(whole)
    expected = texts(read(kind, path))
    for number in range(6):
        path.write_bytes(whole[: len(whole) * (number + 1) // 7])
        found = read(kind, path)
        if isinstance(found, str):
            assert path.name in found
        elif kind in RECORDS_APART:
            kept = texts(found)
            assert kept[:-1] == expected[: len(kept)][:-1]
            assert any(isinstance(item, Rejected) for item in found) or kept == expected[: len(kept)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_changed_bytes_end_in_documents_rejections_or_an_error_with_the_name(
    kind: str, shared_data: Path, tmp_path: Path
) -> None:
    chance = random.Random(kind)
    raw = (shared_data / FILES[kind]).read_bytes()[:1_500_000]
    path = tmp_path / Path(FILES[kind]).name
    for _ in range(4):
        changed = bytearray(raw)
        for _ in range(12):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        path.write_bytes(changed)
        found = read(kind, path)
        assert not isinstance(found, str) or path.name in found


@pytest.mark.parametrize("spoilt", SPOILT)
@pytest.mark.parametrize("kind", SUFFIXES)
def test_wrong_encodings_and_empty_files_end_in_documents_rejections_or_an_error_with_the_name(
    kind: str, spoilt: str, tmp_path: Path
) -> None:
    path = tmp_path / f"spoilt{SUFFIXES[kind]}"
    path.write_bytes(SPOILT[spoilt](GOOD[kind]))
    found = read(kind, path)
    assert not isinstance(found, str) or path.name in found
    for item in () if isinstance(found, str) else found:
        document = item.document if isinstance(item, Rejected) else item
        text, reason = gate(document)
        assert text.text.isascii() or text.text.encode()
        assert reason or "\0" not in document.text


@pytest.mark.parametrize("kind", SUFFIXES)
def test_a_folder_in_the_place_of_a_file_and_links_that_lead_nowhere_are_passed_over(
    kind: str, tmp_path: Path
) -> None:
    suffix = SUFFIXES[kind]
    (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / f"nowhere{suffix}").symlink_to(tmp_path / "missing")
    (tmp_path / f"round{suffix}").symlink_to(tmp_path / f"round{suffix}")
    os.mkfifo(tmp_path / f"pipe{suffix}")
    found = read(kind, tmp_path)
    assert isinstance(found, str)
    assert str(tmp_path) in found


@pytest.mark.parametrize("kind", [kind for kind in SUFFIXES if kind != "pdf"])
def test_a_folder_that_is_linked_from_outside_is_not_read(kind: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    inside = tmp_path / "inside"
    for folder in (outside, inside):
        folder.mkdir()
        (folder / f"a{SUFFIXES[kind]}").write_text(GOOD[kind].replace("Grüße", folder.name))
    (inside / "linked").symlink_to(outside)
    (inside / f"file{SUFFIXES[kind]}").symlink_to(outside / f"a{SUFFIXES[kind]}")
    found = read(kind, inside)
    assert not isinstance(found, str)
    paths = {(item.document if isinstance(item, Rejected) else item).path for item in found}
    assert paths == {f"a{SUFFIXES[kind]}"}


def test_links_are_passed_over_aloud_and_followed_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "a.txt").write_text(folder.name)
    (inside / "b").symlink_to(outside)
    (inside / "c.txt").symlink_to(outside / "a.txt")
    (outside / "round").symlink_to(inside)
    for follow_links, texts in ((False, ["inside"]), (True, ["inside", "outside", "outside"])):
        source = FilesSource(path=str(inside), follow_links=follow_links)
        assert [item.text for item in source.documents() if not isinstance(item, Rejected)] == texts
    assert capsys.readouterr().err.count("1 links that lead out of the folder are passed over") == 1


@pytest.mark.parametrize("declared", DECLARED)
@pytest.mark.parametrize("kind", XML_KINDS)
def test_xml_that_declares_what_is_not_there_is_refused(kind: str, declared: str, tmp_path: Path) -> None:
    path = tmp_path / f"posts{SUFFIXES[kind]}"
    body = GOOD[kind].replace("Grüße", "Grüße &e;")
    path.write_text(f"<!DOCTYPE a [{DECLARED[declared]}]>{body}")
    found = read(kind, path)
    if isinstance(found, str):
        assert path.name in found
    else:
        assert [type(item) for item in found] == [Rejected]
    assert "root:" not in str(found)


@pytest.mark.parametrize("name", ["../../outside.tex", "/etc/outside.tex", "a/../../outside.tex"])
@pytest.mark.parametrize("kind", ["arxiv", "pubmed", "pile"])
def test_names_and_links_that_climb_out_of_an_archive_are_names_alone(
    kind: str, name: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.tex"
    secret.write_text(SECRET)
    name = name.replace(".tex", {"pile": ".zst"}.get(kind, SUFFIXES[kind]))
    path = tmp_path / "below" / "2101.00001.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w") as archive:
        for link, target in (("a.tex", secret), ("a.nxml", secret), ("a.zst", "../secret.tex")):
            for kind_of_link in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                entry = tarfile.TarInfo(link)
                entry.type, entry.linkname = kind_of_link, str(target)
                archive.addfile(entry)
        content = zstandard.compress(GOOD[kind].encode()) if kind == "pile" else GOOD[kind].encode()
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    before = set(tmp_path.rglob("*"))
    found = read(kind, path)
    assert "ü" in str(found)
    assert SECRET not in str(found)
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("page", ["../../secret.xhtml", "/etc/hostname", "linked.xhtml"])
def test_pages_that_climb_out_of_a_book_are_missing(page: str, tmp_path: Path) -> None:
    (tmp_path / "secret.xhtml").write_text(SECRET)
    path = tmp_path / "a" / "b" / "book.epub"
    path.parent.mkdir(parents=True)
    link = zipfile.ZipInfo("O/linked.xhtml")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("META-INF/container.xml", "<container><rootfile full-path='O/p.opf'/></container>")
        archive.writestr(
            "O/p.opf",
            f"<package><manifest><item id='a' href='{page}' media-type='application/xhtml+xml'/></manifest>"
            "<spine><itemref idref='a'/></spine></package>",
        )
        archive.writestr(link, "../../secret.xhtml")
    assert SECRET not in str(read("books", path))
    assert {item.name for item in tmp_path.rglob("*.*")} == {"secret.xhtml", "book.epub"}


def test_damaged_files_are_accounted_for_to_the_last_record(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    good = "".join(
        json.dumps({"text": f"sentence number {number} of many " * 20}) + "\n" for number in range(20)
    )
    (folder / "a.jsonl").write_text(good)
    (folder / "b.jsonl").write_text('{"text": "cut\n' + '{"no": "text"}\n' + "[1]\n")
    (folder / "c.jsonl.gz").write_bytes(gzip.compress(good.replace("many", "others").encode())[:-30])
    (folder / "d.txt").write_bytes("Grüße aus München. ".encode("latin-1") * 20)
    config = DataConfig.model_validate(
        {
            "sources": [{"type": "files", "path": str(folder)}],
            "filters": [],
            "near_duplicates": {"enabled": False},
        }
    )
    made = make_documents(Store(tmp_path / "home"), config)
    counted = Documents(made).waterfall()["files"]
    lost = sum(counted["dropped"].values()) + sum(counted["quarantined"].values())
    assert counted["read"] == counted["kept"] + lost
    lines = [json.loads(line) for line in (made.path / "quarantine.jsonl").read_text().splitlines()]
    assert {line["path"] for line in lines} == {"b.jsonl", "c.jsonl.gz", "d.txt"}
    assert len(lines) == sum(counted["quarantined"].values())
    for line in lines:
        assert set(line) >= {"source", "path", "byte_offset", "sha256", "n_bytes", "reason"}
        assert len(line["sha256"]) == 64
