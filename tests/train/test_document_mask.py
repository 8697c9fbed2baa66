"""Packed windows whose documents don't see each other, from token shards to the loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from towpath.model import GPT2Config, ModernConfig
from towpath.model.config import DecoderConfig
from towpath.model.decoder import build
from towpath.tokenizer import ByteTokenizer
from towpath.train.batches import TokenBatches
from towpath.train.objectives.causal import CausalConfig

TOKENIZER = ByteTokenizer()
TEXTS = ["a first text", "another", "and the third", "x"]
SIZES = {"vocab_size": 320, "n_positions": 64, "n_embd": 24, "n_layer": 2, "n_head": 3}


class Packed:
    """Sample 0 is all texts, one after the other, cut to 35 ids."""

    def ids(self, index: int) -> np.ndarray:
        return np.array([token for text in TEXTS for token in document(text)], dtype=np.int64)[:35]


def document(text: str) -> list[int]:
    return [*TOKENIZER.encode(text), TOKENIZER.end_of_text]


def batch(document_mask: bool) -> dict[str, torch.Tensor]:
    examples = CausalConfig(document_mask=document_mask).examples(TOKENIZER, seed=0)
    made = TokenBatches(Packed(), 1, 1, examples=examples).batch(0)
    assert made.target_tokens == 34
    return made.micro_batches[0]


def test_documents_and_places_are_in_the_batch_where_asked_for() -> None:
    assert set(batch(document_mask=False)) == {"input_ids", "labels"}
    masked = batch(document_mask=True)
    lengths = [len(document(text)) for text in TEXTS]
    numbers = [number for number, length in enumerate(lengths) for _ in range(length)]
    places = [place for length in lengths for place in range(length)]
    assert masked["documents"].tolist() == [numbers[:35]]
    assert masked["places"].tolist() == [places[:35]]


@pytest.mark.parametrize(
    "config", [GPT2Config(**SIZES, dropout=0.0), ModernConfig(**SIZES)], ids=lambda config: config.type
)
def test_a_masked_window_costs_what_its_documents_cost_alone(config: DecoderConfig) -> None:
    model, masked = build(config, seed=0), batch(document_mask=True)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3)
        whole = model(**masked, loss_tokens=1).loss
        logits = model(masked["input_ids"], documents=masked["documents"], places=masked["places"]).logits
        alone, first = torch.zeros(()), 0
        ids = masked["input_ids"]
        for text in TEXTS:
            stop = min(first + len(document(text)), 35)
            alone += model(ids[:, first:stop], ids[:, first:stop], loss_tokens=1).loss
            if stop < 35:  # the beginning of the next document, from the end of this one
                alone += torch.nn.functional.cross_entropy(logits[:, stop - 1], ids[:, stop])
            first = stop
    torch.testing.assert_close(whole, alone)
    assert (whole - model(**batch(document_mask=False), loss_tokens=1).loss).abs() > 1e-3
