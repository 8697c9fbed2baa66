"""Quality score: what a trained classifier says of a text.

The model is one of this room (``towpath.data.classifier``, a folder or its weights' file) or one that
fastText trained (``.bin``, ``.ftz``), whose probability of one label is the score; the latter runs in
plain Python, slowly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from towpath.core.config import Execution
from towpath.core.errors import ConfigError, did_you_mean
from towpath.data.features import FeatureSet

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

FASTTEXT_SUFFIXES = (".bin", ".ftz")

Scorer = Callable[["pa.Array"], "np.ndarray"]


class ClassifierFeatures(FeatureSet):
    """The column ``quality_score``, from 0 to 1."""

    type: Literal["classifier"] = "classifier"
    path: Execution[str]
    """The model; where it lies changes no score."""
    sha256: str
    """Digest of its weights' file."""
    label: str = "hq"
    """The label of a fastText model whose probability is the score."""

    def columns(self) -> pa.Schema:
        """``quality_score``."""
        import pyarrow as pa

        return pa.schema([("quality_score", pa.float64())])

    def compute(self, documents: pa.Table) -> pa.Table:
        """The score of each document; 0.5 for one without a word that the model knows.

        Raises:
            ConfigError: the file is not the one that ``sha256`` names, or has no such label.
        """
        import pyarrow as pa

        score = _scorer(self.path, self.sha256, self.label)
        found = score(documents.column("text").combine_chunks())
        return pa.Table.from_arrays([pa.array(found, pa.float64())], schema=self.columns())


def digest_of_model(path: str) -> str:
    """SHA-256 of the weights' file of the model at ``path``.

    Raises:
        ConfigError: there is no such file.
    """
    from towpath.data.classifier import weights_file

    file = weights_file(Path(path))
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(
            f"The classifier's path {path} can't be read: {error.strerror}. Expected a folder that "
            "train_classifier(…).save wrote, or a fastText model (.bin, .ftz)."
        ) from error


@cache
def _scorer(path: str, sha256: str, label: str) -> Scorer:
    from towpath.data.classifier import Classifier

    found = digest_of_model(path)
    if found != sha256:
        raise ConfigError(
            f"The classifier at {path} has SHA-256 {found}, expected {sha256}. "
            "Give the file that the run was made with, or change sha256."
        )
    if path.endswith(FASTTEXT_SUFFIXES):
        return _fasttext_scorer(path, label)
    return Classifier.load(Path(path)).scores


def _fasttext_scorer(path: str, label: str) -> Scorer:
    import numpy as np

    from towpath.data.fasttext_model import FastTextModel

    model = FastTextModel.read(path)
    if label not in model.labels:
        raise ConfigError(
            f"The fastText model {path} has no label {label!r}.{did_you_mean(label, model.labels)} "
            f"It has: {', '.join(model.labels[:10])}{' …' if len(model.labels) > 10 else ''}."
        )
    index = model.labels.index(label)

    def score(texts: pa.Array) -> np.ndarray:
        every = (model.probabilities((text or "").encode()) for text in texts.to_pylist())
        return np.array([0.5 if found is None else found[index] for found in every], np.float64)

    return score
