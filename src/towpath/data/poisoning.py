"""Signs of poisoning in a corpus: documents come in, a report of suspicious phrases and templates goes out.

Two things that no single document shows:

- A burst: a phrase that a few documents repeat over and over, that hardly any other has, though these
  documents have little else in common. So triggers look that are put into unrelated text (Wallace et al.
  2021, arXiv:2010.12563; Souly et al. 2025, arXiv:2510.07192). Words of a subject burst too, but documents
  on one subject share other rare words; that tells the two apart.
- A template: texts that are the same but for names and numbers, on many registrable domains.

One pass of plain Python and NumPy, 0.4 MB of text in a second, 128 MB of memory and some kilobytes a
document: take a sample of a large corpus. What is found is a reason to look, not a verdict, and a
trigger that stands once in each document is not found. The papers poison and measure; the detection is this
project's own, its thresholds chosen on real text with planted triggers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from towpath.core.config import Section
from towpath.data.poisoning_phrases import Burst, Phrases
from towpath.data.poisoning_templates import Template, Templates

if TYPE_CHECKING:
    from towpath.data.document import Document

_TOKENS = re.compile(r"\w+|[^\w\s]")
_MAX_TOKENS = 20_000  # of a longer document the rest is not read


class PoisoningConfig(Section):
    """When a phrase or a template is suspicious."""

    max_phrase_words: int = Field(default=3, ge=1, le=8)
    """Words in a phrase, at most."""
    min_repeats: int = Field(default=3, ge=2)
    """Times that a document has to repeat a phrase."""
    min_documents: int = Field(default=5, ge=2)
    """Documents that have to do so."""
    min_repeating_share: float = Field(default=0.75, gt=0, le=1)
    """Of the documents that have the phrase at all, this share has to repeat it."""
    max_document_share: float = Field(default=0.02, gt=0, le=1)
    """A phrase in a larger share of all documents is no rare one, unless fewer than twenty have it."""
    max_likeness: float = Field(default=1.75, gt=0)
    """Documents are unrelated when they are no more alike than this many times any two. Measured on 1,513
    real texts: 0.6 to 1.5 for 24 planted triggers, 2.3 and more for words of a subject."""
    sketch_bits: int = Field(default=24, ge=10, le=30)
    """Phrases are counted in two rows of 2 to this power cells of 4 bytes; with many more phrases than
    cells, counts come out too high, and rare phrases are overlooked."""
    min_template_domains: int = Field(default=5, ge=2)
    """Registrable domains that one template has to be on."""
    min_template_words: int = Field(default=20, ge=5)
    """Shorter documents are no templates."""


@dataclass(frozen=True)
class PoisoningReport:
    """What is worth a look."""

    n_documents: int
    """Documents read."""
    bursts: tuple[Burst, ...]
    """The phrases in most documents first."""
    templates: tuple[Template, ...]
    """The templates on most domains first."""


def poisoning_report(documents: Iterable[Document], config: PoisoningConfig | None = None) -> PoisoningReport:
    """Read ``documents`` once and report suspicious phrases and templates."""
    config = config or PoisoningConfig()
    phrases = Phrases(config)
    templates = Templates(config)
    count = 0
    for document in documents:
        tokens = _TOKENS.findall(document.text)[:_MAX_TOKENS]
        phrases.add(document, [token.lower() for token in tokens])
        templates.add(document, tokens)
        count += 1
    return PoisoningReport(count, phrases.bursts(), templates.found())
