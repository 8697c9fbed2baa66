"""Secrets, counted: how many keys and tokens stand in a text, by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from towpath.data.features import FeatureSet
from towpath.data.secrets import SECRET_KINDS, SecretKind, find_secrets

if TYPE_CHECKING:
    import pyarrow as pa


class SecretsFeatures(FeatureSet):
    """A column ``secrets_<kind>`` for each kind of ``towpath.data.secrets``, int32."""

    type: Literal["secrets"] = "secrets"

    def columns(self) -> pa.Schema:
        """One column a kind."""
        import pyarrow as pa

        return pa.schema([(column_of(kind), pa.int32()) for kind in SECRET_KINDS])

    def compute(self, documents: pa.Table) -> pa.Table:
        """Counts of each document."""
        import numpy as np
        import pyarrow as pa

        counts = np.zeros((len(SECRET_KINDS), documents.num_rows), np.int32)
        for row, text in enumerate(documents.column("text").to_pylist()):
            for span in find_secrets(text or ""):
                counts[SECRET_KINDS.index(span.kind), row] += 1
        return pa.Table.from_arrays([pa.array(column) for column in counts], schema=self.columns())


def column_of(kind: SecretKind) -> str:
    """The column that counts ``kind``: "secrets_aws_key"."""
    return f"secrets_{kind}"
