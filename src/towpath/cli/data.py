"""``towpath data``: make documents, and look at what was made.

``towpath data run.toml`` makes them; the other actions take a run file too, or the name, folder or
start of the id of documents that exist.
"""

from __future__ import annotations

import argparse
import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from towpath.core.artifacts import Artifact, Store

ACTIONS = {
    "make": "read, clean, deduplicate, hold out; the word make may be left out",
    "stats": "sizes, lengths, composition, drops, duplicates; as a page too",
    "show": "documents, kept or dropped and why",
    "validate": "check documents against data.bounds of their run file",
    "card": "a data card in Croissant, on standard output",
    "forget": "where a document went; keep it out from now on",
    "classify": "train a quality classifier on good and bad texts",
    "poison": "look for planted triggers and templates",
}
DEFAULT_ACTION = "make"
"""What a first word that is no action is an argument of."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions and their arguments."""
    from towpath.cli.inputs import add_run_file

    group = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions = {name: group.add_parser(name, help=summary) for name, summary in ACTIONS.items()}
    add_run_file(actions["make"])
    for name in ("stats", "show", "validate", "card", "poison"):
        actions[name].add_argument(
            "reference",
            metavar="DOCUMENTS",
            help="documents by name, folder or id; or a run file or recipe",
        )
    _add_show(actions["show"])
    actions["card"].add_argument("--version", dest="dataset_version", default="1.0.0", metavar="X.Y.Z")
    actions["poison"].add_argument("--limit", type=int, default=20_000, metavar="N", help="documents")
    classify = actions["classify"]
    classify.add_argument("what", choices=("train",), help="the only thing to do")
    for kind in ("good", "bad"):
        classify.add_argument(
            f"--{kind}",
            type=Path,
            required=True,
            metavar="FILE",
            help=f"{kind} texts: JSON lines",
        )
    classify.add_argument("--into", type=Path, required=True, metavar="FOLDER", help="where the result goes")
    forget = actions["forget"]
    forget.add_argument("--id", action="append", default=[], metavar="ID", help="a document")
    forget.add_argument("--url", action="append", default=[], metavar="URL", help="all of an address")
    forget.add_argument("--why", default="", metavar="TEXT", help="kept with the removal")
    forget.add_argument("--dry-run", action="store_true", help="say where it went and write nothing")


def _add_show(show: argparse.ArgumentParser) -> None:
    show.add_argument("--split", choices=("train", "validation", "dropped"), help="train when left out")
    show.add_argument("--source", metavar="NAME", help="of this source alone")
    show.add_argument("--reason", metavar="REASON", help="dropped for this reason")
    show.add_argument("--id", metavar="ID", help="the document with this id, or the start of one")
    show.add_argument("--limit", type=int, default=5, metavar="N", help="so many documents (5)")
    show.add_argument("--characters", type=int, default=600, metavar="N", help="of each text (600)")
    show.add_argument("--diff", action="store_true", help="what cleaning changed, against the source")


def run(options: argparse.Namespace) -> int:
    """Do the action."""
    actions = {
        "make": _make,
        "stats": _stats,
        "show": _show,
        "validate": _validate,
        "card": _card,
        "forget": _forget,
        "classify": _classify,
        "poison": _poison,
    }
    return actions[options.action](options)


def _make(options: argparse.Namespace) -> int:
    from towpath.cli.inputs import artifact_facts, path_of, print_result
    from towpath.core.errors import ConfigError, did_you_mean
    from towpath.data import waterfall_table
    from towpath.recipes import RECIPES

    nearest = did_you_mean(options.run_file, ACTIONS)
    if nearest and not Path(options.run_file).exists() and options.run_file not in RECIPES:
        raise ConfigError(f"{options.run_file!r} is no action, run file or recipe.{nearest}")
    documents = path_of(options).upto("data")
    print_result(
        options, artifact_facts(documents), f"{waterfall_table(documents)}\nDocuments are in {documents.path}"
    )
    return 0


def _documents(options: argparse.Namespace) -> tuple[Store, Artifact]:
    """The documents that ``options.reference`` means; those of a run file are made when missing."""
    from towpath.cli.inputs import open_store, path_of
    from towpath.recipes import RECIPES

    store = open_store()
    reference = options.reference
    if reference.endswith(".toml"):
        options.run_file, options.overrides = reference, []
        return store, path_of(options).upto("data")
    if reference in RECIPES and not any(item.name == reference for item in store.all("documents")):
        options.run_file, options.overrides = reference, []
        return store, path_of(options).upto("data")
    return store, store.open(reference, "documents")


