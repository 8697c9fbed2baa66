"""A quality classifier of one's own: texts like the good ones get a high score, like the bad ones a low.

Labelled texts go in, ``Classifier`` comes out: after Joulin et al. 2016 (arXiv:1607.01759), a linear
model over the mean of hashed word n-grams, trained by stochastic gradient descent with a rate that
falls along a line. Deviation: with two classes the paper's two factors, embedding and output, are one
weight for each feature, and that is what is trained here, from zero. The same texts, settings and seed
give the same weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, ValidationError

from towpath.core.config import Section
from towpath.core.errors import DataError
from towpath.core.files import write_durably
from towpath.core.texts import Texts
from towpath.data.kernels.classifier import MAX_NGRAM_WORDS, Shape, scores, train_
from towpath.data.sources.streams import read_lines

if TYPE_CHECKING:
    import pyarrow as pa

WEIGHTS_FILE = "classifier.safetensors"
REPORT_FILE = "classifier.json"
_MIN_OF_A_CLASS = 5
_CALIBRATION_BINS = 10


class ClassifierTrainingConfig(Section):
    """How a quality classifier is trained."""

    max_ngram_words: int = Field(default=2, ge=1, le=MAX_NGRAM_WORDS)
    """Up to this many words in a row are a feature."""
    bucket_bits: int = Field(default=20, ge=8, le=28)
    """Features are hashed to 2 to this power weights of 4 bytes."""
    epochs: int = Field(default=5, ge=1)
    """Times that each text is seen."""
    learning_rate: float = Field(default=300.0, gt=0)
    """Of the first step; 0 at the last. Large, since all features of a text share one step: of 3 to 300 this
    gave the best area under the curve and calibration on encyclopedia against web text."""
    held_out_share: float = Field(default=0.2, gt=0, lt=1)
    """Share of each class that is not trained on but measured."""
    max_document_bytes: int = Field(default=1 << 16, ge=1)
    """Of a longer text the rest is not read."""
    seed: int = 0
    """Chooses what is held out and the order."""

    @property
    def shape(self) -> Shape:
        """What turns a text into features."""
        return Shape(self.bucket_bits, self.max_ngram_words, self.max_document_bytes)


@dataclass(frozen=True)
class CalibrationBin:
    """Held-out texts with scores from ``low`` to ``low`` + 0.1."""

    low: float
    n_documents: int
    mean_score: float
    good_share: float
    """What ``mean_score`` says if the classifier is calibrated."""


@dataclass(frozen=True)
class ClassifierReport:
    """Measured on texts that were not trained on."""

    n_trained: int
    n_held_out: int
    accuracy: float
    """Share on the right side of 0.5."""
    area_under_curve: float
    """Probability that a good text scores higher than a bad one; 0.5 is chance."""
    calibration_error: float
    """Mean distance of score and share of good texts over the bins, weighted by their texts."""
    calibration: tuple[CalibrationBin, ...]
    loss_of_epochs: tuple[float, ...]
    """Mean log loss in training, nats, each text before its step."""


@dataclass(frozen=True)
class Classifier:
    """Weights and what they belong to."""

    config: ClassifierTrainingConfig
    weights: np.ndarray
    """float32, (2 ** bucket_bits,)."""
    report: ClassifierReport | None = None

    def scores(self, texts: pa.Array | pa.ChunkedArray | Sequence[str]) -> np.ndarray:
        """Probability that each text is a good one: float64, (N,); 0.5 for a text without a word."""
        return scores(_packed(texts), self.weights, self.config.shape)

    def save(self, folder: Path) -> str:
        """Write the weights and the report below ``folder``; returns the weights' SHA-256.

        The weights' file holds the settings as well, so its digest stands for all that scores depend on.
        """
        from safetensors.numpy import save

        content = save({"weights": self.weights}, {"config": self.config.model_dump_json()})
        digest = hashlib.sha256(content).hexdigest()
        report = {"sha256": digest, "config": self.config.model_dump(mode="json")}
        report["report"] = None if self.report is None else asdict(self.report)
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / WEIGHTS_FILE, content)
        write_durably(folder / REPORT_FILE, (json.dumps(report, indent=2) + "\n").encode())
        return digest

    @classmethod
    def load(cls, path: Path) -> Classifier:
        """What ``save`` wrote to the folder ``path``, or its weights' file; without the report.

        Raises:
            DataError: there is no such file, or it is no classifier.
        """
        from safetensors import SafetensorError, safe_open

        file = weights_file(path)
        try:
            with safe_open(file, "numpy") as stored:
                config = ClassifierTrainingConfig.model_validate_json((stored.metadata() or {})["config"])
                weights = stored.get_tensor("weights")
        except (OSError, SafetensorError, KeyError, ValidationError) as error:
            raise DataError(
                f"{file} can't be read as a quality classifier: {error}. "
                "Expected what train_classifier(…).save wrote."
            ) from error
        if weights.dtype != np.float32 or weights.shape != (1 << config.bucket_bits,):
            raise DataError(
                f"{file} holds weights {weights.dtype} {weights.shape}; "
                f"expected float32 ({1 << config.bucket_bits},)."
            )
        return cls(config, weights)


def weights_file(path: Path) -> Path:
    """The weights' file of a saved classifier, given by it or by its folder."""
    return path / WEIGHTS_FILE if path.is_dir() else path


