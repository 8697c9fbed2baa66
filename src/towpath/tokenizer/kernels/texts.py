"""Texts as the buffers that a kernel reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from towpath.core.native import pointer


@dataclass(frozen=True)
class Texts:
    """N UTF-8 texts in one buffer."""

    offsets: np.ndarray
    """int64, (N + 1,): text i is ``data[offsets[i]:offsets[i + 1]]``."""
    data: np.ndarray
    """uint8, the bytes of all texts."""

    @classmethod
    def of(cls, texts: Iterable[bytes]) -> Texts:
        """``texts`` copied into one buffer."""
        texts = list(texts)
        offsets = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(text) for text in texts], out=offsets[1:])
        return cls(offsets, np.frombuffer(b"".join(texts), np.uint8))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def arguments(self) -> tuple:
        """(offsets, data, N) as a kernel takes them."""
        return pointer(self.offsets), pointer(self.data), len(self)
