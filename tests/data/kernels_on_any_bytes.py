"""Calls every kernel of the data room on any bytes; ``test_sanitizers`` runs it with sanitizers."""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path

import numpy as np

from tests.data.test_language_id import model_file
from tests.sanitized import any_texts, buffers
from towpath.core.texts import Texts
from towpath.data.dedup.near import near_duplicates
from towpath.data.fasttext_model import FastTextModel
from towpath.data.kernels import classifier, minhash, ngram_overlap, winnow
from towpath.data.kernels.fingerprints import Winnowing, fingerprints
from towpath.data.kernels.html_trim import html_trim
from towpath.data.kernels.language_id import LabelPredictor
from towpath.data.kernels.main_text import main_text
from towpath.data.kernels.mojibake_gate import mojibake_gate
from towpath.data.kernels.pii_gate import pii_gate
from towpath.data.kernels.single_spaces import single_spaces
from towpath.data.kernels.text_features import text_features
from towpath.data.kernels.wikitext import compiled_text
from towpath.data.kernels.word_list import WordLists

REAL = """== The lock ==
'''The boat''' went up the [[river Ouse|river]]—3&nbsp;km—to {{convert|3|km}} the mill's lock.<ref name=a>
Smith, J. (1999). "Locks", p. 12.</ref> Mail j.smith@example.org or +44 20 7946 0958; IBAN GB82 WEST 1234
5698 7654 32; card 4111 1111 1111 1111; http://192.168.0.1/a?b=c#d. It doesn’t cost $5.00 a.m., e.g. "Ã¼ber"
â€™ café 日本語です。
{| class="x"
! a !! b
|-
| 1 || [[File:a.jpg|thumb|x [[y]]]]
|}
<div class="a b" id=comments hidden><script>x < 1</script><img src='y'/><pre> a  b </pre></div><nav>a</nav
<ul><li class="share-icons x__y">a &nbsp; <a rel=author>b</a><ol><li>1<p style="display: none">c<table><tr>
<td>d<meta name=robots content=noai><meta charset=utf-8><title>e</title><textarea>f</textarea>
<h2>g<br></p></ol>
* one
* two… lorem ipsum {curly} ## ... javascript <!-- hidden --> <nowiki>[[x]]</nowiki> [http://a.b c]
"""
ALPHABET = (
    b" \n\t.,'\"[]{}|<>/=*#-_@+:;!?&$()0159aAzZsS\xc3\xa9\xe2\x80\x99\xe6\x97\xa5\xf0\x9f\x99\x82\xff\x00"
)


def main() -> None:
    pieces = any_texts((REAL * 8).encode(), ALPHABET)
    for chosen in (pieces, [], [b""], *([piece] for piece in pieces[:12])):
        on_texts(Texts(*buffers(chosen)))
    for piece in pieces:
        compiled_text(piece.decode(errors="replace"), b"file:\ncategory:\n", lambda text: text)
        for switches in product((False, True), repeat=3):
            html_trim(piece, *switches)
        for switches in range(32):
            main_text(piece, switches)
    on_signatures()


def on_texts(texts: Texts) -> None:
    """All kernels that take a column of texts."""
    text_features(texts)
    mojibake_gate(texts)
    pii_gate(texts)
    single_spaces(texts)
    for bounded in (False, True):
        WordLists({"one": ["the boat", "s", "日本"], "two": ["é", "lock"]}, bounded=bounded).counts(texts)
    for shingle_words, n_hashes in ((1, 1), (5, 112)):
        minhash.signatures(texts, shingle_words, n_hashes)
    for min_bytes in (16, 200, 4_000):
        winnow.repeated_spans(texts, min_bytes)
        fingerprints(texts, Winnowing.for_stretches(min_bytes))
    for n_words in (1, 8):
        most, least = (np.full(len(texts), number, np.int64) for number in (n_words, 1))
        ngram_overlap.overlaps(ngram_overlap.Records(texts, most, least), texts)
    on_models(texts)


def on_models(texts: Texts) -> None:
    """The classifier, and language models of every loss."""
    for max_bytes in (3, 1 << 20):
        shape = classifier.Shape(bucket_bits=8, max_ngram_words=8, max_document_bytes=max_bytes)
        weights = np.zeros(1 << shape.bucket_bits, np.float32)
        is_good = (np.arange(len(texts)) % 2).astype(np.uint8)
        classifier.train_(weights, texts, is_good, np.arange(len(texts)), learning_rate=1e30, shape=shape)
        classifier.scores(texts, weights, shape)
    for loss in (1, 2, 3, 4):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.bin"
            path.write_bytes(model_file(loss))
            predictor = LabelPredictor(FastTextModel.read(path))
        for window_chars in (0, 1, 100):
            predictor.best(texts, window_chars)
        predictor.probabilities(texts)


def on_signatures() -> None:
    """Rows alike and unlike, one, none, and a band that all have."""
    chance = np.random.default_rng(0)
    for n_rows in (0, 1, 2, 500):
        near_duplicates(chance.integers(0, 2, (n_rows, 112), np.uint32), 14, 0.5)
        near_duplicates(np.zeros((n_rows, 7), np.uint32), 7, 1.0)
