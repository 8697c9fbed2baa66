"""Personal data, counted: how often each kind stands in a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from towpath.data.features import FeatureSet
from towpath.data.personal_data import KINDS, PersonalDataKind, find_in_column

if TYPE_CHECKING:
    import pyarrow as pa


class PiiFeatures(FeatureSet):
    """A column ``pii_<kind>s`` for each kind, int32; kinds that are not looked for are 0."""

    type: Literal["pii"] = "pii"
    kinds: tuple[PersonalDataKind, ...] = Field(default=KINDS, min_length=1)
    """What is looked for."""
    private_addresses: bool = False
    """Whether IP addresses of private and reserved networks count."""

    def columns(self) -> pa.Schema:
        """One column a kind."""
        import pyarrow as pa

        return pa.schema([(column_of(kind), pa.int32()) for kind in KINDS])

    def compute(self, documents: pa.Table) -> pa.Table:
        """Counts of each document."""
        import numpy as np
        import pyarrow as pa

        counts = np.zeros((len(KINDS), documents.num_rows), np.int32)
        texts = documents.column("text").combine_chunks()
        found = find_in_column(texts, self.kinds, private_addresses=self.private_addresses)
        for row, (_, spans) in found.items():
            for span in spans:
                counts[KINDS.index(span.kind), row] += 1
        return pa.Table.from_arrays([pa.array(column) for column in counts], schema=self.columns())


def column_of(kind: PersonalDataKind) -> str:
    """The column that counts ``kind``: "pii_emails"."""
    return f"pii_{kind}s"
