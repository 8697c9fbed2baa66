"""Limits: what is too slow, too large or declares entities ends in an error that says so."""

from __future__ import annotations

import contextlib
import gzip
import io
import signal
import threading
import time
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.data.sources.limits import (
    MAX_TOKEN_BYTES,
    TookTooLong,
    TooLarge,
    UnsafeXml,
    capped,
    feed,
    safe_expat,
    time_limit,
)


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def spin_and_swallow(seconds: float) -> None:
    with contextlib.suppress(Exception):  # what careless parsers do
        spin(seconds)
    spin(seconds)


def spin_inside_another_limit(seconds: float) -> None:
    with contextlib.suppress(TookTooLong), time_limit(30):
        spin(seconds)
    spin(seconds)


def unpacked(content: bytes) -> BinaryIO:
    return cast(BinaryIO, gzip.GzipFile(fileobj=io.BytesIO(content)))


def read_in_chunks(stream: BinaryIO) -> bytes:
    return b"".join(iter(lambda: stream.read(1 << 16), b""))


def test_python_code_is_interrupted_when_its_time_is_up() -> None:
    started = time.monotonic()
    with pytest.raises(TookTooLong, match=r"0\.05 seconds"), time_limit(0.05):
        spin(5)
    assert time.monotonic() - started < 2


def test_what_ends_in_time_is_left_alone_and_so_is_what_comes_after() -> None:
    handler, timer = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)
    with time_limit(0.05):
        pass
    spin(0.08)
    assert signal.getsignal(signal.SIGALRM) is handler
    assert signal.getitimer(signal.ITIMER_REAL) == pytest.approx(timer, abs=5)


def test_an_inner_limit_stops_its_block_alone() -> None:
    with time_limit(30):
        with pytest.raises(TookTooLong, match=r"0\.05"), time_limit(0.05):
            spin(5)
        assert 20 < signal.getitimer(signal.ITIMER_REAL)[0] <= 30


def test_an_outer_limit_holds_inside_a_longer_inner_one_and_after_it() -> None:
    started = time.monotonic()
    with pytest.raises(TookTooLong, match=r"0\.05"), time_limit(0.05):
        spin_inside_another_limit(5)
    assert time.monotonic() - started < 2


def test_an_error_that_the_parser_swallows_comes_again() -> None:
    started = time.monotonic()
    with pytest.raises(TookTooLong), time_limit(0.05):
        spin_and_swallow(5)
    assert time.monotonic() - started < 2


def test_another_thread_is_told_at_the_end_of_the_block() -> None:
    raised: list[BaseException] = []

    def work() -> None:
        try:
            with time_limit(0.01):
                time.sleep(0.03)
        except TookTooLong as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(raised) == 1


@given(st.binary(max_size=5_000), st.integers(0, 5_000))
def test_a_cap_lets_through_what_fits_and_nothing_else(content: bytes, cap: int) -> None:
    stream = capped(io.BytesIO(content), cap)
    if len(content) <= cap:
        assert stream.read() == content
    else:
        with pytest.raises(TooLarge, match=f"{cap:,} bytes"):
            stream.read()


def test_a_bomb_is_stopped_by_its_ratio_and_honest_text_is_not() -> None:
    bomb = gzip.compress(bytes(8 << 20))
    with capped(unpacked(bomb), 1 << 30, max_ratio=100, stored_bytes=len(bomb)) as stream:
        with pytest.raises(TooLarge):
            read_in_chunks(stream)
    text = "".join(f"line {number} of an honest file\n" for number in range(50_000)).encode()
    packed = gzip.compress(text)
    with capped(unpacked(packed), 1 << 30, max_ratio=100, stored_bytes=len(packed)) as stream:
        assert b"".join(stream) == text


@pytest.mark.parametrize(
    "declaration",
    [
        '<!ENTITY lol "lol"><!ENTITY lots "&lol;&lol;&lol;">',
        '<!ENTITY file SYSTEM "file:///etc/passwd">',
        '<!ENTITY % other SYSTEM "http://127.0.0.1/other.dtd"> %other;',
    ],
)
def test_xml_that_declares_entities_is_refused(declaration: str) -> None:
    parser = safe_expat()
    with pytest.raises(UnsafeXml, match="declares the entity"):
        parser.Parse(f"<!DOCTYPE page [{declaration}]><page>&lots;&file;</page>", True)


def test_xml_that_only_names_its_dtd_is_read() -> None:
    parser, texts = safe_expat(), []
    parser.CharacterDataHandler = texts.append
    parser.Parse(
        '<!DOCTYPE article PUBLIC "-//NLM//DTD JATS" "JATS.dtd"><article>a &amp; b&eacute;</article>', True
    )
    assert "".join(texts) == "a & b"


def test_a_tag_without_an_end_stops_a_parser_before_it_takes_minutes() -> None:
    parser, chunks = safe_expat(), [b"<" + b"a" * (1 << 20), *[b"a" * (1 << 20)] * 600]
    sizes = [0]

    def feed_all() -> None:
        for chunk in chunks:
            sizes.append(feed(parser, chunk, sizes[-1]))

    start = time.process_time()
    with pytest.raises(ValueError, match="no end of a tag"):
        feed_all()
    assert sizes[-1] <= MAX_TOKEN_BYTES
    assert time.process_time() - start < 2
