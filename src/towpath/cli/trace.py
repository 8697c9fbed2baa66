"""``towpath trace``: from an artifact back to the sources; from a step to its documents; from a document to
what was decided about it."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from towpath.core.errors import ArtifactError

if TYPE_CHECKING:
    from towpath.core.artifacts import Artifact, Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The artifact, and what of it."""
    parser.add_argument(
        "reference",
        metavar="ARTIFACT",
        nargs="?",
        help="a folder, a name or the start of an id; without it, all artifacts are listed",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--step", type=int, metavar="N", help="the documents of optimizer step N of a checkpoint"
    )
    what.add_argument(
        "--sample", type=int, metavar="K", help="the documents of training sample K of a checkpoint"
    )
    what.add_argument(
        "--document", metavar="ID", help="one document: where it came from, what was decided about it"
    )


def run(options: argparse.Namespace) -> int:
    """Print what was asked for."""
    from towpath.cli.inputs import open_store, print_result

    store = open_store()
    if options.reference is None:
        facts, text = _list(store)
    elif options.document is not None:
        facts, text = _document(store, options.reference, options.document)
    elif options.step is not None or options.sample is not None:
        facts, text = _samples(store, options.reference, options.step, options.sample)
    else:
        facts, text = _lineage(store, options.reference)
    print_result(options, facts, text)
    return 0


def _list(store: Store) -> tuple[Any, str]:
    from towpath.cli.inputs import artifact_facts

    facts = [artifact_facts(item) for item in store.all()]
    lines = [f"{item['kind']:<12}{item['name']:<20}{item['id']}  {item['path']}" for item in facts]
    return facts, "\n".join(
        lines
    ) or f"No artifacts below {store.folder} yet. Make some with: towpath run tiny"


def _lineage(store: Store, reference: str) -> tuple[Any, str]:
    from towpath.cli.inputs import artifact_facts
    from towpath.core.lineage import ancestors

    facts: list[dict[str, Any]] = []
    lines: list[str] = []
    for ancestor in ancestors(store, _artifact(store, reference)):
        indent = "  " * ancestor.depth
        if ancestor.artifact is None:
            lines.append(f"{indent}{ancestor.id}  (its folder is gone)")
            facts.append({"depth": ancestor.depth, "id": ancestor.id})
            continue
        artifact = ancestor.artifact
        lines.append(f"{indent}{artifact.kind} {artifact.name} {artifact.id}  {artifact.path}")
        lines += [f"{indent}    {line}" for line in _origins(artifact)]
        facts.append({"depth": ancestor.depth, **artifact_facts(artifact), "config": dict(artifact.config)})
    return facts, "\n".join(lines)


def _artifact(store: Store, reference: str) -> Artifact:
    """What ``reference`` means; of a run's name, its last checkpoint."""
    from towpath.cli.inputs import last_checkpoint

    return last_checkpoint(store, reference) or store.open(reference)


def _origins(artifact: Artifact) -> list[str]:
    """What there is to say of an artifact in a line or two: its sources or its counts."""
    counts = ", ".join(
        f"{name} {value:,}" for name, value in artifact.counts.items() if isinstance(value, int)
    )
    lines = [counts] if counts else []
    if artifact.licences:
        lines.append(f"licences: {', '.join(artifact.licences)}")
    return lines


def _tokens_of(store: Store, reference: str) -> tuple[Artifact, Artifact]:
    """(pre-trained checkpoint, its tokens) behind ``reference``.

    Raises:
        ArtifactError: nothing behind it was trained on token shards.
    """
    from towpath.core.lineage import ancestors
    from towpath.train.checkpoint import KIND

    by_id = {item.id: item for item in store.all()}
    for ancestor in ancestors(store, _artifact(store, reference)):
        artifact = ancestor.artifact
        if artifact is None or artifact.kind != KIND:
            continue
        for parent in artifact.parents:
            if parent in by_id and by_id[parent].kind == "tokens":
                return artifact, by_id[parent]
    raise ArtifactError(f"Nothing behind {reference!r} was trained on token shards that are still here.")


def _samples(store: Store, reference: str, step: int | None, sample: int | None) -> tuple[Any, str]:
    from towpath.tokenizer import TokenShards
    from towpath.train.config import TrainConfig
    from towpath.train.pretrain import token_batches

    checkpoint, tokens = _tokens_of(store, reference)
    config = TrainConfig.model_validate(checkpoint.config["train"])
    context = checkpoint.config["model"]["n_positions"]
    batches = token_batches(TokenShards(tokens), config, context, checkpoint.config["seed"])
    if step is not None and not 1 <= step <= config.max_steps:
        raise ArtifactError(f"--step {step}: {checkpoint.name} has the steps 1 to {config.max_steps}.")
    last = config.max_steps * batches.samples_per_step - 1
    if sample is not None and not 0 <= sample <= last:
        raise ArtifactError(f"--sample {sample}: {checkpoint.name} was trained on the samples 0 to {last}.")
    indices = [sample] if sample is not None else batches.indices((step or 1) - 1)
    facts = [
        {"sample": index, **_span_facts(span)}
        for index in indices
        for span in batches.samples.provenance(index)
    ]
    lines = [
        f"sample {row['sample']:>8}  {row['source']:<16}{row['document_id']}  "
        f"bytes {row['bytes'][0]:,} to {row['bytes'][1]:,}"
        for row in facts
    ]
    return facts, "\n".join(lines)


def _span_facts(span: Any) -> dict[str, Any]:
    return {
        "source": span.source,
        "document_id": span.document_id,
        "tokens": list(span.tokens),
        "bytes": list(span.bytes),
    }


def _document(store: Store, reference: str, identifier: str) -> tuple[Any, str]:
    from towpath.core.lineage import ancestors
    from towpath.data import Documents

    for ancestor in ancestors(store, _artifact(store, reference)):
        if ancestor.artifact is not None and ancestor.artifact.kind == "documents":
            split, document, reason = Documents(ancestor.artifact).find(identifier)
            facts = {"split": split, "reason": reason, **dataclasses.asdict(document)}
            return facts, json.dumps(facts, indent=2, ensure_ascii=False)
    raise ArtifactError(f"There are no documents behind {reference!r} that are still here.")
