"""The loss of a small model as a score of documents: the column of ``by = "column"``.

    from towpath.train.curriculum.losses import write_losses
    write_losses(Path("loss.parquet"), Checkpoint.open(path).load(), [(document.id, document.text), …])

A document's score is its mean loss in nats a token over the model's context, at most. A model of a few
million weights that was trained on the same text shortly is enough; it need not have the tokenizer of
the run, since the column is of documents.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from towpath.train.checkpoint import Loaded


def write_losses(path: Path, loaded: Loaded, documents: Iterable[tuple[str, str]]) -> int:
    """Write ``path``, a Parquet file with the columns id and score. Returns how many documents it has."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = [(identifier, document_loss(loaded, text)) for identifier, text in documents]
    table = {"id": [identifier for identifier, _ in rows], "score": [score for _, score in rows]}
    parquet.write_table(pa.table(table), path)
    return len(rows)


@torch.no_grad()
def document_loss(loaded: Loaded, text: str) -> float:
    """Mean loss of the beginning of ``text``, in nats a token; 0 of less than two tokens."""
    ids = loaded.tokenizer.encode(text)[: loaded.config.n_positions]
    if len(ids) < 2:
        return 0.0
    window = torch.tensor([ids], device=loaded.model.device)
    return float(loaded.model(window, window).loss)
