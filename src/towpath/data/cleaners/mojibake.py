"""Mojibake cleaner: wrongly decoded text put right, by ftfy, where a kernel saw signs of it.

ftfy (Robyn Speer, https://ftfy.readthedocs.io) reads one or two megabytes in a second, far less
than the rest of the room, so it sees only texts with suspicious places (``kernels.mojibake_gate``).
What it would do to clean text as well (straight quotes, ligatures, full-width letters, NFC) is off:
it would change those few texts and not the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from towpath.data.cleaners import Cleaned, CleanerConfig
from towpath.data.cleaners.changed_rows import with_changed

if TYPE_CHECKING:
    import pyarrow as pa

_OFF = {
    "uncurl_quotes": False,
    "fix_latin_ligatures": False,
    "fix_character_width": False,
    "fix_line_breaks": False,
    "normalization": None,
    "explain": False,
}


class MojibakeConfig(CleanerConfig):
    """When ftfy is asked, and for how long."""

    type: Literal["mojibake"] = "mojibake"
    min_suspicious: int = Field(default=1, ge=1)
    """Texts with fewer suspicious places are left alone."""
    max_seconds: float = Field(default=2.0, gt=0)
    """A text on which ftfy works longer stays as it was."""
    html_entities: bool = True
    """Whether "&amp;amp;" becomes "&"; ftfy leaves them in a line with a "<", which looks like HTML."""

    def clean(self, texts: pa.Array) -> Cleaned:
        """``n_edits`` is the number of suspicious places that are gone, at least 1 for a changed text."""
        import numpy as np
        import pyarrow as pa

        from towpath.core.texts import Texts
        from towpath.data.kernels.mojibake_gate import mojibake_gate

        suspicious = mojibake_gate(Texts.of(texts))
        rows = np.flatnonzero(suspicious >= self.min_suspicious)
        asked = texts.take(pa.array(rows)).to_pylist()
        fixed = {row: self._fixed(text) for row, text in zip(rows.tolist(), asked, strict=True)}
        changed = {row: fixed[row] for row, text in zip(fixed, asked, strict=True) if fixed[row] != text}
        n_edits = np.zeros(len(texts), np.int32)
        if changed:
            left = mojibake_gate(Texts.of(pa.array(list(changed.values()), pa.large_string())))
            n_edits[list(changed)] = np.maximum(suspicious[list(changed)] - left, 1)
        return Cleaned(with_changed(texts, changed), n_edits)

    def _fixed(self, text: str) -> str:
        import ftfy

        from towpath.data.sources.limits import TookTooLong, time_limit

        config = ftfy.TextFixerConfig(**_OFF, unescape_html="auto" if self.html_entities else False)
        try:
            with time_limit(self.max_seconds):
                return ftfy.fix_text(text, config)
        except TookTooLong:
            return text
