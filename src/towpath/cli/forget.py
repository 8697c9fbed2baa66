"""``towpath data forget``: where a document went, and the wish that it be left out from now on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def run(options: argparse.Namespace) -> int:
    """List what the document reached, and write the removal."""
    from towpath.cli.inputs import open_store, print_result
    from towpath.core.errors import ConfigError
    from towpath.data.removal import LIST, Removal, add_removals, files_with, find_documents, made_from

    wishes = [Removal(id=item, why=options.why) for item in options.id]
    wishes += [Removal(url=item, why=options.why) for item in options.url]
    if not wishes:
        raise ConfigError("Name what is to be forgotten: --id ID or --url URL.")
    store = open_store()
    found = find_documents(store, wishes)
    identifiers = {item.id for item in found}
    datasets = {item.dataset.id: item.dataset for item in found}
    records = [item for item in store.all("records") if files_with(item, identifiers)]
    reached = [*records, *datasets.values(), *made_from(store, datasets.values())]
    lines = [f"{item.id}  {item.split} of {item.dataset.path.name}  {item.url or ''}" for item in found]
    lines += [""] if found else ["No dataset here holds it."]
    facts: list[dict[str, Any]] = []
    for artifact in reached:
        files = [path.relative_to(artifact.path).as_posix() for path in files_with(artifact, identifiers)]
        facts.append({"kind": artifact.kind, "path": str(artifact.path), "files": files})
        lines += [f"{artifact.kind} {artifact.path}", *(f"    {name}" for name in files)]
    new = [] if options.dry_run else add_removals(store.home, wishes)
    lines += ["", _advice(options, len(new), store.home / LIST, bool(reached))]
    print_result(
        options, {"documents": sorted(identifiers), "reached": facts, "added": len(new)}, "\n".join(lines)
    )
    return 0


def _advice(options: argparse.Namespace, added: int, place: Path, reached: bool) -> str:
    if options.dry_run:
        return "Nothing was written."
    text = f"{added} removals were added to {place}." if added else f"{place} names it already."
    if reached:
        text += (
            " The next run of the same command makes documents, shards and models anew without it. "
            "Delete the folders above to be rid of it now; records hold it as long as the source gives it."
        )
    return text
