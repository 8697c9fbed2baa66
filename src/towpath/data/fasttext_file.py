"""The file of a fastText model: bytes in, ``FastTextModel`` out, each length checked before it is read.

Layout of fastText 0.9.2, version 12, little-endian: settings, dictionary, pruned buckets, inputs, outputs; a
quantised matrix is codes into centroids (Jegou et al. 2011, product quantisation), with or without norms.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from towpath.core.errors import ConfigError
from towpath.data.fasttext_model import LABEL_PREFIX, FastTextModel, FastTextSettings

MAGIC, VERSION = 793_712_314, 12
_SUPERVISED = 3
_N_CENTROIDS = 256
_MOST_EXAMPLES = 10**15
"""What fastText takes for endless when it builds the tree of labels."""
_MOST_NGRAM = 1_000
_Pruned = np.ndarray | None
"""int64, (2, B): kept buckets and their rows."""


def read_model(path: Path) -> FastTextModel:
    """The model at ``path``."""
    if not path.is_file():
        raise ConfigError(f"{path} is not a file. Expected a fastText model (.bin or .ftz).")
    with path.open("rb") as stream:
        size = path.stat().st_size
        file = _File(path, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if size else b"")
    if file.numbers("ii") != (MAGIC, VERSION):
        raise file.wrong(f"it does not start as one of version {VERSION} does")
    settings = _settings(file)
    words, labels, counts, pruned = _dictionary(file)
    buckets, rows = (None, None) if pruned is None else pruned
    (quantised,) = file.numbers("?")
    inputs = _quantised(file) if quantised else _dense(file)
    (output_quantised,) = file.numbers("?")
    outputs = _quantised(file) if quantised and output_quantised else _dense(file)
    model = FastTextModel(settings, words, labels, counts, buckets, rows, inputs, outputs)
    _check(model, file)
    return model


def _check(model: FastTextModel, file: _File) -> None:
    """Every row that a text can lead to is there."""
    settings, buckets, rows = model.settings, model.kept_buckets, model.kept_rows
    n_rows = len(model.words)
    if buckets is None or rows is None:
        has_ngrams = settings.max_ngram_chars > 0 or settings.word_ngrams > 1
        n_rows += settings.buckets if has_ngrams else 0
    elif len(rows):
        in_bounds = rows.min() >= 0 and buckets[0] >= 0 and buckets[-1] < settings.buckets
        if not in_bounds or (np.diff(buckets) == 0).any():
            raise file.wrong("its pruned buckets are out of bounds")
        n_rows += int(rows.max()) + 1
    if len(model.inputs) < n_rows or model.inputs.shape[1] != settings.dimensions:
        raise file.wrong(f"its inputs are {model.inputs.shape}, expected {(n_rows, settings.dimensions)}")
    shape = (len(model.labels), settings.dimensions)
    if model.outputs.shape != shape:
        raise file.wrong(f"its outputs are {model.outputs.shape}, expected {shape}")


@dataclass
class _File:
    path: Path
    data: mmap.mmap | bytes
    place: int = 0

    def wrong(self, what: str) -> ConfigError:
        return ConfigError(
            f"{self.path} is no whole fastText model: {what} (at byte {self.place:,} of {len(self.data):,}). "
            "Expected a supervised model, .bin or .ftz; download or copy it again."
        )

    def skip(self, size: int) -> int:
        """Where the next ``size`` bytes start, which then count as read."""
        if not 0 <= size <= len(self.data) - self.place:
            raise self.wrong(
                "a length is out of bounds" if size < 0 else f"{size:,} more bytes were expected"
            )
        self.place += size
        return self.place - size

    def numbers(self, layout: str) -> tuple[int, ...]:
        layout = "<" + layout
        return struct.unpack_from(layout, self.data, self.skip(struct.calcsize(layout)))

    def array(self, dtype: type, *shape: int) -> np.ndarray:
        if min(shape) < 0:
            raise self.wrong(f"a matrix of {shape} numbers cannot be")
        count = math.prod(shape)
        start = self.skip(count * np.dtype(dtype).itemsize)
        numbers = np.frombuffer(self.data, dtype, count, start).reshape(shape)
        return np.require(numbers, requirements=["ALIGNED", "C_CONTIGUOUS"])


def _settings(file: _File) -> FastTextSettings:
    values = file.numbers("12id")
    dimensions, word_ngrams, loss, kind, buckets, low, high = (values[i] for i in (0, 5, 6, 7, 8, 9, 10))
    if kind != _SUPERVISED:
        raise file.wrong("it was trained for word vectors, not for labels")
    sizes = (word_ngrams, low, high)
    if not (0 < dimensions < 1 << 16 and 1 <= loss <= 4 and buckets >= 0) or not (
        0 <= min(sizes) <= max(sizes) <= _MOST_NGRAM
    ):
        raise file.wrong("its settings are out of bounds")
    if buckets == 0 and (high > 0 or word_ngrams > 1):
        raise file.wrong("it has n-grams but no buckets")
    return FastTextSettings(dimensions, word_ngrams, loss, buckets, low, high)


def _dictionary(file: _File) -> tuple[tuple[bytes, ...], tuple[str, ...], np.ndarray, _Pruned]:
    size, n_words, n_labels, _, n_pruned = file.numbers("iiiqq")
    if n_words < 0 or n_labels < 1 or size != n_words + n_labels:
        raise file.wrong(f"its dictionary counts {n_words} words and {n_labels} labels, {size} in all")
    names, counts = [], []
    for _ in range(size):
        end = file.data.find(b"\0", file.place)
        if end < 0:
            raise file.wrong("its dictionary is cut short")
        names.append(file.data[file.place : end])
        file.place = end + 1
        counts.append(file.numbers("qb")[0])
    if min(counts) < 0 or sum(counts[n_words:]) >= _MOST_EXAMPLES:
        raise file.wrong("its dictionary has impossible counts")
    labels = tuple(name.removeprefix(LABEL_PREFIX).decode(errors="replace") for name in names[n_words:])
    pruned = None
    if n_pruned >= 0:
        pairs = file.array(np.int32, n_pruned, 2).astype(np.int64)
        pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
        pruned = np.ascontiguousarray(pairs.T)
    return tuple(names[:n_words]), labels, np.array(counts[n_words:], np.int64), pruned


def _dense(file: _File) -> np.ndarray:
    rows, columns = file.numbers("qq")
    return file.array(np.float32, rows, columns)


def _quantised(file: _File) -> np.ndarray:
    has_norms, rows, columns, n_codes = file.numbers("?qqi")
    codes = file.array(np.uint8, n_codes)
    decoded = _decoded(file, codes, rows, columns)
    if not has_norms:
        return decoded
    norm_codes = file.array(np.uint8, rows)
    return decoded * _decoded(file, norm_codes, rows, 1)


def _decoded(file: _File, codes: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """float32, (rows, columns): a row is the centroids that its codes name, side by side."""
    dimensions, n_parts, width, last_width = file.numbers("4i")
    centroids = file.array(np.float32, dimensions * _N_CENTROIDS)
    fits = n_parts > 0 and width > 0 and (n_parts - 1) * width + last_width == dimensions == columns
    if not fits or rows < 0 or len(codes) != rows * n_parts or not 0 < last_width <= width:
        raise file.wrong("its quantised matrix does not fit together")
    codes = codes.reshape(rows, n_parts)
    parts = []
    for part in range(n_parts):
        size = last_width if part == n_parts - 1 else width
        start = part * _N_CENTROIDS * width
        parts.append(
            centroids[start : start + _N_CENTROIDS * size].reshape(_N_CENTROIDS, size)[codes[:, part]]
        )
    return np.ascontiguousarray(np.concatenate(parts, axis=1), np.float32)