def labelled_texts(path: Path, field: str = "text") -> Iterator[str]:
    """The texts of a file of JSON lines (.jsonl, also .gz, .bz2, .zst), for ``train_classifier``.

    Those of an artifact are ``Documents(artifact).texts("train")``.

    Raises:
        DataError: a line is no JSON object with a string ``field``; names the file and the byte.
    """
    for line in read_lines(path):
        if not line.raw.strip():
            continue
        try:
            text = json.loads(line.raw)[field]
        except (ValueError, TypeError, KeyError, RecursionError):
            text = None
        if not isinstance(text, str):
            raise DataError(
                f"{path}, byte {line.byte_offset}: {line.raw[:60]!r} is no labelled text. Expected a JSON "
                f"object with a string {field!r} on each line."
            )
        yield text


def train_classifier(
    good: Iterable[str], bad: Iterable[str], config: ClassifierTrainingConfig | None = None
) -> Classifier:
    """Train on ``good`` and ``bad`` texts, all held in memory; ``report`` says how well it does on others.

    Raises:
        DataError: there are fewer than five texts of a class.
    """
    config = config or ClassifierTrainingConfig()
    texts, is_good = _labelled(list(good), list(bad))
    chance = np.random.default_rng(config.seed)
    held_out = _held_out(is_good, config.held_out_share, chance)
    train_rows = np.flatnonzero(~held_out)
    order = np.concatenate([chance.permutation(train_rows) for _ in range(config.epochs)]).astype(np.int64)
    weights = np.zeros(1 << config.bucket_bits, np.float32)
    before = train_(weights, texts, is_good, order, learning_rate=config.learning_rate, shape=config.shape)
    found = scores(texts, weights, config.shape)[held_out]
    losses = _log_loss(before, is_good[order]).reshape(config.epochs, -1).mean(axis=1)
    report = _report(found, is_good[held_out].astype(bool), len(train_rows), losses)
    return Classifier(config, weights, report)


def _labelled(good: list[str], bad: list[str]) -> tuple[Texts, np.ndarray]:
    if min(len(good), len(bad)) < _MIN_OF_A_CLASS:
        raise DataError(
            f"A classifier can't be trained on {len(good)} good and {len(bad)} bad texts. Expected at least "
            f"{_MIN_OF_A_CLASS} of each; some hundreds are a beginning."
        )
    is_good = np.array([1] * len(good) + [0] * len(bad), np.uint8)
    return _packed([*good, *bad]), is_good


def _packed(texts: Any) -> Texts:
    import pyarrow as pa

    is_arrow = isinstance(texts, pa.Array | pa.ChunkedArray)
    return Texts.of(texts if is_arrow else pa.array(texts, pa.large_string()))


def _held_out(is_good: np.ndarray, share: float, chance: np.random.Generator) -> np.ndarray:
    """bool, (N,): the same share of each class, at least one text and not all."""
    held_out = np.zeros(len(is_good), bool)
    for label in (0, 1):
        rows = np.flatnonzero(is_good == label)
        count = min(max(round(share * len(rows)), 1), len(rows) - 1)
        held_out[chance.permutation(rows)[:count]] = True
    return held_out


def _log_loss(probabilities: np.ndarray, is_good: np.ndarray) -> np.ndarray:
    of_label = np.where(is_good, probabilities, 1 - probabilities)
    return -np.log(np.maximum(of_label, 1e-12))


def _report(found: np.ndarray, is_good: np.ndarray, n_trained: int, losses: np.ndarray) -> ClassifierReport:
    bins = _calibration(found, is_good)
    distance = sum(part.n_documents * abs(part.mean_score - part.good_share) for part in bins)
    return ClassifierReport(
        n_trained=n_trained,
        n_held_out=len(found),
        accuracy=float(((found >= 0.5) == is_good).mean()),
        area_under_curve=area_under_curve(found, is_good),
        calibration_error=distance / len(found),
        calibration=tuple(bins),
        loss_of_epochs=tuple(losses.tolist()),
    )


def _calibration(found: np.ndarray, is_good: np.ndarray) -> list[CalibrationBin]:
    number = np.minimum((found * _CALIBRATION_BINS).astype(int), _CALIBRATION_BINS - 1)
    return [
        CalibrationBin(
            part / _CALIBRATION_BINS, int(here.sum()), float(found[here].mean()), float(is_good[here].mean())
        )
        for part in range(_CALIBRATION_BINS)
        if (here := number == part).any()
    ]


def area_under_curve(found: np.ndarray, is_good: np.ndarray) -> float:
    """Share of pairs of a good and a bad text in which the good one scores higher; ties count half."""
    _, inverse, counts = np.unique(found, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # the mean rank of equal scores
    n_good, n_bad = int(is_good.sum()), int((~is_good).sum())
    return float((rank[is_good].sum() - n_good * (n_good + 1) / 2) / (n_good * n_bad))
