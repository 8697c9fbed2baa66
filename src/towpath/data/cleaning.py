"""Cleaning: a part's rows through the cleaners of the run file, texts and the turns of chats alike.

What was rejected stays as it was found. ``n_edits`` counts the places of a document's text that were
changed; those of its turns are the same words and are not counted again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from towpath.data.cleaners import CleanerConfig

if TYPE_CHECKING:
    import pyarrow as pa


def clean(table: pa.Table, cleaners: Sequence[CleanerConfig]) -> pa.Table:
    """``table``, with the columns of ``document_schema`` and "reason", cleaned; and ``n_edits``."""
    import pyarrow as pa

    n_edits = np.zeros(table.num_rows, np.int32)
    for cleaner in cleaners:
        table, edits = _by(cleaner, table)
        n_edits += edits
    return table.append_column("n_edits", pa.array(n_edits))


def _by(cleaner: CleanerConfig, table: pa.Table) -> tuple[pa.Table, np.ndarray]:
    chosen = _judged(cleaner, table)
    edits = np.zeros(table.num_rows, np.int32)
    if not chosen.any():
        return table, edits
    for name in ("text", "messages"):
        column = table[name].combine_chunks()
        changed, edits_of_name = (_texts if name == "text" else _turns)(cleaner, column, chosen)
        if edits_of_name is not None:
            edits[chosen] = edits_of_name
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), changed)
    return table, edits


def _judged(cleaner: CleanerConfig, table: pa.Table) -> np.ndarray:
    of_domain = np.isin(table["domain"].to_numpy(), cleaner.domains)
    return of_domain & table["reason"].is_null().to_numpy()


def _texts(cleaner: CleanerConfig, texts: pa.Array, chosen: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if chosen.all():
        cleaned = cleaner.clean(texts)
        return cleaned.texts.cast(pa.large_string()), cleaned.n_edits
    cleaned = cleaner.clean(texts.filter(pa.array(chosen)))
    new = cleaned.texts.cast(pa.large_string())
    replaced = pc.call_function("replace_with_mask", [texts, pa.array(chosen), new])
    return replaced, cleaned.n_edits


def _turns(cleaner: CleanerConfig, messages: pa.Array, chosen: np.ndarray) -> tuple[pa.Array, None]:
    import pyarrow as pa

    turns = messages.flatten()
    if not len(turns):
        return messages, None
    lengths = messages.value_lengths().fill_null(0).to_numpy()
    contents, _ = _texts(cleaner, turns.field("content"), np.repeat(chosen, lengths))
    fields = list(messages.type.value_type)
    rebuilt = pa.StructArray.from_arrays([turns.field("role"), contents], fields=fields)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    mask = messages.is_null() if messages.null_count else None
    return pa.ListArray.from_arrays(pa.array(offsets), rebuilt, type=messages.type, mask=mask), None
