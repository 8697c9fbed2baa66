r"""Byte-level BPE: how text is cut into pieces, and which pairs of byte strings are merged.

Sennrich et al. 2016, arXiv:1508.07909, on bytes as in GPT-2 (Radford et al. 2019, section 2.2).
Comes in: texts. Goes out: merges, a list of pairs of byte strings, best first.

The piece pattern is GPT-4's with runs of at most two digits, and its case-insensitive group
spelled out: ``(?i:'s)`` would also take the long s (U+017F), which engines treat differently.

Two engines encode. ``tokenizers`` merges a pair when that very pair was trained; tiktoken merges
any two neighbours whose joint bytes are a token. They agree on every text if each token, taken
apart into bytes and put together with earlier merges alone, ends as the very pair that it was
trained from (a merge acts inside a stretch of text as it would on that stretch alone, as long as
nothing was merged across its ends). ``disagreement`` looks for a merge that breaks this; merges
trained here have none, and are refused if they had.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from towpath.core.errors import TokenizerError
from towpath.tokenizer.kernels.merges import learn_merges
from towpath.tokenizer.kernels.word_counts import cut_long_runs, word_counts

if TYPE_CHECKING:
    from tokenizers.pre_tokenizers import PreTokenizer

PATTERN = (
    r"'(?:[sdmtSDMT]|[lL][lL]|[vV][eE]|[rR][eE])"
    r"|[^\r\n\p{L}\p{N}]?\p{L}+"
    r"|\p{N}{1,2}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""What text is cut into before merging; means the same to Oniguruma and to Rust's fancy-regex."""

GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""GPT-2's own pattern, as in its encoder.py."""

Merge = tuple[bytes, bytes]

MIN_FREQUENCY = 2
"""A pair seen once is no pattern (the default of ByteLevelBPETokenizer)."""

_BATCH_BYTES = 4_000_000
"""Texts held at a time while their words are counted."""


