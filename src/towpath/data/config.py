"""Settings of the data room."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from towpath.core.config import Execution, Section
from towpath.data.bounds import Bound
from towpath.data.cleaners import CLEANERS, CleanerConfig
from towpath.data.document import Domain
from towpath.data.evaluation_sets import EvaluationSet
from towpath.data.filters import FILTERS, FilterConfig
from towpath.data.mixture import MixtureConfig
from towpath.data.sources import SOURCES, Source


class NearDuplicatesConfig(Section):
    """MinHash: documents that share most of their shingles are found without comparing all pairs."""

    enabled: bool = True
    """Whether near duplicates are dropped; exact ones always are."""
    shingle_words: int = Field(default=5, ge=1)
    """Words in a row that count as one item of a document's set."""
    bands: int = Field(default=14, ge=1)
    """Two documents are compared when all hashes of one band are equal."""
    hashes_per_band: int = Field(default=8, ge=1)
    """More hashes in a band find only closer pairs."""
    min_similarity: float = Field(default=0.75, ge=0, le=1)
    """Compared pairs whose signatures agree in a smaller share of hashes are not duplicates."""


class SubstringsConfig(Section):
    """Stretches of text that an earlier document has too are cut out, and the rest of the document stays."""

    enabled: bool = False
    """Whether they are looked for. It reads all kept text once more and needs about half as much memory
    as ``block_bytes``."""
    domains: tuple[Domain, ...] = ("prose",)
    """Kinds of text that are cut; a chat's turns never are."""
    min_bytes: int = Field(default=200, ge=16, le=4_000)
    """The shortest stretch that counts."""
    cut: Literal["character", "sentence", "line"] = "sentence"
    """What a stretch is made of: parts of a unit at its ends stay."""
    min_rest_chars: int = Field(default=100, ge=0)
    """Documents of which less is left are dropped."""
    block_bytes: int = Field(default=2 << 30, ge=1)
    """Text that is compared together; what two blocks have in common stays."""
    fingerprints: bool | None = None
    """Whether the index gets the fingerprints by which later data sets find the stretches that they share
    with this one, about 60 / ``min_bytes`` bytes for each byte of text; None: when ``enabled``."""
    of_earlier: bool = True
    """Whether stretches that documents of ``data.against`` have are cut too. They are found by fingerprints:
    every one of ``min_bytes``, but for less than a quarter of that at each end; from half of it on some."""

    @property
    def indexed(self) -> bool:
        """Whether the index gets fingerprints."""
        return self.enabled if self.fingerprints is None else self.fingerprints


class DataConfig(Section):
    """What is read, what of it stays, and what is held out."""

    sources: tuple[Annotated[Source, SOURCES.choice()], ...] = ()
    """What to read. Of duplicates in two sources, the one listed first keeps it."""
    cleaners: tuple[Annotated[CleanerConfig, CLEANERS.choice()], ...] = ()
    """What changes texts while they are read, in this order, before anything is computed of them."""
    filters: tuple[Annotated[FilterConfig, FILTERS.choice()], ...] = Field(
        default=({"type": "length"}, {"type": "language"}, {"type": "gopher"}),  # pyright: ignore[reportArgumentType]
        validate_default=True,
    )
    """What judges each document, in this order; the first that drops it names the reason."""
    near_duplicates: NearDuplicatesConfig = NearDuplicatesConfig()
    """How near duplicates are found."""
    mixture: MixtureConfig | None = None
    """What the training text is made of by category; None takes the sources' weights as they are."""
    bounds: Execution[dict[str, Bound]] = Field(default={})
    """What ``towpath data validate`` asks of the statistics, by path: ``"all.documents" = {min = 1000}``."""
    substrings: SubstringsConfig = SubstringsConfig()
    """How repeated stretches inside documents are found; off unless it is enabled."""
    decontaminate: tuple[EvaluationSet, ...] = ()
    """Evaluation sets: documents that share a run of words with one of their records are dropped as
    "contaminated", or the run is cut out. ``contamination.json`` of the result has a report for each task."""
    keep_by: tuple[str, ...] = ()
    """Of near duplicates the one with the highest value of the first of these feature columns stays, then
    of the second ("-n_edits": the lowest), then the one that is read first."""
    against: tuple[str, ...] = ()
    """Earlier documents (folder, id or name of the artifact): what repeats one of theirs is dropped. They
    are compared by their index, their text is not read."""
    validation_share: float = Field(default=0.01, ge=0, lt=1)
    """Share of each source's documents that is held out, by hash of their content; at least one
    document of a source that has two, unless it is 0."""
    max_drop_share: Execution[Annotated[float, Field(gt=0, le=1)]] = 0.85
    """A step (reading, one filter, one kind of duplicate) that takes a larger share of what reaches it
    stops the run; steps that fewer than 1,000 documents reach may take all, but no source of 20 and more
    may lose all to filters, unless this is 1. 0.85, because all steps
    of RefinedWeb together take about nine tenths of Common Crawl (arXiv:2306.01116, figure 2), and a
    faulty step of DCLM took as much alone (mlfoundations/dclm, issues 71 and 83). To keep a language
    that is rare in its dump, set it higher."""
    part_bytes: int = Field(default=32 << 20, ge=1)
    """Text in one file of the result, at most, unless one document is longer. It changes the files,
    so unlike ``workers`` it is part of what the artifact is."""
    part_documents: int = Field(default=20_000, ge=1)
    """Documents in one file of the result, at most."""
    engine: Execution[Literal["native", "ray"]] = "native"
    """Where the work runs: "native" on this machine, "ray" on the cluster at RAY_ADDRESS. On a cluster
    the home folder and the sources lie on storage that all nodes see under the same path."""
    workers: Execution[Annotated[int, Field(ge=1)] | None] = None
    """Worker processes of the native engine; None takes one a core."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> DataConfig:
        names = [source.name for source in self.sources]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"two sources are called {repeated[0]!r}; give each its own 'name'.")
        return self
