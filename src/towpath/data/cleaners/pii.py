"""Personal data cleaner: a placeholder in the place of each address, number and code.

"<EMAIL>" says what stood there, so that a model learns where such things stand and none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from towpath.data.cleaners import Cleaned, CleanerConfig
from towpath.data.cleaners.changed_rows import with_changed
from towpath.data.personal_data import KINDS, PersonalDataKind, Span, find_in_column

if TYPE_CHECKING:
    import pyarrow as pa


class PiiCleanerConfig(CleanerConfig):
    """What is looked for, and what becomes of it."""

    type: Literal["pii"] = "pii"
    action: Literal["mask", "tag"] = "mask"
    """"mask" writes a placeholder; "tag" leaves the text as it is and only counts."""
    kinds: tuple[PersonalDataKind, ...] = Field(default=KINDS, min_length=1)
    """What is looked for."""
    private_addresses: bool = False
    """Whether IP addresses of private and reserved networks count."""

    def clean(self, texts: pa.Array) -> Cleaned:
        """``n_edits`` counts what was found, masked or not."""
        import numpy as np

        found = find_in_column(texts, self.kinds, private_addresses=self.private_addresses)
        n_edits = np.zeros(len(texts), np.int32)
        for row, (_, spans) in found.items():
            n_edits[row] = len(spans)
        if self.action == "tag":
            return Cleaned(texts, n_edits)
        return Cleaned(with_changed(texts, {row: mask(*where) for row, where in found.items()}), n_edits)


def mask(text: str, spans: Sequence[Span]) -> str:
    """``text`` with "<EMAIL>", "<PHONE>", "<IP>", … in the places of ``spans`` (in order, apart)."""
    pieces, at = [], 0
    for span in spans:
        pieces += [text[at : span.start], f"<{span.kind.upper()}>"]
        at = span.end
    return "".join([*pieces, text[at:]])