def _stats(options: argparse.Namespace) -> int:
    from towpath.cli.inputs import print_result
    from towpath.data.statistics_page import FACTS, MARKDOWN, PAGE, make_statistics

    store, documents = _documents(options)
    made = make_statistics(store, documents, _tokens_of(store, documents))
    facts = json.loads((made.path / FACTS).read_bytes())
    text = (made.path / MARKDOWN).read_text()
    print_result(options, facts, f"{text}\nThe page is {made.path / PAGE}")
    return 0


def _tokens_of(store: Store, documents: Artifact) -> tuple[Artifact, dict[str, int]] | None:
    """The token shards of ``documents``, if there are any, and the training tokens of each source."""
    from towpath.recipes.statistics import training_tokens

    shards = [item for item in store.all("tokens") if documents.id in item.parents]
    return (shards[-1], training_tokens(shards[-1])) if shards else None


def _show(options: argparse.Namespace) -> int:
    from towpath.cli.inputs import print_result
    from towpath.data.looking import as_read, difference, find, look, summary

    _, documents = _documents(options)
    split = options.split or ("dropped" if options.reason else "train")
    if options.id:
        chosen = [find(documents, options.id)]
    else:
        chosen = list(islice(look(documents, split, options.source, options.reason), options.limit))
    facts, texts = [], []
    for seen in chosen:
        change = difference(as_read(documents, seen.document), seen.document.text) if options.diff else None
        facts.append(_facts_of(seen, change))
        shown = summary(seen, 0 if options.diff else options.characters)
        texts.append(f"{shown}{change or '(nothing was changed)'}\n" if options.diff else shown)
    rule = "\n" + "─" * 80 + "\n"
    print_result(options, facts, rule.join(texts) or f"There are no documents in {split}.")
    return 0


def _facts_of(seen: Any, change: str | None) -> dict[str, Any]:
    from dataclasses import asdict

    facts = asdict(seen)
    return facts if change is None else {**facts, "diff": change}


def _validate(options: argparse.Namespace) -> int:
    from towpath.cli.inputs import print_result
    from towpath.data.bounds import Bound, violations
    from towpath.data.statistics import statistics

    store, documents = _documents(options)
    tokens = _tokens_of(store, documents)
    facts = statistics(documents, tokens[1] if tokens else None)
    bounds = {name: Bound.model_validate(bound) for name, bound in _bounds(options, documents).items()}
    found = violations(facts, bounds)
    text = (
        "\n".join(found) or f"{documents.path.name} is within its {len(bounds)} bounds; its files are whole."
    )
    print_result(options, {"documents": documents.id, "bounds": len(bounds), "violations": found}, text)
    return 1 if found else 0


def _bounds(options: argparse.Namespace, documents: Artifact) -> dict[str, Any]:
    """The bounds of the run file; of documents that were named, those of the run that made them."""
    from towpath.cli.inputs import open_store
    from towpath.core import runfile
    from towpath.core.errors import ConfigError
    from towpath.recipes.run_config import RunConfig

    place = Path(options.reference)
    if place.suffix != ".toml":
        place = open_store().home / "runs" / documents.name / "run.toml"
    if not place.exists():
        raise ConfigError(f"{place} does not exist: give the run file, whose data.bounds are to hold.")
    bounds = runfile.load(RunConfig, place, []).config.data.bounds
    if not bounds:
        raise ConfigError(
            f"{place} declares no bounds. For example:\n\n[data.bounds]\n"
            '"all.documents" = { min = 1000 }\n"all.dropped_share" = { max = 0.5 }'
        )
    return {name: bound.model_dump() for name, bound in bounds.items()}


def _card(options: argparse.Namespace) -> int:
    from towpath.data.card import croissant

    _, documents = _documents(options)
    print(json.dumps(croissant(documents, version=options.dataset_version), indent=2, ensure_ascii=False))
    return 0


def _forget(options: argparse.Namespace) -> int:
    from towpath.cli import forget

    return forget.run(options)


def _classify(options: argparse.Namespace) -> int:
    from towpath.cli import classify

    return classify.run(options)


def _poison(options: argparse.Namespace) -> int:
    from towpath.cli import poison

    return poison.run(options, _documents(options)[1])
