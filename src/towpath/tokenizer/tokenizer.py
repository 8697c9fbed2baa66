"""Tokenizer: text to token ids and back.

Comes in: a tokenizer.json's content, from training, a file or GPT-2's own two files. Goes out:
ids, text, and a SHA-256 that shards and checkpoints keep, so that nothing is read with another one.

``kernels.encoder`` encodes wherever ranks give the same ids as HF's ``tokenizers`` (see
``bpe.disagreement``), or tiktoken where nothing is compiled; ``tokenizers`` encodes everything else.
Text is always just text: the name of a special token in it is encoded like any other characters.
Only a ``ChatTemplate`` and ``end_of_text`` put special ids into a sequence.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from towpath.core.errors import TokenizerError
from towpath.core.files import canonical_json, readable_json, write_durably
from towpath.core.texts import Texts
from towpath.tokenizer.bpe import PATTERN, lone_surrogate, train_merges, utf8_of
from towpath.tokenizer.hf_format import gpt2_json, read_layout, tokenizer_json, with_special_tokens
from towpath.tokenizer.kernels.encoder import Encoder
from towpath.tokenizer.streaming import StreamDecoder

if TYPE_CHECKING:
    import tiktoken
    import tokenizers
    from numpy.typing import NDArray

TOKENIZER_FILE = "tokenizer.json"

END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"
SPECIAL_TOKENS = (END_OF_TEXT, PAD, "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
"""What a tokenizer trained here can mark: the end of a document, padding, turns of a chat."""

_END_OF_TEXT_NAMES = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>")
_GPT2_FILES = (
    ("encoder.json", "vocab.bpe"),
    ("gpt2_encoder.json", "gpt2_vocab.bpe"),
    ("vocab.json", "merges.txt"),
)

_GROUP_CHARACTERS = 500_000

_LONG_SPACE_CHARACTERS = 100_000
# tiktoken's regex engine runs out of stack, and aborts the call, on 1,000,000 whitespace characters
# in a row (700,000 still pass). The look-behind keeps the search linear.
_LONG_SPACE = re.compile(rf"(?<!\s)\s{{{_LONG_SPACE_CHARACTERS}}}")


def train_tokenizer(
    texts: Iterable[str],
    vocab_size: int = 50000,
    *,
    special_tokens: Sequence[str] = SPECIAL_TOKENS,
    max_token_bytes: int | None = None,
) -> Tokenizer:
    """Train a byte-level BPE on ``texts``; ``vocab_size`` counts bytes, merges and special tokens.

    The same texts give the same tokenizer in any order. It is smaller than asked for when no pair
    of tokens occurs twice any more.

    Raises:
        TokenizerError: ``vocab_size`` leaves no room for bytes and special tokens, or no valid text came.
    """
    smallest = 256 + len(special_tokens)
    if vocab_size < smallest:
        raise TokenizerError(
            f"vocab_size = {vocab_size} is too small: 256 bytes and {len(special_tokens)} special tokens "
            f"need {smallest}. A small corpus does well with 4096."
        )
    merges = train_merges(texts, vocab_size - smallest, max_token_bytes)
    return Tokenizer(tokenizer_json(merges, PATTERN, special_tokens))


class Tokenizer:
    """A byte-level BPE. ``content`` is that of a tokenizer.json; ``where`` names it in errors."""

    def __init__(self, content: Mapping[str, Any], where: str | Path = "the tokenizer") -> None:
        self._content = content
        self._layout = read_layout(content, where)
        self.special: dict[str, int] = self._layout.special
        """Names of the special tokens and their ids."""
        self.vocab_size: int = len(self._layout.tokens)
        """One more than the highest id; special tokens are counted."""

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Read a tokenizer.json, or the folder that holds one or GPT-2's own files.

        Raises:
            TokenizerError: nothing of the kind is there, or it is not a byte-level BPE.
        """
        path = Path(path)
        if path.is_dir() and not (path / TOKENIZER_FILE).exists() and _gpt2_files(path):
            return cls.from_gpt2(path)
        file = path / TOKENIZER_FILE if path.is_dir() else path
        return cls(_read_json(file), file)

    @classmethod
    def from_gpt2(cls, folder: str | Path) -> Tokenizer:
        """Read GPT-2's encoder.json and vocab.bpe (also called vocab.json and merges.txt)."""
        folder = Path(folder)
        found = _gpt2_files(folder)
        if found is None:
            raise TokenizerError(f"{folder} does not hold GPT-2's files encoder.json and vocab.bpe.")
        encoder, merges = found
        return cls(gpt2_json(_read_json(encoder), merges.read_text(encoding="utf-8")), folder)

    def save(self, folder: Path) -> Path:
        """Write ``folder``/tokenizer.json and return its path."""
        write_durably(folder / TOKENIZER_FILE, readable_json(self._content))
        return folder / TOKENIZER_FILE

    def with_special_tokens(self, names: Sequence[str] = SPECIAL_TOKENS) -> Tokenizer:
        """This tokenizer with those of ``names`` that it lacks as new special tokens after its last id."""
        return Tokenizer(with_special_tokens(self._content, names))

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the content, hexadecimal; spacing and key order of the file do not matter."""
        return hashlib.sha256(canonical_json(self._content)).hexdigest()

    @property
    def end_of_text(self) -> int:
        """Id of the token that closes each document."""
        for name in _END_OF_TEXT_NAMES:
            if name in self.special:
                return self.special[name]
        raise TokenizerError(self._lacks(END_OF_TEXT))

    @property
    def pad(self) -> int:
        """Id of the token that fills a batch; never one that means something else."""
        if PAD not in self.special:
            raise TokenizerError(self._lacks(PAD))
        return self.special[PAD]

    def _lacks(self, name: str) -> str:
        known = ", ".join(self.special) or "none"
        return (
            f"The tokenizer has no special token {name}; it has: {known}. "
            "Tokenizer.with_special_tokens() makes one that has it."
        )

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``. Special tokens named in it are plain text.

        Raises:
            TokenizerError: ``text`` holds a lone surrogate.
        """
        return self.encode_batch([text])[0].tolist()

    def encode_batch(self, texts: Sequence[str], threads: int = 1) -> list[NDArray[np.uint32]]:
        """The ids of each text, as one array a text.

        Raises:
            TokenizerError: a text holds a lone surrogate; names the text by its place.
        """
        groups = _groups(texts)
        if threads == 1:
            encoded = map(self._encode_group, groups)
        else:
            with ThreadPoolExecutor(threads) as pool:
                encoded = list(pool.map(self._encode_group, groups))
        return [ids for group in encoded for ids in group]

    def _encode_group(self, named: Sequence[tuple[str, str]]) -> list[NDArray[np.uint32]]:
        """The ids of texts that have names for errors."""
        if self._encoder is None:
            return [self._encode(*pair) for pair in named]
        ids, ends = self._encoder.encode(Texts.of_bytes(utf8_of(*pair) for pair in named))
        return np.split(ids, ends[:-1])

    def _encode(self, text: str, where: str) -> NDArray[np.uint32]:
        """Without the kernel, or where it would encode differently."""
        if self._ranks is None or (len(text) >= _LONG_SPACE_CHARACTERS and _LONG_SPACE.search(text)):
            return self._encode_by_merges(text, where)
        encoding, id_of_rank = self._ranks
        try:
            ranks = encoding.encode_to_numpy(text, disallowed_special=())
        except UnicodeEncodeError as error:
            raise lone_surrogate(error, where) from None
        return id_of_rank[ranks]

    def _encode_by_merges(self, text: str, where: str) -> NDArray[np.uint32]:
        utf8_of(text, where)
        return np.array(self._merger.encode(text, add_special_tokens=False).ids, dtype=np.uint32)

    @cached_property
    def _encoder(self) -> Encoder | None:
        """The kernel; None when it is not compiled or would encode differently."""
        ranks = self._layout.ranks
        return None if ranks is None else Encoder.of(ranks.pattern, ranks.merges, ranks.ids)

    @cached_property
    def _ranks(self) -> tuple[tiktoken.Encoding, NDArray[np.uint32]] | None:
        """tiktoken's encoder with the id of each of its ranks; None when it would encode differently."""
        ranks = self._layout.ranks
        if ranks is None:
            return None
        import tiktoken

        encoding = tiktoken.Encoding(
            name="towpath",
            pat_str=ranks.pattern,
            mergeable_ranks={token: rank for rank, token in enumerate(ranks.tokens)},
            special_tokens={},
        )
        return encoding, np.array(ranks.ids, dtype=np.uint32)

    @cached_property
    def _merger(self) -> tokenizers.Tokenizer:
        """The engine of ``tokenizers``, told to take the names of special tokens as text."""
        import tokenizers

        engine = tokenizers.Tokenizer.from_str(json.dumps(self._content))
        engine.encode_special_tokens = True
        return engine

    def decode(self, ids: Iterable[int], *, skip_special: bool = False) -> str:
        """The text of ``ids``; U+FFFD where their bytes are no UTF-8. Special tokens show as their names.

        Raises:
            TokenizerError: an id is not in the vocabulary; names it.
        """
        return b"".join(map(self._bytes_for(skip_special), ids)).decode(errors="replace")

    def stream_decoder(self, *, skip_special: bool = False) -> StreamDecoder:
        """A decoder for ids that come one at a time; its pieces join to what ``decode`` gives."""
        return StreamDecoder(self._bytes_for(skip_special))

    def _bytes_for(self, skip_special: bool) -> Callable[[int], bytes]:
        if not skip_special:
            return self.token_bytes
        skipped = set(self.special.values())
        return lambda number: b"" if number in skipped else self.token_bytes(number)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that ``token_id`` stands for; a special token's are those of its name.

        Raises:
            TokenizerError: the id is not in the vocabulary.
        """
        token = self._layout.tokens[token_id] if 0 <= token_id < self.vocab_size else None
        if token is None:
            raise TokenizerError(
                f"Token id {token_id} is not in the vocabulary of {self.vocab_size} ids. The ids come from "
                "another tokenizer, or from a model whose padded ids were not masked."
            )
        return token

    @cached_property
    def text_bytes(self) -> NDArray[np.int64]:
        """How many bytes of text each id stands for, shape (vocab_size,); special tokens are 0 bytes."""
        sizes = np.array([len(token or b"") for token in self._layout.tokens], dtype=np.int64)
        sizes[list(self.special.values())] = 0
        return sizes


class ByteTokenizer(Tokenizer):
    """A tokenizer that needs no training: each byte is a token. A double for tests."""

    def __init__(self) -> None:
        super().__init__(tokenizer_json([], PATTERN, SPECIAL_TOKENS))


def _groups(texts: Sequence[str]) -> Iterator[list[tuple[str, str]]]:
    """``texts`` with their names for errors, in lists that one thread encodes at a time."""
    group: list[tuple[str, str]] = []
    characters = 0
    for place, text in enumerate(texts):
        group.append((text, f"text {place}"))
        characters += len(text)
        if characters >= _GROUP_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _gpt2_files(folder: Path) -> tuple[Path, Path] | None:
    for encoder, merges in _GPT2_FILES:
        if (folder / encoder).exists() and (folder / merges).exists():
            return folder / encoder, folder / merges
    return None


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except FileNotFoundError:
        raise TokenizerError(
            f"There is no tokenizer at {file}. A tokenizer.json, or a folder with one or with GPT-2's "
            "encoder.json and vocab.bpe, is expected."
        ) from None
    except ValueError as error:
        raise TokenizerError(f"{file} is not JSON: {error}. Restore it from where it came.") from None
