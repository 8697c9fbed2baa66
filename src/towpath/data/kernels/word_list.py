"""How often listed words and phrases come in a text.

Lists of phrases and a column of texts come in; counts go out: of each list, of all, and the characters
of all. Case and the kind of white space don't matter; a phrase counts where no letter, digit or
underscore touches it, or anywhere in languages without spaces. Of phrases that overlap, the leftmost
counts, and the longest of those that start there.
A trie is walked from each place where a word starts; that is quicker than an Aho-Corasick automaton
over all bytes, as most walks end after a letter or two, and gives the longest phrase at once.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from functools import cache, cached_property

import numpy as np

from towpath.core.native import library, pointer
from towpath.core.texts import Texts

_WORD = 1 << 16
_N_CHARACTERS = 1 << 16
MAX_LISTS = 32


class _Trie(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("characters", "byte_classes", "children", "lists")),
        *((name, ctypes.c_int64) for name in ("n_classes", "n_lists", "bounded")),
    ]


class WordLists:
    """Up to 32 lists of phrases ready to be counted."""

    def __init__(self, lists: Mapping[str, Sequence[str]], *, bounded: bool = True) -> None:
        """``lists``: phrases by the name of their list; ``bounded``: only as whole words."""
        assert len(lists) <= MAX_LISTS
        self.names = tuple(lists)
        self.bounded = bounded
        self.bits: dict[str, int] = {}
        for number, phrases in enumerate(lists.values()):
            for phrase in filter(None, (folded(phrase.strip()) for phrase in phrases)):
                self.bits[phrase] = self.bits.get(phrase, 0) | 1 << number

    def counts(self, texts: Texts) -> np.ndarray:
        """int64, (N, lists + 2): of each list, of all, characters of all."""
        counts = np.zeros((len(texts), len(self.names) + 2), np.int64)
        kernel = library("towpath.data.kernels", "word_list")
        if kernel is None:
            for i in range(len(texts)):
                counts[i] = self.reference_counts(texts.bytes_of(i).decode(errors="replace"))
        else:
            kernel.word_list(*texts.arguments(), ctypes.byref(self._trie), pointer(counts))
        return counts

    def reference_counts(self, text: str) -> list[int]:
        """The counts of one text by plain Python: the kernel's oracle."""
        text, counts = folded(text), [0] * (len(self.names) + 2)
        place = 0
        while place < len(text):
            size = 0 if self.bounded and place and _is_word(text[place - 1]) else self._longest(text, place)
            if size:
                bits = self.bits[text[place : place + size]]
                counts = [count + (bits >> number & 1) for number, count in enumerate(counts)]
                counts[-2] += 1
                counts[-1] += size
            place += size or 1
        return counts

    def _longest(self, text: str, place: int) -> int:
        for size in self._sizes:
            end = place + size
            if end > len(text) or text[place:end] not in self.bits:
                continue
            if not self.bounded or end == len(text) or not _is_word(text[end]):
                return size
        return 0

    @cached_property
    def _sizes(self) -> list[int]:
        return sorted({len(phrase) for phrase in self.bits}, reverse=True)

    @cached_property
    def _trie(self) -> _Trie:
        arrays = self._arrays
        return _Trie(
            **{name: pointer(array) for name, array in arrays.items()},
            n_classes=arrays["children"].shape[1],
            n_lists=len(self.names),
            bounded=self.bounded,
        )

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        nodes: list[dict[int, int]] = [{}]
        lists = [0]
        for phrase, bits in self.bits.items():
            node = 0
            for byte in phrase.encode():
                if byte not in nodes[node]:
                    nodes[node][byte] = len(nodes)
                    nodes.append({})
                    lists.append(0)
                node = nodes[node][byte]
            lists[node] = bits
        used = sorted({byte for node in nodes for byte in node})
        classes = np.zeros(256, np.uint8)
        classes[used] = np.arange(1, len(used) + 1)
        children = np.zeros((len(nodes), len(used) + 1), np.int32)
        for number, node in enumerate(nodes):
            for byte, child in node.items():
                children[number, classes[byte]] = child
        return {
            "characters": _characters(),
            "byte_classes": classes,
            "children": children,
            "lists": np.array(lists, np.uint32),
        }


@cache
def _characters() -> np.ndarray:
    """uint32, (65,536,): the lower case of each character, where that is one, and a bit for words."""
    table = np.arange(_N_CHARACTERS, dtype=np.uint32)
    for code in range(_N_CHARACTERS):
        character = chr(code)
        lower = character.lower()
        if character.isspace():
            table[code] = ord(" ")
        elif len(lower) == 1 and ord(lower) < _N_CHARACTERS:
            table[code] = ord(lower)
        if character.isalnum() or character == "_":
            table[code] |= _WORD
    return table


@cache
def _folding() -> dict[int, int]:
    table = _characters() & (_WORD - 1)
    changed = np.flatnonzero(table != np.arange(_N_CHARACTERS))
    return dict(zip(changed.tolist(), table[changed].tolist(), strict=True))


def folded(text: str) -> str:
    """``text`` in lower case, each white space character a space."""
    return text.translate(_folding())


def _is_word(character: str) -> bool:
    return ord(character) < _N_CHARACTERS and bool(_characters()[ord(character)] & _WORD)
