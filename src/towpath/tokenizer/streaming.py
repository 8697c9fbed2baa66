"""Text from tokens as they come: a piece is given out once its characters are whole.

Comes in: one token's bytes after another, the form that a model generates. Goes out: pieces of
text that join to what decoding all tokens at once would give, with U+FFFD where bytes are no UTF-8.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable


class StreamDecoder:
    """Decodes token ids one at a time. ``token_bytes`` gives an id's bytes."""

    def __init__(self, token_bytes: Callable[[int], bytes]) -> None:
        self._token_bytes = token_bytes
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        """The text that ``token_id`` completes; empty while a character is still in parts."""
        return self._characters.decode(self._token_bytes(token_id))

    def finish(self) -> str:
        """What is left: empty, or U+FFFD for a character that was never completed."""
        return self._characters.decode(b"", final=True)
