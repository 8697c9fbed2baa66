"""HF's tokenizer.json: written from merges, and read back as what this room needs of it.

Comes in: merges, or the content of any byte-level tokenizer.json. Goes out: its content as plain
JSON types, or a ``Layout``. Written here so that the bytes do not depend on the installed version
of ``tokenizers``. Merges are written as "left right", the spelling that older readers know too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from towpath.core.errors import TokenizerError
from towpath.tokenizer.bpe import (
    ALPHABET,
    GPT2_PATTERN,
    PATTERN,
    Merge,
    disagreement,
    parse_merge,
    spell,
    unspell,
)

_LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2_PATTERN = _LLAMA3_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")

RANKED_PATTERNS = (PATTERN, GPT2_PATTERN, _LLAMA3_PATTERN, _QWEN2_PATTERN)
"""Patterns known to cut alike in both engines (tests/tokenizer/test_engines.py)."""


_MOST_IDS = 1 << 24
"""An id beyond it is a damaged file, not a vocabulary."""


@dataclass(frozen=True)
class Ranks:
    """What encoding by ranks needs: a token's place in ``tokens`` is its rank; ``ids`` are their ids.

    ``merges`` are the pairs of ranks that make the tokens after the 256 bytes.
    """

    pattern: str
    tokens: list[bytes]
    ids: list[int]
    merges: list[tuple[int, int]]


@dataclass(frozen=True)
class Layout:
    """What a tokenizer.json says, checked."""

    tokens: list[bytes | None]
    """The bytes of every id; None where an id is unused."""
    special: dict[str, int]
    """Name to id."""
    ranks: Ranks | None
    """None when encoding by ranks could give other ids than ``tokenizers`` does."""


def tokenizer_json(merges: Sequence[Merge], pattern: str, special: Sequence[str]) -> dict[str, Any]:
    """A tokenizer.json: id b is byte b below 256, then one id a merge, then the special tokens."""
    tokens = [*ALPHABET, *(spell(left + right) for left, right in merges)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return tokenizer_json_of(vocabulary, merges, pattern, _numbered(special, len(tokens)))


def tokenizer_json_of(
    vocabulary: Mapping[str, int], merges: Sequence[Merge], pattern: str, special: Mapping[str, int]
) -> dict[str, Any]:
    """A tokenizer.json with the ids of ``vocabulary`` (spelled tokens) and ``special`` (plain names)."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added_token(name, number) for name, number in special.items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": dict(vocabulary),
            "merges": [f"{spell(left)} {spell(right)}" for left, right in merges],
        },
    }


