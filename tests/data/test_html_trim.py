"""The kernel that trims pages: against its reference, on what must stay, and on any bytes."""

from __future__ import annotations

import gzip
import subprocess
import sysconfig
import time
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import towpath.data.kernels
from towpath.core.native import library
from towpath.data.kernels.html_trim import html_trim, reference_html_trim

PARTS = st.sampled_from(
    "<p <b> </p > <div class='A Comment b' <div/id=x-cookie> <br/> <a =b= ='> \" ' = > / < <!-- --> "
    "<!--> <script> </SCRIPT> <nav </nav> <pre>  </pre> <title> </title> <img src='>'> <meta "
    "<meta\vname=ROBOTS> content=noai <figcaption x=y/> class= id='footer' style=a</svg <svg> "
    "<iframe></iframe <x class=a''id=b>".split(" ")
)


def slimmed(html: str, hide: bool = False) -> str:
    return html_trim(html.encode(), main_content=True, slim=True, hide=hide).decode()


def check_agreement(page: bytes) -> None:
    for main_content, slim, hide in product((False, True), repeat=3):
        expected = reference_html_trim(page, main_content, slim, hide)
        assert html_trim(page, main_content, slim, hide) == expected
        assert len(expected) <= 2 * len(page)


def test_the_kernel_is_compiled() -> None:
    assert library("towpath.data.kernels", "html_trim") is not None, "python setup.py build_ext --inplace"


@settings(max_examples=50)
@given(
    st.lists(PARTS | st.sampled_from([" ", "\n ", "x"]) | st.text(max_size=5), max_size=30),
    st.binary(max_size=9),
)
def test_the_kernel_does_as_its_reference(parts: list[str], end: bytes) -> None:
    check_agreement("".join(parts).encode() + end)


def test_the_kernel_does_as_its_reference_on_real_pages(shared_data: Path) -> None:
    for path in sorted((shared_data / "raw/web_html").glob("*.html.gz"))[::6]:
        check_agreement(gzip.decompress(path.read_bytes()))


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>a<!-- b > -->c<SCRIPT>d</script >e<nav>f</nav>g", "<p>a c e g"),
        ("<nav>never closed", "<nav>never closed"),
        ("<!-- never <b>closed</b>", "<!-- never <b>closed</b>"),
        ("<div data-x='>' class=\"a > b\" onclick=go() id=c>", '<div class="a > b" id=c>'),
        ("a \n\n b<pre> x \n  y</pre><title>a  b</title>", "a b<pre> x \n  y</pre><title>a  b</title>"),
        ("a<img src='data:,>'>b<br/>c<BR class=x />", "ab<br/>c<BR class=x/>"),
        ("<meta property=og:title><meta name=robots content=noai>", "<meta name=robots content=noai>"),
        ("a<i class=x></i>b<span> <!-- --></span>c<a>d</a><p></a>", "ab c<a>d</a><p></a>"),
        ("1 < 2 <3 a<b x='c>d", "1 < 2 <3 a<b x='c>d"),
    ],
)
def test_what_is_read_stays_and_the_rest_goes(html: str, expected: str) -> None:
    assert slimmed(html) == expected
    assert reference_html_trim(html.encode(), True, True, False).decode() == expected


def test_elements_called_like_boilerplate_are_hidden_when_asked_for() -> None:
    html = "<div id=Comments><p class='x-Promo y'>a</p></div><figcaption>b</figcaption><p id=promo>c</p>"
    assert slimmed(html, hide=True) == (
        "<div hidden><p hidden>a</p></div><figcaption hidden>b</figcaption><p id=promo>c</p>"
    )
    assert slimmed(html) == html


@pytest.mark.parametrize(
    "part", ["<a b", "<a b='", "<!--", "<nav>", "<pre>", "</", "<a =", " ", "<script></scrip"]
)
def test_the_time_is_linear_whatever_is_left_open(part: str) -> None:
    page = part.encode() * (2_000_000 // len(part))
    for trim in (html_trim, reference_html_trim):
        start = time.process_time()
        trim(page, True, True, True)
        assert time.process_time() - start < 4.0


@pytest.mark.slow
def test_any_bytes_are_trimmed_within_bounds_under_sanitizers(tmp_path: Path) -> None:
    folder = Path(towpath.data.kernels.__file__).parent
    flags = ["-std=c++17", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    driver = tmp_path / "driver.cpp"
    driver.write_text(
        """#include <cstdint>
#include <random>
#include <string>
#include <vector>
extern "C" int64_t html_trim(const uint8_t*, int64_t, int32_t, int32_t, int32_t, uint8_t*);
int main() {
    const char* parts[] = {"<", ">", "/", "=", "'", "\\"", " ", "!--", "-->", "<a ", "class=", "promo",
                           "<nav", "</nav", "<pre>", "</pre>", "<figcaption", "id=footer", "<meta",
                           "robots", "\\xff", "x", "<b ", ">"};
    std::mt19937 random(1);
    for (int round = 0; round < 60000; ++round) {
        std::string page;
        for (unsigned left = random() % 24; left; --left) page += parts[random() % 24];
        std::vector<uint8_t> in(page.begin(), page.end()), out(2 * in.size() + 1);
        for (int mode = 0; mode < 8; ++mode)
            html_trim(in.data(), in.size(), mode & 1, mode & 2, mode & 4, out.data());
    }
}
"""
    )
    program = tmp_path / "driver"
    compiler = (sysconfig.get_config_var("CXX") or "g++").split()[0]
    built = subprocess.run(
        [compiler, *flags, str(driver), str(folder / "html_trim.cpp"), "-o", str(program)],
        capture_output=True,
        text=True,
    )
    if built.returncode != 0 and "sanitize" in built.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([str(program)], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
