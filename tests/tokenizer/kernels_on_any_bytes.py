"""Calls every kernel of the tokenizer on any bytes; ``test_kernels`` runs it with sanitizers."""

from __future__ import annotations

from tests.sanitized import any_texts, buffers
from tests.tokenizer.doubles import SENTENCES
from towpath.core.texts import Texts
from towpath.tokenizer.bpe import ALPHABET
from towpath.tokenizer.hf_format import RANKED_PATTERNS
from towpath.tokenizer.kernels.encoder import Encoder
from towpath.tokenizer.kernels.merges import learn_merges
from towpath.tokenizer.kernels.word_counts import word_counts


def main() -> None:
    pieces = any_texts("".join(SENTENCES * 9).encode(), b"\xe6\x9d\xb1\xf0\x9f '\n\xc5\xbfal1")
    byte_of = sorted(range(256), key=ALPHABET.__getitem__)
    for pattern in RANKED_PATTERNS:
        for chosen in (pieces, [], [b""], *([piece] for piece in pieces[:12])):
            counted = word_counts([chosen], pattern)
            assert counted is not None
            merges = learn_merges(counted, 300, 1, 50, ALPHABET)
            assert merges is not None
            rank_of = {bytes([byte]): byte for byte in byte_of}
            pairs = []
            for left, right in merges:
                pairs.append((rank_of[left], rank_of[right]))
                rank_of.setdefault(left + right, 256 + len(pairs) - 1)
            encoder = Encoder.of(pattern, pairs, list(range(256 + len(pairs))))
            assert encoder is not None
            encoder.encode(Texts(*buffers(chosen)))
            del encoder