def with_special_tokens(content: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """``content`` with those of ``names`` that it lacks appended after its highest id."""
    added = list(content["added_tokens"])
    known = {token["content"] for token in added}
    first = 1 + max([*content["model"]["vocab"].values(), *(token["id"] for token in added)])
    missing = _numbered([name for name in names if name not in known], first)
    return {**content, "added_tokens": added + [_added_token(*item) for item in missing.items()]}


def gpt2_json(encoder: Mapping[str, int], merges_text: str) -> dict[str, Any]:
    """A tokenizer.json from the two files that OpenAI released with GPT-2."""
    lines = [line for line in merges_text.splitlines() if line and not line.startswith("#version")]
    special = {name: number for name, number in encoder.items() if re.fullmatch(r"<\|.*\|>", name)}
    vocabulary = {token: number for token, number in encoder.items() if token not in special}
    return tokenizer_json_of(
        vocabulary, [parse_merge(line, "vocab.bpe") for line in lines], GPT2_PATTERN, special
    )


def read_layout(content: Mapping[str, Any], where: str | Path) -> Layout:
    """Check a tokenizer.json and take out what encoding and decoding need.

    Raises:
        TokenizerError: it is no byte-level BPE, or its tokens cannot hold every byte.
    """
    model = content.get("model") if isinstance(content, Mapping) else None
    if not isinstance(model, Mapping) or not isinstance(model.get("vocab"), Mapping):
        raise TokenizerError(f"{where} is not a tokenizer.json: it holds no model with a vocabulary.")
    _refuse_other_models(model, where)
    added = content.get("added_tokens") or []
    merges = [parse_merge(merge, where) for merge in model.get("merges", [])]
    return Layout(
        tokens=_token_bytes(model["vocab"], added, where),
        special={token["content"]: token["id"] for token in added if token.get("special")},
        ranks=_ranks(content, merges),
    )


def _refuse_other_models(model: Mapping[str, Any], where: str | Path) -> None:
    kind = model.get("type", "BPE")
    if kind != "BPE":
        raise TokenizerError(f"{where} holds a {kind} model; a byte-level BPE is needed.")
    for setting in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(setting):
            raise TokenizerError(
                f"{where}: model.{setting} = {model[setting]!r}; a byte-level BPE without it is needed."
            )
    missing = [byte for byte, character in enumerate(ALPHABET) if character not in model["vocab"]]
    if missing:
        raise TokenizerError(
            f"{where} has no token for {len(missing)} of the 256 bytes, the first is 0x{missing[0]:02X}; "
            "a byte-level BPE with all of them is needed, so that no text is lost."
        )


def _token_bytes(
    vocabulary: Mapping[str, int], added: Sequence[Mapping[str, Any]], where: str | Path
) -> list[bytes | None]:
    names = {token["content"]: token["id"] for token in added}
    tokens: dict[int, bytes] = {}
    for name, number in {**vocabulary, **names}.items():
        if not isinstance(number, int) or not 0 <= number < _MOST_IDS:
            raise TokenizerError(
                f"{where}: the token {name!r} has the id {number!r}; 0 to {_MOST_IDS - 1} can be."
            )
        if number in tokens:
            raise TokenizerError(
                f"{where}: the token {name!r} has the id {number}, which another one has too."
            )
        spelled = None if name in names else unspell(name)
        tokens[number] = name.encode() if spelled is None else spelled
    return [tokens.get(number) for number in range(max(tokens) + 1)]


def _ranks(content: Mapping[str, Any], merges: list[Merge]) -> Ranks | None:
    added = content.get("added_tokens") or []
    pattern = _pattern_of(content.get("pre_tokenizer"))
    if pattern not in RANKED_PATTERNS or content.get("normalizer") is not None:
        return None
    if not all(token.get("special") for token in added) or disagreement(merges) is not None:
        return None
    tokens = [*(bytes([byte]) for byte in range(256)), *(left + right for left, right in merges)]
    spelled = [spell(token) for token in tokens]
    vocabulary = content["model"]["vocab"]
    if set(spelled) != set(vocabulary) - {token["content"] for token in added}:
        return None
    rank_of = {token: rank for rank, token in enumerate(tokens)}
    pairs = [(rank_of[left], rank_of[right]) for left, right in merges]
    return Ranks(pattern, tokens, [vocabulary[token] for token in spelled], pairs)


def _pattern_of(pre_tokenizer: Mapping[str, Any] | None) -> str | None:
    """The piece pattern, when the pre-tokenizer is byte-level and does nothing but cut by one."""
    parts = [pre_tokenizer or {}]
    if parts[0].get("type") == "Sequence":
        parts = parts[0]["pretokenizers"]
    last = parts[-1]
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space", True):
        return None
    if len(parts) == 1:
        return GPT2_PATTERN if last.get("use_regex", True) else None
    first = parts[0]
    cuts = first.get("type") == "Split" and first.get("behavior") == "Isolated" and not first.get("invert")
    if len(parts) == 2 and cuts and not last.get("use_regex", True):
        return first["pattern"].get("Regex")
    return None


def _numbered(names: Sequence[str], first: int) -> dict[str, int]:
    return {name: first + position for position, name in enumerate(names)}


def _added_token(name: str, number: int) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": number, "content": name, **flags}
