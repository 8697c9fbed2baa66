from __future__ import annotations

import bz2
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.core.errors import DataError
from towpath.data.document import Document, Rejected
from towpath.data.sources.wikipedia import WikipediaSource
from towpath.data.sources.wikitext import Namespaces, plain_text

SITE = """<siteinfo><base>https://de.wikipedia.org/wiki/Wikipedia:Hauptseite</base><namespaces>
<namespace key="6">Datei</namespace><namespace key="14">Kategorie</namespace></namespaces></siteinfo>"""


def page(title: str, text: str, namespace: int = 0, redirect: str = "") -> str:
    return (
        f"<page><title>{title}</title><ns>{namespace}</ns>{redirect}<revision>"
        "<timestamp>2020-01-02T03:04:05Z</timestamp>"
        f"<text xml:space='preserve'>{text}</text></revision></page>\n"
    )


def dump(*pages: str) -> str:
    return f"<mediawiki>{SITE}{''.join(pages)}</mediawiki>"


def read(path: Path) -> list[Document]:
    return [item for item in WikipediaSource(path=str(path)).documents() if isinstance(item, Document)]


def test_articles_are_read_and_redirects_and_talk_left_out(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml"
    raw = dump(
        page("Der Fluß", "Ein [[Boot|kleines Boot]]. [[Datei:x.jpg|mini]] &lt;ref&gt;S. 3&lt;/ref&gt;"),
        page("Alt", "#REDIRECT [[Der Fluß]]", redirect='<redirect title="Der Fluß" />'),
        page("Diskussion:Fluß", "talk", namespace=1),
        page("Ende", "Schluss. [[Kategorie:Alles]]"),
    )
    path.write_text(raw)
    first, last = read(path)
    assert first.text == "Der Fluß\n\nEin kleines Boot."
    assert first.url == "https://de.wikipedia.org/wiki/Der_Flu%C3%9F"
    assert (first.date, first.licence, last.text) == (
        "2020-01-02T03:04:05Z",
        "CC-BY-SA-4.0",
        "Ende\n\nSchluss.",
    )
    assert last.byte_offset is not None
    assert raw.encode()[last.byte_offset :].startswith(b"<page><title>Ende")


def test_a_multistream_dump_reads_like_one_stream(tmp_path: Path) -> None:
    raw = dump(*(page(f"Page {number}", f"Text {number}.") for number in range(20))).encode()
    (tmp_path / "one.xml.bz2").write_bytes(bz2.compress(raw))
    middle = len(raw) // 2
    (tmp_path / "many.xml.bz2").write_bytes(bz2.compress(raw[:middle]) + bz2.compress(raw[middle:]))
    one, many = read(tmp_path / "one.xml.bz2"), read(tmp_path / "many.xml.bz2")
    assert [item.text for item in one] == [item.text for item in many]
    assert len(one) == 20


def test_a_dump_cut_short_gives_its_articles_and_says_so(tmp_path: Path) -> None:
    raw = dump(page("A", "first"), page("B", "second"))
    (tmp_path / "cut.xml").write_text(raw[:-60])
    first, cut = WikipediaSource(path=str(tmp_path)).documents()
    assert isinstance(first, Document)
    assert isinstance(cut, Rejected)
    assert (first.text, cut.reason) == ("A\n\nfirst", "truncated_file")


def test_a_cut_or_hostile_dump_is_named(tmp_path: Path) -> None:
    raw = dump(page("A", "text"))
    (tmp_path / "cut.xml").write_text(raw[:-20])
    with pytest.raises(DataError, match=r"cut\.xml is not a whole MediaWiki dump: no element found"):
        read(tmp_path / "cut.xml")
    (tmp_path / "cut.xml.bz2").write_bytes(bz2.compress(raw.encode() * 50)[:-30])
    with pytest.raises(DataError, match=r"cut\.xml\.bz2 is cut short or damaged"):
        read(tmp_path / "cut.xml.bz2")
    (tmp_path / "bomb.xml").write_text('<!DOCTYPE x [<!ENTITY a "aaaa">]>' + raw)
    with pytest.raises(DataError, match=r"bomb\.xml .* it declares a DOCTYPE, which no dump does"):
        read(tmp_path / "bomb.xml")


@pytest.mark.parametrize(
    ("wikitext", "expected"),
    [
        ("'''Bold''' and ''italic''", "Bold and italic"),
        ("{{Infobox|a={{b|c}}}}Text", "Text"),
        ("a {| class=x\n|-\n| cell [[link]]\n|} b", "a b"),
        ("[[File:a.jpg|thumb|A [[boat]] here]]Text", "Text"),
        ("[[:Category:Boats]] [[Category:Boats]]", "Category:Boats"),
        ("see [[boat]]s, [[River#Bank|bank]] and [[fr:Bateau]]", "see boats, bank and"),
        ("[http://x.org the site] [http://y.org]", "the site"),
        ("a<ref name=x>b [[c]]</ref>d<ref name=x/>e<!-- f -->g", "adeg"),
        ("== One ==\n\n=== Empty ===\n\n== Two ==\nText", "Two\n\nText"),
        ("== One ==\n=== Inner ===\nText", "One\n\nInner\n\nText"),
        ("* a\n** b\n# c\n: d\n*{{e}}", "- a\n- b\n- c\nd"),
        ("Name ({{IPA|x}}) is", "Name is"),
        ("AT&amp;amp;T &amp;nbsp; x".replace("&amp;", "&"), "AT&T x"),
        ("unclosed {{ brace and [[ link", "unclosed  brace and  link".replace("  ", " ")),
        ("closed }} only ]] once", "closed only once"),
        ("{{ never closed [[a|b]]", "never closed b"),
        ("<math>x^2</math> <b>bold</b> __TOC__", "$x^2$ bold"),
        ("<math>{{a}}_{[[b]]}</math>", "${{a}}_{[[b]]}$"),
        ("a &#99999999999999; &#x;", "a � &#x;"),
    ],
)
def test_wikitext_becomes_what_a_reader_sees(wikitext: str, expected: str) -> None:
    assert plain_text(wikitext) == expected


def test_file_links_are_known_in_the_language_of_the_dump() -> None:
    assert plain_text("a [[Datei:b.jpg]]") == "a Datei:b.jpg"
    assert plain_text("a [[Datei:b.jpg]]", Namespaces().also("Datei")) == "a"


@given(
    st.lists(st.sampled_from(["{{", "}}", "[[", "]]", "{|", "|}", "|", "<ref>", "</ref>", "a ", "\n", "=="]))
)
def test_any_markup_is_survived_and_none_of_its_brackets_stay(tokens: list[str]) -> None:
    text = plain_text("".join(tokens))
    assert not any(bracket in text for bracket in ("{{", "[[", "]]"))


@pytest.mark.parametrize("token", ["{{", "[[", "<ref>", "[//a ", "= a ", "<!--", "(", "<ref ", "''"])
@pytest.mark.timeout(10)
def test_hostile_markup_takes_linear_time(token: str) -> None:
    plain_text(token * 100_000)


def test_the_real_sample_is_read(shared_data: Path) -> None:
    found = read(shared_data / "raw" / "wikipedia" / "enwiki-pages-articles-shortened.xml.bz2")
    assert len(found) == 106
    assert found[0].text.startswith(
        "Anarchism\n\nAnarchism is a political philosophy that advocates self-governed"
    )
    whole = re.sub(r"\$[^$\n]*\$", "", "\n".join(item.text for item in found))
    assert not any(mark in whole for mark in ("{{", "}}", "[[", "]]", "'''", "<ref"))


@pytest.mark.parametrize("tag", ["sitename", "base", "namespace"])
def test_a_tag_of_the_site_inside_an_article_changes_nothing(tmp_path: Path, tag: str) -> None:
    path = tmp_path / "dump.xml"
    odd = page("B", "Zwei.").replace("<ns>", f"<{tag} key='6'>https://x.org/y</{tag}><ns>")
    path.write_text(dump(page("A", "Eins."), odd, page("C", "Drei.")))
    articles = read(path)
    assert [article.text.split("\n")[0] for article in articles] == ["A", "B", "C"]
    assert all((article.url or "").startswith("https://de.wikipedia.org/wiki/") for article in articles)


def test_whole_articles_before_damage_are_read(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml"
    path.write_text(dump(page("A", "Eins."), page("B", "Zwei."), "<page><title>C</oops>"))
    assert [article.text.split("\n")[0] for article in read(path)] == ["A", "B"]
