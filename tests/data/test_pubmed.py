from __future__ import annotations

import gzip
import io
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.errors import DataError
from towpath.data.document import Document, Rejected
from towpath.data.sources.jats import spdx_of
from towpath.data.sources.pubmed import PubmedSource

ARTICLE = """<article xmlns:xlink="x" xmlns:mml="m"><front><article-meta>
<article-id pub-id-type="pmid">12</article-id>
<article-id pub-id-type="pmc">34</article-id>
<title-group><article-title>On <italic>boats</italic></article-title></title-group>
<pub-date><year>2001</year></pub-date>
<pub-date><day>3</day><month>2</month><year>2001</year></pub-date>
<permissions>
<license xlink:href="http://creativecommons.org/licenses/by-nc/3.0"><p>Open</p>
</license></permissions>
<abstract><p>Short &#233;.</p></abstract></article-meta></front>
<body><sec><title>Methods</title><p>We rowed [<xref ref-type="bibr">1</xref>,
<xref ref-type="bibr">2</xref>] at
<inline-formula><alternatives><tex-math>\\begin{document}$v^2$\\end{document}</tex-math><mml:math>v2</mml:math>
</alternatives></inline-formula> or <mml:math><mml:mi>w</mml:mi></mml:math>.</p>
<table-wrap><table><tr><td>1</td><td>2</td></tr></table></table-wrap></sec></body>
<back><ref-list><ref>Nobody 1999</ref></ref-list></back></article>"""


def read(path: Path, **settings: object) -> list[Document | Rejected]:
    return list(PubmedSource.model_validate({"path": str(path), **settings}).documents())


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def test_an_article_keeps_words_and_formulas_and_loses_references_and_tables(tmp_path: Path) -> None:
    (tmp_path / "a.nxml").write_text(ARTICLE)
    (found,) = read(tmp_path)
    assert isinstance(found, Document)
    assert found.text == "On boats\n\nShort é.\n\nMethods\n\nWe rowed at $v^2$ or w."
    assert (found.date, found.licence) == ("2001-02-03", "CC-BY-NC-3.0")
    assert found.url == "https://pmc.ncbi.nlm.nih.gov/articles/PMC34/"
    assert found.meta == {"pmid": "12", "pmc": "34"}
    (with_tables,) = read(tmp_path, tables=True)
    assert isinstance(with_tables, Document)
    assert with_tables.text.endswith("\n\n1 2")


def test_real_articles_are_read_with_their_licences(shared_data: Path) -> None:
    items = read(shared_data / "raw" / "pubmed")
    found = {Path(item.path or "").stem: item for item in items if isinstance(item, Document)}
    assert len(found) == 9
    licences = {name: item.licence for name, item in found.items()}
    assert licences["1471-2180-11-174"] == licences["1472-6831-8-11"] == "CC-BY-2.0"
    assert licences["ehp-116-1694"] == "LicenseRef-public-domain"
    assert licences["mds526"] == "CC-BY-NC-3.0"
    assert licences["pone.0046493"] == "LicenseRef-CC-BY"
    assert licences["6605965a"] == "unknown"
    assert found["pubmed-29768149"].date == "2018-05-17"
    assert found["1471-2180-11-174"].text.startswith("Factors influencing lysis time stochasticity in")
    assert min(len(item.text) for item in found.values()) > 2_000
    assert not any(mark in item.text for item in found.values() for mark in ("</", "<xref", "[]", "()"))


def test_archives_are_read_in_memory_and_count_what_is_broken(tmp_path: Path) -> None:
    files = {
        "../../a.nxml": ARTICLE.encode(),
        "b.xml.gz": gzip.compress(ARTICLE.encode()),
        "cut.nxml": ARTICLE.encode()[:-40],
        "note.txt": b"no article",
    }
    first, second, cut = read(write_tar(tmp_path / "all.tar.gz", files))
    assert isinstance(first, Document)
    assert first.path == "all.tar.gz#../../a.nxml"
    assert isinstance(second, Document)
    assert isinstance(cut, Rejected)
    assert cut.reason == "truncated_file"
    assert not (tmp_path.parent.parent / "a.nxml").exists()


def test_entities_are_refused(tmp_path: Path) -> None:
    laughs = '<!DOCTYPE article [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
    (tmp_path / "laugh.nxml").write_text(laughs + ARTICLE)
    outside = '<!DOCTYPE article [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    (tmp_path / "xxe.nxml").write_text(outside + ARTICLE.replace("Short", "&a;"))
    assert [item.reason for item in read(tmp_path) if isinstance(item, Rejected)] == ["unsafe_xml"] * 2


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("http://creativecommons.org/licenses/by-nc-nd/4.0/", "CC-BY-NC-ND-4.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("under the Creative Commons Attribution License", "LicenseRef-CC-BY"),
        ("Creative Commons Attribution Non-Commercial License", "LicenseRef-CC-BY-NC"),
        ("all rights reserved", None),
    ],
)
def test_licences_become_identifiers(stated: str, expected: str | None) -> None:
    assert spdx_of(stated) == expected


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_a_changed_article_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("pubmed") / "a.nxml"
    raw = bytearray(ARTICLE.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    with suppress(DataError):
        found = read(path)
        assert found
