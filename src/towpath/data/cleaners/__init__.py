"""Cleaners: what changes texts before anything is computed of them.

To add one: a file with a ``CleanerConfig`` and a line in ``CLEANERS``. A cleaner sees strings, not
documents: a chat's turns are cleaned like any text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from towpath.core.catalogue import Catalogue
from towpath.core.config import Section
from towpath.data.document import Domain

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

CLEANERS = Catalogue(
    "cleaner",
    {
        "boilerplate": "towpath.data.cleaners.boilerplate:BoilerplateConfig",
        "mojibake": "towpath.data.cleaners.mojibake:MojibakeConfig",
        "ocr": "towpath.data.cleaners.ocr:OcrConfig",
        "pii": "towpath.data.cleaners.pii:PiiCleanerConfig",
    },
    group="towpath.cleaners",
)


@dataclass(frozen=True)
class Cleaned:
    """What a cleaner made of N texts."""

    texts: pa.Array
    """Large strings, (N,); an empty one is a document with nothing left."""
    n_edits: np.ndarray
    """int32, (N,): how many places of each text were changed."""


class CleanerConfig(Section):
    """What every cleaner has."""

    domains: tuple[Domain, ...] = ("prose", "chat", "code")
    """Kinds of text that the cleaner changes."""

    def clean(self, texts: pa.Array) -> Cleaned:
        """``texts``, large strings, each changed or not by what it holds alone."""
        raise NotImplementedError
