"""OCR cleaner: text that a program read from printed pages, as paragraphs.

Form feeds part pages. Running heads, page numbers and broken lines go (``sources.page_lines``), words
cut at a line's end become whole, ligatures and the long s become letters, and a "|" that stands alone
where a word should be becomes "I", which it is in almost every English book. Letters that were
misread stay misread: nothing is guessed from a dictionary.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from towpath.data.cleaners import Cleaned, CleanerConfig
from towpath.data.cleaners.changed_rows import with_changed
from towpath.data.document import Domain

if TYPE_CHECKING:
    import pyarrow as pa

_LETTERS = {
    "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st", "ſ": "s", "\u00ad": "",
}  # fmt: skip
_LETTER = re.compile(f"[{''.join(set(_LETTERS) - {chr(0xAD)})}]|\u00ad(?!\\n)")
_BAR = re.compile(r"^([^|\n]*?(?:^|[ \"“‘'(]))\|(?= [a-z][^|\n]*$)", re.MULTILINE)


class OcrConfig(CleanerConfig):
    """What is put right."""

    type: Literal["ocr"] = "ocr"
    domains: tuple[Domain, ...] = ("prose",)
    """Kinds of text that the cleaner changes."""
    lines: bool = True
    """Whether running heads and page numbers go, and lines and cut words are joined."""
    letters: bool = True
    """Whether ligatures and the long s become plain letters."""
    bars: bool = True
    """Whether the only "|" of a line, between blanks and before a small letter, becomes "I"."""

    def clean(self, texts: pa.Array) -> Cleaned:
        """``n_edits`` counts letters replaced, lines removed and line breaks taken out."""
        import numpy as np

        n_edits = np.zeros(len(texts), np.int32)
        changed: dict[int, str] = {}
        for row, text in enumerate(texts.to_pylist()):
            cleaned, n = self.cleaned(text or "")
            if n:
                changed[row], n_edits[row] = cleaned, n
        return Cleaned(with_changed(texts, changed), n_edits)

    def cleaned(self, text: str) -> tuple[str, int]:
        """``text`` put right, and the number of edits; the text itself where there were none."""
        from towpath.data.sources.page_lines import joined_pages

        n_letters = n_bars = n_lines = 0
        if self.letters:
            text, n_letters = _LETTER.subn(lambda match: _LETTERS[match[0]], text)
        if self.bars and "|" in text:
            text, n_bars = _BAR.subn(r"\1I", text)
        if self.lines:
            joined = joined_pages(text.split("\f"))
            n_lines = joined.n_edits
            text = joined.text if n_lines else text
        return text, n_letters + n_bars + n_lines
