"""The kernel that finds a page's main text: against its reference, on what stays, and on any bytes."""

from __future__ import annotations

import gzip
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.core.native import library
from towpath.data.kernels.html_words import table, words
from towpath.data.kernels.main_text import main_text, reference_main_text
from towpath.data.kernels.main_text_reference import (
    CHARSET,
    HIDE,
    HTTP_FIELD,
    MAIN,
    MAX_METAS,
    NO_CODE,
    NO_LISTS,
    NO_TABLES,
    RESERVATION,
    ROBOTS,
)

MARKUP = """
<p> </p> <div> </div> <div/class=menu> <div/class='Site-Nav'id=a> <div/id=x-cookie> <span/class=share__icon>
</span> <a> </a> <a/rel=author> <b </b> <i </i> <ul> <ol> <li> </li> </ul> </ol> <dl> <dt> <dd> <br> <hr>
</br> </dl> <table> <tr> <td> <th> </table> <tbody> <caption> <pre> </pre> <h1> <h2 </h2> <nav> </nav>
<footer> </footer> <aside> </aside> <script> </script> <title> </title\t> <textarea> <svg> </svg> <!-- -->
<!x <?y </3 <article/class=post-content> </article> <main> </main> <section/role=menu> <figure> <p/hidden>
<button> <p/style='display:none'> <p/style='visibility:\thidden'> <meta/name='ROBOTS'content='noai'> <body>
<html/id=a> <meta/charset=utf-8> <meta/http-equiv=x\tcontent='a;charset=b'> <td/class=nav> class= style=' "
' = > / < &amp; &nbsp; &#x41; \ue000 \u00b6
""".replace("\n", " ").split(" ")


def lines_of(html: str, switches: int = MAIN | HIDE) -> list[str]:
    found = main_text(html.encode(), switches)
    assert found == reference_main_text(html.encode(), switches)
    return found.text.decode().split("\n")


def test_the_kernel_is_compiled() -> None:
    assert library("towpath.data.kernels", "main_text") is not None, "python setup.py build_ext --inplace"


@settings(max_examples=50)
@given(
    st.lists(
        st.sampled_from(MARKUP)
        | st.sampled_from([" ", "\n ", "\r", "\r\n", "\v", "x", "one two"])
        | st.text(max_size=5)
    ),
    st.binary(max_size=9),
    st.integers(0, 31),
)
def test_the_kernel_does_as_its_reference(parts: list[str], end: bytes, switches: int) -> None:
    page = "".join(parts).encode() + end
    assert main_text(page, switches) == reference_main_text(page, switches)


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from(sorted(words())), min_size=1, max_size=4), st.sampled_from("- _ -- __".split())
)
def test_the_kernel_reads_classes_as_its_reference(chosen: list[bytes], dash: str) -> None:
    value = dash.join(word[1:].decode().split("=")[-1] for word in chosen)
    for html in (
        f"<div class='{value} x'>a<p id={value}>b",
        f"<li class={value.upper()}->a<a rel='{value}'>b</a>",
    ):
        lines_of(html)


def test_the_kernel_does_as_its_reference_on_real_pages(shared_data: Path) -> None:
    for number, path in enumerate(sorted((shared_data / "raw/web_html").glob("*.html.gz"))[::4]):
        page = gzip.decompress(path.read_bytes())
        for switches in (MAIN | HIDE, number % 32):
            assert main_text(page, switches) == reference_main_text(page, switches)


def test_no_two_words_have_one_hash() -> None:
    keys, _ = table()
    assert len(set(keys[keys != 0].tolist())) == len(words())


