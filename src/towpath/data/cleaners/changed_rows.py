"""Some rows of a column of texts replaced: most cleaners change few texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def with_changed(texts: pa.Array, changed: Mapping[int, str]) -> pa.Array:
    """``texts``, large strings, with the texts of ``changed`` (row -> text) in their places."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if not changed:
        return texts
    mask = np.zeros(len(texts), bool)
    mask[list(changed)] = True
    values = pa.array([changed[row] for row in sorted(changed)], pa.large_string())
    return pc.call_function("replace_with_mask", [texts, pa.array(mask), values])
