"""``towpath data poison``: phrases and templates that look planted in a sample of documents."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from towpath.core.artifacts import Artifact
    from towpath.core.progress import Progress
    from towpath.data import Document
    from towpath.data.poisoning import PoisoningReport


def run(options: argparse.Namespace, artifact: Artifact) -> int:
    """Read the first ``--limit`` training documents and print what is worth a look."""
    from towpath.cli.inputs import print_result
    from towpath.core.progress import progress
    from towpath.data import Documents
    from towpath.data.poisoning import poisoning_report

    documents = Documents(artifact)
    kept = (item for source in documents.sources() for item in documents.iterate("train", source))
    with progress("looking for planted phrases", unit="documents") as bar:
        report = poisoning_report(_counted(islice(kept, options.limit), bar))
    print_result(options, asdict(report), _table(report))
    return 0


def _counted(documents: Iterable[Document], bar: Progress) -> Iterator[Document]:
    for document in documents:
        bar.advance()
        yield document


def _table(report: PoisoningReport) -> str:
    lines = [f"{report.n_documents:,} documents were read."]
    for burst in report.bursts:
        sources = ", ".join(f"{name} {count}" for name, count in burst.sources.items())
        lines.append(
            f"phrase {burst.phrase!r}: {burst.n_occurrences} times in {burst.n_documents} documents "
            f"({sources}), for example {burst.document_ids[0]}"
        )
    for template in report.templates:
        lines.append(
            f"template on {len(template.domains)} domains ({', '.join(template.domains[:5])}), "
            f"{template.n_documents} documents, for example {template.document_ids[0]}: {template.example!r}"
        )
    return "\n".join(lines if len(lines) > 1 else [*lines, "Nothing looks planted."])