@pytest.mark.parametrize(
    ("html", "lines"),
    [
        ("<p>a<p>b<h5>c</h5>d", ["a", "", "b", "", "c", "d"]),
        ("<div>a\n  <b>b</b>c <i> d</i></div>e", ["a bc d", "e"]),
        ("a<br>b<br><br>c<hr>d", ["a", "b", "", "c", "d"]),
        ("x<ul><li>a<li>b<ol><li>c</ol></ul>", ["x", "  \u2022 a", "  \u2022 b", "    1. c"]),
        ("<table><tr><td>a<td>b<tr><td>c</table>d", ["a\t\tb", "c", "d"]),
        ("<pre>\n a\r\n  b</pre>c", [" a", "  b", "c"]),
        ("a<script>b<p></script><!-- c -->d<style>e</style>f", ["adf"]),
        ("1 < 2 <3 a<b x='c>d", ["1 < 2 <3 a"]),
        ("<p>a<nav>b</nav><aside>c</aside><button>d</button><figure>e</figure>f", ["a", "", "f"]),
        ("<div hidden>a</div><p style='x:y; Display : none'>b</p><b aria-hidden=true>c</b>d", ["d"]),
        ("<div class='x Site-Nav'>a</div><div class=share__icons>b</div><p class=x>c</p>", ["c"]),
        ("<div class='post menu'>a</div><div class=menu>b</div><b class=menu>c</b>", ["a", "c"]),
        ("<p id=right>a</p><p class=right>b</p><p class=hidden>c</p><p id=hidden>d</p>", ["b", "", "d"]),
        (
            "<ul><li><a>all links</a></ul><ul><li><a>a</a> and a text that is no link</ul>",
            ["  \u2022 a and a text that is no link"],
        ),
        ("<b>x</b><div class=articleBody><p>a</div>b", ["a"]),
        ("<div class=article-body>a</div><div class=article-body>b</div>c", ["a", "b", "c"]),
        ("<p>a<a href=#>\u00b6</a> b<i>\ue001</i>", ["a b"]),
    ],
)
def test_what_is_main_content_stays_line_by_line(html: str, lines: list[str]) -> None:
    assert lines_of(html) == lines


def test_elements_called_like_boilerplate_go_when_asked_for_and_it_is_told() -> None:
    html = "<div id=Comments>a</div><p class='x-Promo'>b</p><p id=promo>c</p>"
    found = main_text(html.encode(), MAIN | HIDE)
    assert (found.text, found.hides) == (b"c", True)
    assert lines_of("a<pre>b <b class=comment>c</b></pre>") == ["a", "b c"]
    found = main_text(html.encode(), MAIN)
    assert (found.text, found.hides) == (b"a\n\nb\n\nc", False)


def test_lists_tables_and_code_can_be_left_out_and_all_can_be_kept() -> None:
    html = "<nav>a</nav><ul><li>b</ul><table><td>c</table><pre>d</pre><p class=menu>e<script>f</script>"
    assert lines_of(html, 0) == ["a", "  \u2022 b", "c", "d", "", "e"]
    for switch, gone in ((NO_LISTS, "b"), (NO_TABLES, "c"), (NO_CODE, "d")):
        assert set("abcde") - set("".join(lines_of(html, switch))) == {gone}


def test_title_and_metas_are_found_wherever_they_stand() -> None:
    html = (
        "<meta charset=x><title> A &amp; B</title ><svg><title>no</title></svg><title>2</title><p>a"
        "<META content='noai' name=Robots><meta http-equiv=c content='t; charset=y'>"
        "<!-- <meta name=robots content=b> --><meta name=tdm-reservation content=1>"
        "<noscript><meta name=robots content=c></noscript>"
    ) + "<meta charset=z>" * MAX_METAS
    found = main_text(html.encode(), MAIN)
    assert found == reference_main_text(html.encode(), MAIN)
    assert found.title == b" A &amp; B"
    assert found.metas[:4] == [
        (CHARSET, b"x"),
        (ROBOTS, b"noai"),
        (HTTP_FIELD, b"t; charset=y"),
        (RESERVATION, b"1"),
    ]
    assert len(found.metas) == MAX_METAS


LEFT_OPEN = """
<a\tb|<a\tb='|<!--|<nav>|<p>|</p>|<i>|<b><p>x|<ul><li>x|</div>|<td>|a<|&|<title>|<table><tr><td>1|<a>|
<script></scrip|<div\tclass='a-b_c'>x|<p\tstyle='d\td'>|<pre>\r
""".replace("\n", "").split("|")


@pytest.mark.parametrize("part", LEFT_OPEN)
def test_the_time_is_linear_and_the_text_within_bounds_whatever_is_left_open(part: str) -> None:
    page = part.encode() * (2_000_000 // len(part))
    start = time.process_time()
    found = main_text(page, MAIN | HIDE)
    assert time.process_time() - start < 1.5
    assert len(found.text) <= 10 * len(page)


def test_every_word_of_the_vocabulary_is_in_small_letters() -> None:
    assert [word for word in words() if not re.fullmatch(rb"[<@.][a-z0-9-]+|[a-z-]+=[a-z]+", word)] == []
