"""What a page's owner allows: read from headers and the page, judged by the filter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.data.document import Document, Meta
from towpath.data.features.owner_signals import OwnerSignals
from towpath.data.filters import FILTERS
from towpath.data.filters.owner_signals import OwnerSignalsConfig
from towpath.data.judging import reasons_to_drop
from towpath.data.parts import to_table
from towpath.data.sources.html_text import HtmlConfig, read_page
from towpath.data.sources.web_signals import header_signals, merged


def signals_of(html: str) -> Meta:
    meta = read_page(html.encode(), None, HtmlConfig()).meta
    return {name: value for name, value in meta.items() if name != "title"}


@pytest.mark.parametrize(
    ("fields", "signals"),
    [
        ([("X-Robots-Tag", "noindex, NOAI")], {"robots": "noai, noindex"}),
        ([("x-robots-tag", "noai"), ("X-ROBOTS-TAG", "noarchive")], {"robots": "noai, noarchive"}),
        ([("X-Robots-Tag", "otherbot: noindex, nofollow")], {}),
        ([("X-Robots-Tag", "*: noai")], {"robots": "noai"}),
        ([("X-Robots-Tag", "max-snippet: 20, noimageai")], {"robots": "noimageai"}),
        ([("X-Robots-Tag", "unavailable_after: 25 Jun 2010 15:00:00 PST")], {}),
        ([("X-Robots-Tag", "none")], {"robots": "nofollow, noindex"}),
        ([("X-Robots-Tag", "all, index")], {}),
        ([("Content-Usage", "train-ai=n")], {"train_ai": False}),
        ([("Content-Usage", "search=y, train-ai=y;exceptions=none")], {"train_ai": True}),
        ([("Content-Usage", "bots=n, train-ai=y")], {"train_ai": True}),
        ([("Content-Usage", "bots=n")], {"train_ai": False}),
        ([("Content-Usage", "search=n")], {}),
        ([("TDM-Reservation", "1"), ("tdm-policy", "https://example.org/p")], {"tdm_reservation": True}),
        ([("tdm-reservation", "0")], {}),
    ],
)
def test_headers_are_read(fields: list[tuple[str, str]], signals: Meta) -> None:
    assert header_signals(fields) == signals


@pytest.mark.parametrize(
    ("html", "signals"),
    [
        ("<meta name='robots' content='noai, noimageai'>", {"robots": "noai, noimageai"}),
        ('<META NAME="ROBOTS" CONTENT="NOINDEX,NOFOLLOW">', {"robots": "nofollow, noindex"}),
        ("<meta name=googlebot content=noindex>", {}),
        ("<meta name=robots content=noai><meta name=robots content=noindex>", {"robots": "noai, noindex"}),
        ("<meta name='tdm-reservation' content='1'>", {"tdm_reservation": True}),
        ("<meta name=robots>", {}),
        ("<p>robots noai", {}),
    ],
)
def test_meta_elements_are_read(html: str, signals: Meta) -> None:
    assert signals_of(f"<html><head>{html}</head><body><p>text</p></body></html>") == signals


def test_restrictions_of_header_and_page_add_up() -> None:
    both = merged({"robots": "noai", "train_ai": False}, {"robots": "noindex", "title": "T"})
    assert both == {"robots": "noai, noindex", "train_ai": False, "title": "T"}


def test_hidden_text_is_counted_when_asked_for() -> None:
    html = "<body><p>seen</p><p style='color:red; DISPLAY: none'>buy pills</p><i hidden>now</i></body>"
    page = read_page(html.encode(), None, HtmlConfig(hidden_text=True))
    assert page.meta == {"hidden_chars": len("buy pillsnow")}
    assert "pills" not in page.text


def reasons(metas: list[Meta], **config: object) -> list[str | None]:
    documents = [Document(id="1", text="t", source="web", domain="prose", meta=meta) for meta in metas]
    return reasons_to_drop(documents, [OwnerSignalsConfig.model_validate(config)])


def test_the_filter_drops_what_speaks_of_training_and_by_choice_more() -> None:
    metas: list[Meta] = [
        {},
        {"robots": "nofollow, noindex"},
        {"robots": "noai, noindex"},
        {"train_ai": False},
        {"train_ai": True, "robots": "noaiaiai"},
        {"tdm_reservation": True},
    ]
    assert reasons(metas) == [None, None, "owner_says_noai", "owner_says_no_ai_training", None, None]
    strict = reasons(metas, honour=["tdm_reservation", "noindex"])
    assert strict == [
        None,
        "owner_says_noindex",
        "owner_says_noindex",
        None,
        None,
        "owner_says_tdm_reservation",
    ]
    assert FILTERS.load("owner_signals") is OwnerSignalsConfig


def test_a_table_of_documents_without_any_signal_has_a_row_for_each() -> None:
    documents = [Document(id="1", text="t", source="book", domain="prose")] * 3
    columns = OwnerSignals().compute(to_table(documents))
    assert columns.schema == OwnerSignals().columns()
    assert columns["owner_noai"].to_pylist() == [False] * 3
    assert columns["owner_train_ai"].to_pylist() == [None] * 3


@given(st.text(max_size=60), st.sampled_from(["X-Robots-Tag", "Content-Usage", "tdm-reservation"]))
def test_any_header_is_read(value: str, name: str) -> None:
    signals = header_signals([(name, value)])
    assert set(signals) <= {"robots", "train_ai", "tdm_reservation"}
