"""What this room's tests share."""

from __future__ import annotations

import pytest

from towpath.tokenizer import Tokenizer, train_tokenizer

from .doubles import SENTENCES


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """Trained on a few lines: 600 ids at most."""
    return train_tokenizer(SENTENCES * 3, vocab_size=600)
