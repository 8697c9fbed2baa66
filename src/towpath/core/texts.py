"""A column of texts as the two buffers that a kernel reads."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from towpath.core.native import pointer

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Texts:
    """N UTF-8 texts in one buffer."""

    offsets: np.ndarray
    """int64, (N + 1,): text i is ``data[offsets[i]:offsets[i + 1]]``."""
    data: np.ndarray
    """uint8, the bytes of all texts."""

    @classmethod
    def of(cls, column: pa.Array | pa.ChunkedArray) -> Texts:
        """The texts of a column of large strings without a copy; a null is an empty text."""
        import pyarrow as pa

        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if isinstance(array, pa.ChunkedArray):  # no chunk at all
            array = pa.array([], pa.large_string())
        array = array.cast(pa.large_string())
        if array.null_count:
            array = array.fill_null("")
        _, offsets, data = array.buffers()
        starts = np.zeros(1, np.int64) if offsets is None else np.frombuffer(offsets, np.int64)
        starts = starts[array.offset : array.offset + len(array) + 1]
        return cls(starts, np.frombuffer(data or b"", np.uint8))

    @classmethod
    def of_bytes(cls, texts: Iterable[bytes]) -> Texts:
        """``texts`` copied into one buffer."""
        texts = list(texts)
        offsets = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(text) for text in texts], out=offsets[1:])
        return cls(offsets, np.frombuffer(b"".join(texts), np.uint8))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def bytes_of(self, index: int) -> bytes:
        """Text ``index`` as bytes."""
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def arguments(self) -> tuple[ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]:
        """(offsets, data, N) as a kernel takes them."""
        return pointer(self.offsets), pointer(self.data), ctypes.c_int64(len(self))
