"""What the documents point to exists: links, files, modules, make targets, verbs, settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
IGNORED = {".venv", "work", "node_modules", "build", ".pytest_cache"}
DOCUMENTS = sorted(
    path
    for path in CHECKOUT.rglob("*.md")
    if not IGNORED.intersection(path.relative_to(CHECKOUT).parts) and not path.parts[-2].startswith(".")
)

FOLDERS = ("src", "tests", "docs", "benchmarks", "notebooks", "deploy", ".ci")
ROOT_FILE = re.compile(r"^(pyproject\.toml|constraints\.txt|Makefile|LICENSE|[A-Z]+\.md)$")
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def prose(path: Path) -> str:
    return FENCE.sub("", path.read_text())


def named_paths(text: str) -> Iterator[str]:
    """Paths in backquotes that mean a file or folder of the checkout; NAME stands for any name."""
    for code in CODE.findall(text):
        word = re.sub(r":\d+$", "", code)
        if " " in word or re.search(r"[<>*…{}$]|/NAME\b", word):
            continue
        if (word.split("/")[0] in FOLDERS and "/" in word) or ROOT_FILE.match(word):
            yield word


def spoken(path: Path) -> list[str]:
    """Everything set in code: inline and in blocks."""
    text = path.read_text()
    return [*FENCE.findall(text), *CODE.findall(FENCE.sub("", text))]


def links(path: Path) -> list[str]:
    """Links that stay inside the checkout."""
    return [link for link in LINK.findall(prose(path)) if not re.match(r"[a-z]+:", link)]


def wrong_in_documents(wrong_in: Callable[[Path], Iterable[str]]) -> list[str]:
    return [f"{path.relative_to(CHECKOUT)}: {wrong}" for path in DOCUMENTS for wrong in wrong_in(path)]


def test_every_relative_link_leads_to_a_file() -> None:
    def wrong(path: Path) -> list[str]:
        return [link for link in links(path) if not (path.parent / link.partition("#")[0]).exists()]

    assert wrong_in_documents(wrong) == []


def test_every_link_into_a_document_leads_to_a_heading() -> None:
    def wrong(path: Path) -> Iterator[str]:
        for link in links(path):
            file, mark, anchor = link.partition("#")
            if mark and anchor not in anchors(path.parent / file if file else path):
                yield link

    assert wrong_in_documents(wrong) == []


def anchors(path: Path) -> list[str]:
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_every_file_that_is_named_exists() -> None:
    def wrong(path: Path) -> list[str]:
        return [name for name in named_paths(prose(path)) if not (CHECKOUT / name).exists()]

    assert wrong_in_documents(wrong) == []


def test_every_make_target_that_is_named_exists() -> None:
    targets = re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    assert wrong_in_documents(lambda path: words_after(r"make", path) - {*targets}) == []


def test_every_verb_that_is_named_exists() -> None:
    from towpath.cli import VERBS

    assert wrong_in_documents(lambda path: words_after(r"(?:\.venv/bin/)?towpath", path) - {*VERBS}) == []


def words_after(command: str, path: Path) -> set[str]:
    pattern = re.compile(rf"^(?:\$ )?{command} ([a-z][a-z-]*)", re.MULTILINE)
    return {word for code in spoken(path) for word in pattern.findall(code)}


def test_every_setting_that_is_named_exists(settings: set[str]) -> None:
    """``train.max_steps`` in backquotes, or before the sign of an override, is a key of the run file."""
    tables = {key.partition(".")[0] for key in settings if "." in key}

    def wrong(path: Path) -> Iterator[str]:
        for code in CODE.findall(prose(path)):
            key = re.sub(r"\s*=.*$", "", code)
            if not re.fullmatch(r"[a-z]+(\.[a-z_0-9]+)+", key) or key.partition(".")[0] not in tables:
                continue
            is_file = key.rpartition(".")[2] in {"toml", "md", "txt", "json", "jsonl", "parquet", "py"}
            general = re.sub(r"^data\.(sources|filters)\.[^.]+\.", r"data.\1.", key)
            if general not in settings and not is_file:
                yield key

    assert wrong_in_documents(wrong) == []


@pytest.fixture(scope="module")
def settings() -> set[str]:
    """Every key that some run file may hold, those of every choice included."""
    from towpath.core.runfile import known_keys
    from towpath.data import FILTERS, SOURCES
    from towpath.model.config import MODELS
    from towpath.recipes.run_config import RunConfig
    from towpath.train.optimizers import OPTIMIZERS
    from towpath.train.schedules import SCHEDULES

    places = {
        "data.filters": FILTERS,
        "data.sources": SOURCES,
        "model": MODELS,
        "train.optimizer": OPTIMIZERS,
        "train.schedule": SCHEDULES,
    }
    chosen = {
        key
        for place, catalogue in places.items()
        for name in catalogue.names()
        for key in known_keys(catalogue.load(name), place)
    }
    return {*known_keys(RunConfig), *chosen}


def test_the_decisions_are_numbered_without_a_gap() -> None:
    names = sorted(path.name for path in (CHECKOUT / "docs" / "decisions").glob("*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    for name in names:
        text = (CHECKOUT / "docs" / "decisions" / name).read_text()
        assert text.startswith(f"# {int(name[:4])}. ")
        assert all(f"**{part}.**" in text for part in ("Context", "Choice", "Consequences")), name
