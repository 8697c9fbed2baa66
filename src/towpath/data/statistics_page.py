"""The statistics of documents to look at: Markdown for a terminal or a repository, HTML for a browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from towpath.core import page
from towpath.core.files import readable_json, write_durably
from towpath.data.card import croissant
from towpath.data.statistics import statistics

if TYPE_CHECKING:
    from towpath.core.artifacts import Artifact, Draft, Store

KIND = "statistics"
FACTS, MARKDOWN, PAGE, CARD = "statistics.json", "statistics.md", "statistics.html", "croissant.json"


def make_statistics(
    store: Store,
    documents: Artifact,
    tokens: tuple[Artifact, Mapping[str, int]] | None = None,
) -> Artifact:
    """Count, and write the numbers, the pages and the card (kind "statistics").

    Args:
        store: where the artifact goes.
        documents: the dataset.
        tokens: its token shards and the training tokens of each source in them.
    """
    parents = [documents, tokens[0]] if tokens else [documents]

    def write(draft: Draft) -> None:
        facts = statistics(documents, tokens[1] if tokens else None)
        write_durably(draft.path / FACTS, readable_json(facts))
        write_durably(draft.path / MARKDOWN, markdown(facts).encode())
        write_durably(draft.path / PAGE, html(facts).encode())
        write_durably(draft.path / CARD, readable_json(croissant(documents)))

    return store.make(KIND, documents.name, {"layout": _LAYOUT}, parents, write)


_LAYOUT = 1
_OVERVIEW = ("source", "type", "category", "read", "kept", "train", "validation", "characters", "tokens")


def markdown(facts: Mapping[str, Any]) -> str:
    """``facts`` of ``statistics`` as Markdown."""
    lines = [f"# Documents {facts['name']}", "", *_markdown_table(_OVERVIEW, _overview(facts)), ""]
    lines += ["## What was dropped", "", *_markdown_table(("reason", "documents"), _reasons(facts)), ""]
    lines += ["## Composition", "", *_markdown_table(_SHARES, _composition(facts)), ""]
    if facts["composition"]["absent"]:
        lines += [_absent(facts), ""]
    clusters = facts["duplicates"]
    lines += [
        "## Duplicates",
        "",
        f"{clusters['documents']:,} documents repeat one of {clusters['clusters']:,}.",
        "",
    ]
    if facts["contamination"]:
        lines += ["## Evaluation sets", "", *_markdown_table(_TASKS, _tasks(facts)), ""]
    for title, key in (("Languages", "languages"), ("Hosts", "hosts"), ("Licences", "licences")):
        if rows := _counts(facts, key):
            lines += [f"## {title}", "", *_markdown_table(("source", "", "documents"), rows), ""]
    return "\n".join(lines)


def html(facts: Mapping[str, Any]) -> str:
    """``facts`` of ``statistics`` as one self-contained page."""
    whole = facts["all"]
    body = [
        page.paragraph(
            f"{whole['documents']:,} documents of {whole['read']:,} stayed "
            f"({1 - whole['dropped_share']:.1%}), {whole['characters']:,} characters. "
            f"Artifact {facts['documents']}."
        ),
        page.table(_OVERVIEW, _overview(facts)),
        page.heading("What became of the documents of each source"),
        page.shares([(name, _fates(source)) for name, source in facts["sources"].items()], "fates by source"),
        page.heading("What was dropped"),
        page.bars(
            [(reason, count, f"{count:,}") for reason, count in whole["dropped"].items()], "drops by reason"
        ),
        page.heading("Composition"),
        page.table(_SHARES, _composition(facts)),
        page.paragraph(_absent(facts)) if facts["composition"]["absent"] else "",
        page.heading("Lengths"),
    ]
    for name, source in facts["sources"].items():
        if source["documents"]:
            picture = page.histogram(
                facts["length_edges"], source["lengths"], "characters", f"lengths of {name}"
            )
            body += [page.heading(name, 3), picture]
    body += [page.heading("Duplicates"), *_duplicates(facts["duplicates"])]
    if facts["contamination"]:
        body += [page.heading("Evaluation sets"), page.table(_TASKS, _tasks(facts))]
    for title, key in (("Languages", "languages"), ("Hosts", "hosts"), ("Years", "years")):
        body += _bars_by_source(facts, title, key)
    body += [
        page.heading("Licences"),
        page.table(("source", "licence", "documents"), _counts(facts, "licences")),
    ]
    return page.page(f"Documents {facts['name']}", body)


_TASKS = ("task", "records", "ignored", "found", "documents", "dropped", "cut")
_SHARES = ("", "share of training text", "wanted")


def _overview(facts: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for name, source in facts["sources"].items():
        tokens = source["train_tokens"]
        rows.append(
            [
                name,
                source["type"],
                source["category"],
                *(f"{source[key]:,}" for key in ("read", "documents", "train", "validation", "characters")),
                "" if tokens is None else f"{tokens:,}",
            ]
        )
    return rows


def _reasons(facts: Mapping[str, Any]) -> list[list[str]]:
    return [[reason, f"{count:,}"] for reason, count in facts["all"]["dropped"].items()]


def _composition(facts: Mapping[str, Any]) -> list[list[str]]:
    composition = facts["composition"]
    rows = [(name, row) for name, row in composition["categories"].items()]
    rows += [(f"  {name}", row) for name, row in composition["sources"].items()]
    return [[name, f"{row['is']:.1%}", f"{row['wanted']:.1%}"] for name, row in rows]


def _tasks(facts: Mapping[str, Any]) -> list[list[str]]:
    names = ("records", "ignored_records", "found_records", "documents", "documents_dropped", "documents_cut")
    return [[task["task"], *(f"{task[name]:,}" for name in names)] for task in facts["contamination"]]


def _absent(facts: Mapping[str, Any]) -> str:
    names = ", ".join(facts["composition"]["absent"])
    return f"No text at all of: {names}. The other categories have taken over their share."


def _fates(source: Mapping[str, Any]) -> dict[str, float]:
    read = source["read"] or 1
    fates = {"train": source["train"], "validation": source["validation"], **source["dropped"]}
    return {name: count / read for name, count in fates.items()}


def _duplicates(clusters: Mapping[str, Any]) -> list[str]:
    if not clusters["clusters"]:
        return [page.paragraph("None.")]
    text = (
        f"{clusters['documents']:,} documents repeat one of {clusters['clusters']:,}, by size of the cluster:"
    )
    rows = [(f"{size} alike", count, f"{count:,}") for size, count in clusters["sizes"].items()]
    largest = [[row["kept"], f"{row['size']:,}"] for row in clusters["largest"]]
    return [
        page.paragraph(text),
        page.bars(rows, "clusters by size"),
        page.table(("the document that stayed", "alike"), largest),
    ]


def _counts(facts: Mapping[str, Any], key: str) -> list[list[str]]:
    return [
        [name, value, f"{count:,}"]
        for name, source in facts["sources"].items()
        for value, count in (source.get(key) or {}).items()
    ]


def _bars_by_source(facts: Mapping[str, Any], title: str, key: str) -> list[str]:
    pictures = []
    for name, source in facts["sources"].items():
        if counts := source.get(key):
            rows = [(value, count, f"{count:,}") for value, count in counts.items()]
            pictures += [page.heading(name, 3), page.bars(rows, f"{title.lower()} of {name}")]
    return [page.heading(title), *pictures] if pictures else []


def _markdown_table(columns: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    lines = [columns, ["-"] * len(columns), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
