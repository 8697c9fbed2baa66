"""Settings of the tokenizer room."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from towpath.core.config import Execution, Section


class TokenizerConfig(Section):
    """How text becomes token ids."""

    vocab_size: int = Field(default=50000, ge=262)
    """Ids in all: 256 bytes, merges and 6 special tokens. About 4096 suits a few megabytes of text."""
    sample_bytes: int | None = Field(default=None, ge=1)
    """Train on at most so many bytes of text, shared among the sources by weight; all when absent."""
    max_token_bytes: int | None = Field(default=64, ge=2)
    """No token is longer, so that none is a whole line of dashes; no bound when absent."""
    path: str | None = None
    """A tokenizer.json, or a folder with one or with GPT-2's files, to use instead of training one."""
    shard_tokens: Execution[int] = Field(default=1 << 25, ge=1)
    """A shard file is closed once it holds so many tokens; a document is never split."""
    threads: Execution[int] = Field(default=2, ge=1)
    """Documents that are encoded at the same time."""

    @model_validator(mode="after")
    def _path_leaves_nothing_to_train(self) -> Self:
        trained = {"vocab_size", "sample_bytes", "max_token_bytes"} & self.model_fields_set
        if self.path is not None and trained:
            raise ValueError(
                f"path = {self.path!r} takes a tokenizer as it is, so {', '.join(sorted(trained))} would "
                "change nothing. Remove one or the other."
            )
        return self