def _alphabet() -> list[str]:
    """The visible character that stands for each byte in tokenizer files (GPT-2's bytes_to_unicode)."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in visible else chr(next(others)) for byte in range(256)]


ALPHABET = _alphabet()
_VISIBLE = dict(enumerate(ALPHABET))
_NO_BYTE = "\uffff"
_HIDDEN = dict.fromkeys(range(256), _NO_BYTE) | {ord(sign): chr(byte) for byte, sign in enumerate(ALPHABET)}


def spell(token: bytes) -> str:
    """``token`` as tokenizer files write it: one visible character a byte."""
    return token.decode("latin-1").translate(_VISIBLE)


def unspell(text: str) -> bytes | None:
    """The bytes that ``text`` spells; None when a character stands for no byte."""
    try:
        return text.translate(_HIDDEN).encode("latin-1")
    except UnicodeEncodeError:
        return None


def parse_merge(merge: str | Sequence[str], where: str | Path) -> Merge:
    """A merge as tokenizer files write it, "left right" or a pair.

    Raises:
        TokenizerError: it is neither; names ``where`` and the merge.
    """
    parts = merge.split(" ") if isinstance(merge, str) else list(merge)
    left, right = (unspell(part) for part in parts) if len(parts) == 2 else (None, None)
    if left is None or right is None:
        raise TokenizerError(
            f"{where}: the merge {merge!r} is not a pair of byte-level tokens, such as 'Ġ t'."
        )
    return left, right


def train_merges(texts: Iterable[str], count: int, max_token_bytes: int | None = None) -> list[Merge]:
    """Learn at most ``count`` merges; the same for any order of ``texts`` and any number of threads.

    Fewer come back when no further pair occurs twice. ``max_token_bytes`` bounds a token's length.
    Texts are read once and only their distinct words are kept. The merges are those of the trainer of
    ``tokenizers`` (``kernels.merges`` says how ties are broken), which is used when nothing is compiled.

    Raises:
        TokenizerError: there is no text, or a text holds a lone surrogate.
    """
    batches = _batches(texts)
    counted = word_counts(batches, PATTERN)
    merges = None
    if counted is not None:
        merges = learn_merges(counted, count, MIN_FREQUENCY, max_token_bytes, ALPHABET)
    if merges is None:
        merges = _merges_by_tokenizers(batches, count, max_token_bytes)
    if (problem := disagreement(merges)) is not None:
        raise TokenizerError(
            f"The trained merges are ambiguous: {problem}. This should not happen; with TOWPATH_KERNELS=off "
            "the library tokenizers trains instead (the version tested is in constraints.txt)."
        )
    return merges


def _merges_by_tokenizers(
    batches: Iterable[list[bytes]], count: int, max_token_bytes: int | None
) -> list[Merge]:
    from tokenizers import Tokenizer, models, trainers

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pieces_by(PATTERN)
    trainer = trainers.BpeTrainer(
        vocab_size=256 + count,
        min_frequency=MIN_FREQUENCY,
        initial_alphabet=ALPHABET,
        max_token_length=None if max_token_bytes is None else max_token_bytes + 1,  # it wants "less than"
        show_progress=False,
    )
    texts = (text.decode() for batch in batches for text in batch)
    learner.train_from_iterator((part for text in texts for part in cut_long_runs(text)), trainer)
    return [parse_merge(merge, "tokenizers") for merge in json.loads(learner.to_str())["model"]["merges"]]


def pieces_by(pattern: str) -> PreTokenizer:
    """The pre-tokenizer of ``tokenizers`` that cuts by ``pattern`` and spells bytes visibly."""
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def disagreement(merges: Sequence[Merge]) -> str | None:
    """Why encoding by merges and encoding by ranks could differ on some text; None when they never do."""
    single = [bytes([byte]) for byte in range(256)]
    ranks = {token: rank for rank, token in enumerate(single)}
    # The tokens that a token begins with while it grows, smallest first; and those it ends with.
    left_edges: dict[bytes, tuple[bytes, ...]] = {token: (token,) for token in single}
    right_edges = dict(left_edges)
    for position, (left, right) in enumerate(merges):
        token, name = left + right, f"merge {position} ({left!r}, {right!r})"
        if left not in ranks or right not in ranks:
            return f"{name} uses a token that no earlier merge makes"
        if token in ranks:
            return f"{name} makes a token that an earlier merge made already"
        if (pair := _merged_across(right_edges[left], left_edges[right], ranks)) is not None:
            return f"{name} never happens in {token!r}, because {pair!r} is merged before"
        ranks[token] = 256 + position
        left_edges[token] = (*left_edges[left], token)
        right_edges[token] = (*right_edges[right], token)
    return None


def _merged_across(
    ends: tuple[bytes, ...], starts: tuple[bytes, ...], ranks: dict[bytes, int]
) -> Merge | None:
    """The first pair that is merged across the seam of two tokens while both are put together.

    ``ends``: what the left token ends with as it grows; ``starts``: what the right one starts with.
    The lowest rank is merged first; of equal ranks the leftmost, so the left token's own merge goes
    before one across the seam, and that before the right token's own.
    """
    never = len(ranks)
    at_left = at_right = 0
    while True:
        end, start = ends[at_left], starts[at_right]
        left_grows = ranks[ends[at_left + 1]] if at_left + 1 < len(ends) else never
        right_grows = ranks[starts[at_right + 1]] if at_right + 1 < len(starts) else never
        across = ranks.get(end + start, never)
        if across < left_grows and across <= right_grows and across < never:
            return end, start
        if left_grows == never and right_grows == never:
            return None
        if left_grows <= right_grows:
            at_left += 1
        else:
            at_right += 1


def _batches(texts: Iterable[str]) -> Iterator[list[bytes]]:
    """``texts`` in lists of about ``_BATCH_BYTES``; refused when they are empty or no valid text."""
    batch: list[bytes] = []
    size_bytes, seen = 0, False
    for number, text in enumerate(texts):
        batch.append(utf8_of(text, f"text {number}"))
        size_bytes += len(batch[-1])
        if size_bytes >= _BATCH_BYTES:
            yield batch
            batch, size_bytes, seen = [], 0, True
    if not seen and not size_bytes:
        raise TokenizerError(
            "There is no text to train a tokenizer on. Look at the drop waterfall of the documents: "
            "towpath data."
        )
    yield batch


def utf8_of(text: str, where: str) -> bytes:
    """``text`` in UTF-8.

    Raises:
        TokenizerError: it has no UTF-8 form; names ``where``, the position and the surrogate.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise lone_surrogate(error, where) from None


def lone_surrogate(error: UnicodeEncodeError, where: str) -> TokenizerError:
    """What to tell about text that ``str.encode`` refused with ``error``."""
    return TokenizerError(
        f"{where} holds the lone surrogate U+{ord(error.object[error.start]):04X} at character "
        f"{error.start}; that is half a character and has no UTF-8 form. Decode the input with "
        "errors='replace', or join surrogate pairs first."
    )
