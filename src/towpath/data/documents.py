"""Documents: the finished artifact as something to read from, and its waterfall as a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from towpath.core.artifacts import Artifact
from towpath.core.errors import ArtifactError, DataError, did_you_mean
from towpath.data.document import Document
from towpath.data.mixture import MixtureConfig, SourceSize, source_weights
from towpath.data.parts import document_schema, part_paths, read_table, to_documents
from towpath.data.pipeline import KIND, WATERFALL
from towpath.data.verdicts import DROPPED, SPLITS, TRAIN


class Documents:
    """The documents of an artifact made by ``make_documents``, always in reading order."""

    def __init__(self, artifact: Artifact) -> None:
        if artifact.kind != KIND:
            raise ArtifactError(f"{artifact.path} is a {artifact.kind}; {KIND} are needed here.")
        self.artifact = artifact

    def sources(self, split: str = "train") -> list[str]:
        """Names of the sources that have documents in ``split``, in the order of the run file.

        ``split`` is "train", "validation" or "dropped".
        """
        if split not in SPLITS:
            raise DataError(
                f"There is no split {split!r}.{did_you_mean(split, SPLITS)} There are: {', '.join(SPLITS)}."
            )
        names = [source["name"] for source in self.artifact.config["sources"]]
        return [name for name in names if part_paths(self.artifact.path / split / name)]

    def sizes(self) -> list[SourceSize]:
        """The sources that have training documents, by the characters of those, as the mixture sees them."""
        characters = {name: counted["characters"][TRAIN] for name, counted in self.waterfall().items()}
        given = {source["name"]: source for source in self.artifact.config["sources"]}
        return [
            SourceSize(name, given[name]["category"], given[name]["weight"], characters[name])
            for name in self.sources(TRAIN)
        ]

    def mixture(self) -> MixtureConfig | None:
        """What the run file says of the mixture."""
        given = self.artifact.config.get("mixture")
        return None if given is None else MixtureConfig.model_validate(given)

    def weights(self) -> dict[str, float]:
        """Share of the training text of each source that has training documents; they sum to 1."""
        return source_weights(self.sizes(), self.mixture())

    def waterfall(self) -> dict[str, Any]:
        """For each source: records read; kept, in each split; dropped and quarantined, by reason;
        characters of each split; licences of what is kept."""
        return json.loads((self.artifact.path / WATERFALL).read_bytes())["sources"]

    def reasons(self) -> dict[str, dict[str, int]]:
        """For each source how many records left for which reason, quarantined or dropped."""
        counts = self.waterfall().items()
        return {name: {**counted["quarantined"], **counted["dropped"]} for name, counted in counts}

    def iterate(self, split: str, source: str) -> Iterator[Document]:
        """The documents of one source in one split. Memory use is that of one part."""
        known = self.sources(split)
        if source not in known:
            raise DataError(
                f"No source {source!r} in {split} of {self.artifact.path.name}.{did_you_mean(source, known)} "
                f"There are: {', '.join(known) or 'none'}."
            )
        paths = part_paths(self.artifact.path / split / source)
        return chain.from_iterable(to_documents(read_table(path, document_schema().names)) for path in paths)

    def texts(self, split: str, sources: Sequence[str] | None = None) -> Iterator[str]:
        """The texts of ``split``, source after source; None takes all sources."""
        for source in self.sources(split) if sources is None else sources:
            for path in part_paths(self.artifact.path / split / source):
                yield from read_table(path, ["text"])["text"].to_pylist()

    def find(self, document_id: str) -> tuple[str, Document, str | None]:
        """The split of a document, the document, and the reason why it was dropped or None.

        Raises:
            DataError: no document has this id.
        """
        for split in SPLITS:
            for source in self.sources(split):
                for path in part_paths(self.artifact.path / split / source):
                    ids = read_table(path, ["id"])["id"].to_pylist()
                    if document_id in ids:
                        row = read_table(path).slice(ids.index(document_id), 1)
                        reason = row["reason"][0].as_py() if split == DROPPED else None
                        return split, next(to_documents(row)), reason
        raise DataError(f"No document {document_id!r} in {self.artifact.path}.")


def waterfall_table(artifact: Artifact) -> str:
    """What became of the documents of each source, and of all together, as a Markdown table."""
    sources, lost = Documents(artifact).waterfall(), Documents(artifact).reasons()
    reasons: dict[str, int] = {}
    for of_source in lost.values():
        for reason, count in of_source.items():
            reasons[reason] = reasons.get(reason, 0) + count
    steps = ["read", *sorted(reasons, key=lambda reason: -reasons[reason]), "kept", "train", "validation"]
    rows = [["", *sources, "all"]]
    for step in steps:
        counts = [counted.get(step, lost[name].get(step, 0)) for name, counted in sources.items()]
        label, sign = (f"- {step}", "-") if step in reasons else (step, "")
        cells = [f"{sign}{count:,}" if count else "" for count in [*counts, sum(counts)]]
        rows.append([label, *cells])
    return _aligned(rows)


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| "
        + " | ".join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        + " |"
        for row in rows
    ]
    rule = "| " + " | ".join(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]) + " |"
    return "\n".join([lines[0], rule, *lines[1:]])
