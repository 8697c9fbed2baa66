"""Statistics, the page, the card and the bounds of documents, against what was put in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from towpath.core.artifacts import Artifact, Store
from towpath.core.errors import ConfigError
from towpath.data import make_documents
from towpath.data.bounds import Bound, violations
from towpath.data.card import croissant
from towpath.data.mixture import MixtureConfig
from towpath.data.statistics import LENGTH_EDGES, host_of, statistics
from towpath.data.statistics_page import CARD, FACTS, MARKDOWN, PAGE, html, make_statistics, markdown

from .conftest import WriteLines, files_config, prose

N_DIFFERENT, N_COPIES, N_SHORT = 12, 3, 2


@pytest.fixture
def documents(store: Store, json_lines: WriteLines) -> Artifact:
    records: list[Any] = [
        {
            "text": prose(seed),
            "url": f"https://www.host{seed % 3}.org/{seed}",
            "date": f"20{10 + seed % 2}-01",
        }
        for seed in range(N_DIFFERENT)
    ]
    records += [{"text": prose(0)}] * N_COPIES + [{"text": "short"}] * N_SHORT
    path = json_lines("in.jsonl", records)
    config = files_config(path, validation_share=0.1)
    config = config.model_copy(update={"mixture": MixtureConfig()})
    return make_documents(store, config, "counted")


def test_every_document_is_counted_once(documents: Artifact) -> None:
    facts = statistics(documents)
    source = facts["sources"]["files"]
    assert facts["all"]["read"] == N_DIFFERENT + N_COPIES + N_SHORT
    assert source["documents"] == source["train"] + source["validation"] == N_DIFFERENT
    assert source["dropped"] == {"exact_duplicate": N_COPIES, "too_short": N_SHORT}
    assert source["characters"] == sum(len(prose(seed)) for seed in range(N_DIFFERENT))
    assert source["hosts"] == {"host0.org": 4, "host1.org": 4, "host2.org": 4}
    assert source["languages"] == {"en": N_DIFFERENT}
    assert source["years"] == {"2010": 6, "2011": 6}
    assert facts["duplicates"]["sizes"] == {str(N_COPIES + 1): 1}


def test_lengths_fall_into_the_column_between_their_edges(documents: Artifact) -> None:
    counts = statistics(documents)["sources"]["files"]["lengths"]
    expected = [0] * (len(LENGTH_EDGES) - 1)
    for seed in range(N_DIFFERENT):
        size = len(prose(seed))
        expected[max(number for number, edge in enumerate(LENGTH_EDGES) if edge <= size)] += 1
    assert counts == expected


def test_composition_compares_what_is_with_what_is_wanted(documents: Artifact) -> None:
    composition = statistics(documents, {"files": 777})["composition"]
    assert composition["unit"] == "tokens"
    assert composition["categories"] == {"web": {"is": 1.0, "wanted": 1.0}}
    assert set(composition["absent"]) == {"books", "academic", "code", "conversation"}


def test_the_artifact_holds_numbers_page_and_card(store: Store, documents: Artifact) -> None:
    made = make_statistics(store, documents)
    facts = json.loads((made.path / FACTS).read_bytes())
    assert facts == json.loads(json.dumps(statistics(documents)))
    assert (made.path / MARKDOWN).read_text() == markdown(facts)
    page = (made.path / PAGE).read_text()
    assert page == html(facts)
    assert "exact_duplicate" in page
    assert "host1.org" in page
    assert make_statistics(store, documents).path == made.path


def test_a_source_can_give_names_that_look_like_markup_and_the_page_shows_them(
    store: Store, json_lines: WriteLines
) -> None:
    path = json_lines("x.jsonl", [{"text": prose(1), "date": "<b>1"}, {"text": prose(2), "date": "|||||"}])
    facts = statistics(make_documents(store, files_config(path)))
    assert "&lt;b&gt;1" in html(facts)
    assert "<b>1" not in html(facts)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://www.example.org/a?b", "example.org"),
        ("http://EXAMPLE.org:80", "example.org"),
        ("no address", ""),
        ("http://[broken", ""),
    ],
)
def test_hosts_are_read_from_addresses(url: str, host: str) -> None:
    assert host_of(url) == host


def test_bounds_name_what_is_outside_with_both_numbers(documents: Artifact) -> None:
    facts = statistics(documents)
    bounds = {"all.documents": Bound(min=100), "all.dropped_share": Bound(max=0.1), "all.read": Bound(min=1)}
    assert violations(facts, bounds) == [
        "all.documents is 12; at least 100 is asked for.",
        "all.dropped_share is 0.294118; at most 0.1 is allowed.",
    ]


def test_a_bound_on_nothing_offers_the_nearest(documents: Artifact) -> None:
    with pytest.raises(ConfigError, match=r"'all.document'.*Did you mean 'all.documents'"):
        violations(statistics(documents), {"all.document": Bound(min=1)})


@pytest.mark.parametrize("bound", [{}, {"min": 2, "max": 1}])
def test_bounds_that_nothing_could_meet_are_refused(bound: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"needs min|nothing could pass"):
        Bound(**bound)


def test_mlcroissant_accepts_the_card_and_reads_the_documents_by_it(
    documents: Artifact, store: Store, tmp_path: Path
) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    path = documents.path / CARD  # files are named relative to the card
    path.write_text(json.dumps(croissant(documents)))
    dataset = mlcroissant.Dataset(jsonld=str(path))
    assert not dataset.metadata.ctx.issues.errors
    texts = {record["train/text"].decode() for record in dataset.records("train")}
    texts |= {record["validation/text"].decode() for record in dataset.records("validation")}
    assert texts == {prose(seed) for seed in range(N_DIFFERENT)}


def test_evaluation_sets_are_a_row_each(store: Store, json_lines: WriteLines) -> None:
    texts = [prose(seed) for seed in range(8)]
    evaluation = json_lines("eval.jsonl", [{"question": " ".join(texts[3].split()[:30])}])
    task = {"task": "planted", "path": str(evaluation), "fields": ["question"]}
    path = json_lines("in.jsonl", [{"text": text} for text in texts])
    facts = statistics(make_documents(store, files_config(path, decontaminate=[task])))
    [row] = facts["contamination"]
    assert (row["records"], row["found_records"], row["documents_dropped"]) == (1, 1, 1)
    assert "planted" in html(facts)
    assert "planted" in markdown(facts)
