"""What the rows share: sides run in turn, rates of CPU time, the row they end with, texts to run on.

A row's file names its sides, ours first, and what each run goes through; here they are timed and told.
CPU time and medians of runs in turn, since other work on the machine slows down both alike. Texts come from
the shared data where it is, else from Python's documentation and sources.
"""

from __future__ import annotations

import gzip
import json
import pydoc_data.topics
import random
import statistics
import time
from argparse import ArgumentParser, RawTextHelpFormatter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, cycle
from pathlib import Path

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
DOCUMENT_CHARS = 4_000
TEXT_SUFFIXES = (".txt", ".jsonl", ".gz")
KEYS = ("row", "ours", "peer", "ratio", "unit")


def arguments(description: str | None, size_mb: float | None = None) -> ArgumentParser:
    """The options of a benchmark: ``--size-mb`` when it has a size."""
    parser = ArgumentParser(description=description, formatter_class=RawTextHelpFormatter)
    if size_mb is not None:
        parser.add_argument("--size-mb", type=float, default=size_mb, help="of the texts")
    return parser


@dataclass(frozen=True)
class Side:
    """Ours or a peer: ``run`` goes through ``amount`` documents, megabytes, … and says what came of it."""

    name: str
    amount: float
    run: Callable[[], str]


def paired(sides: Sequence[Side], rounds: int, unit: str) -> list[float]:
    """The amount a CPU second of each side, of the median of ``rounds`` in turn; ours is the first.

    Every run prints a line, and so does every peer at the end.
    """
    seconds: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, taken in zip(sides, seconds, strict=True):
            start = time.process_time()
            outcome = side.run()
            taken.append(time.process_time() - start)
            rate = _short(side.amount / taken[-1])
            print(f"{side.name}: {side.amount:,.6g} in {taken[-1]:.2f} s, {rate:,} {unit}, {outcome}")
    rates = [side.amount / statistics.median(taken) for side, taken in zip(sides, seconds, strict=True)]
    for side, rate in zip(sides[1:], rates[1:], strict=True):
        print(f"{side.name}: {_short(rate):,} {unit}, ours is {_short(rates[0] / rate)} times that")
    return rates


def print_row(row: str, rates: Sequence[float], unit: str) -> None:
    """The last line of a benchmark, in JSON: the first two of ``rates`` are ours and the peer's."""
    ours, peer, *_ = rates
    facts = (row, _short(ours), _short(peer), _short(ours / peer), unit)
    print(json.dumps(dict(zip(KEYS, facts, strict=True))))


def is_row(line: str) -> bool:
    """Whether ``line`` is one that ``print_row`` wrote."""
    try:
        facts = json.loads(line)
    except ValueError:
        return False
    return isinstance(facts, dict) and tuple(facts) == KEYS


def _short(value: float) -> float:
    """Rounded to what a measurement is good for."""
    return round(value, 2) if value < 10 else round(value, 1) if value < 1_000_000 else round(value)


def cut_texts(size_mb: float, suffixes: Sequence[str] = TEXT_SUFFIXES) -> list[str]:
    """Stretches of 4,000 characters of every text there is, each once: no more than there is."""
    files = sorted(path for path in (SHARED / "pretrain").rglob("*") if path.suffix in suffixes)
    documents: list[str] = []
    size_bytes = 0
    for piece in _pieces(chain(map(_read, files), _python())):
        if size_bytes >= size_mb * 1e6:
            break
        documents.append(piece)
        size_bytes += len(piece.encode())
    return documents


def joined_texts(size_mb: float) -> list[str]:
    """Documents of at least 4,000 characters, prose and web; the same again where texts are not enough."""
    return _documents(cycle(_pieces(_prose_and_web())), size_mb)


def drawn_paragraphs(size_mb: float) -> list[str]:
    """Different documents of at least 4,000 characters: paragraphs of prose, drawn at random."""
    books = [path.read_text() for path in sorted((SHARED / "pretrain" / "books").glob("*.txt"))]
    if books:
        books.append((SHARED / "pretrain" / "stories" / "tinystories.txt").read_text())
    else:
        books = list(pydoc_data.topics.topics.values())
    found = [" ".join(text.split()) for book in books for text in book.split("\n\n")]
    paragraphs = [text for text in found if 100 < len(text) < 2_000]
    draw = random.Random(0)
    return _documents(iter(lambda: draw.choice(paragraphs), None), size_mb)


def _documents(pieces: Iterator[str], size_mb: float) -> list[str]:
    """Pieces together until they have 4,000 characters."""
    documents: list[str] = []
    while len(documents) * DOCUMENT_CHARS < size_mb * 1e6:
        chosen: list[str] = []
        while sum(map(len, chosen)) < DOCUMENT_CHARS:
            chosen.append(next(pieces))
        documents.append("\n\n".join(chosen))
    return documents


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    """``texts``, long ones cut."""
    for text in texts:
        for start in range(0, len(text), DOCUMENT_CHARS):
            yield text[start : start + DOCUMENT_CHARS]


def _read(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode(errors="ignore")


def _prose_and_web() -> Iterator[str]:
    if not SHARED.is_dir():
        yield from pydoc_data.topics.topics.values()
        return
    for name in ("web/c4.jsonl", "mixed/brown.jsonl.gz", "mixed/masc.jsonl.gz", "stories/storybooks.jsonl"):
        yield from (
            json.loads(line)["text"] for line in _read(SHARED / "pretrain" / name).split("\n") if line
        )
    yield from map(_read, sorted((SHARED / "pretrain" / "books").glob("*.txt")))


def _python() -> Iterator[str]:
    yield from pydoc_data.topics.topics.values()
    for folder in (Path(__file__).resolve().parents[2] / "src", Path(json.__file__).parents[1]):
        for path in sorted(folder.rglob("*.py")):
            if "site-packages" not in path.parts:
                yield path.read_text(encoding="utf-8", errors="ignore")
