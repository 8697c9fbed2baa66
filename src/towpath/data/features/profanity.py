"""Profanity features: how many listed words and phrases a text has, and what share of it they are.

A table with ``text`` comes in; counts go out. The lists of 27 languages are LDNOOBW's (CC BY 4.0, see
the head of each file in ``filters/words``), which C4 used too; others are read from their paths, one
phrase a line, lines that start with "# " left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, field_validator, model_validator

from towpath.core.errors import ConfigError, did_you_mean
from towpath.data.features import FeatureSet

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from towpath.data.kernels.word_list import WordLists

WITHOUT_SPACES = ("ja", "th", "zh")
"""Languages whose phrases count within other characters (as in C4's code)."""
_FOLDER = Path(__file__).parents[1] / "filters" / "words"


class ProfanityFeatures(FeatureSet):
    """Counts of listed phrases."""

    lists: tuple[str, ...] = Field(default=("en",), max_length=27)
    """Languages of the packaged lists."""
    paths: tuple[str, ...] = Field(default=(), max_length=5)
    """Files of further lists; the name of a file without its suffix names its column."""

    @field_validator("lists")
    @classmethod
    def _lists_exist(cls, lists: tuple[str, ...]) -> tuple[str, ...]:
        for name in lists:
            if name not in packaged_lists():
                raise ValueError(f"Unknown word list {name!r}.{did_you_mean(name, packaged_lists())}")
        return lists

    @model_validator(mode="after")
    def _columns_have_names(self) -> ProfanityFeatures:
        names = self._names()
        for name in names:
            if not f"_{name}".isidentifier() or names.count(name) > 1:
                raise ValueError(
                    f"the word list {name!r} cannot name a column; give each file a name of its own, of "
                    "letters, digits and underscores."
                )
        return self

    def columns(self) -> pa.Schema:
        """``profanities``, of all lists, ``profanity_char_share``, and ``profanities_en`` and so on."""
        import pyarrow as pa

        names = [f"profanities_{name}" for name in self._names()]
        whole = [(name, pa.int64()) for name in ("profanities", *names)]
        return pa.schema([*whole, ("profanity_char_share", pa.float64())])

    def compute(self, documents: pa.Table) -> pa.Table:
        """A row for each of ``documents``."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        from towpath.core.texts import Texts

        texts = Texts.of(documents["text"])
        columns: dict[str, np.ndarray] = {}
        counts = np.zeros((len(texts), 2), np.int64)
        for lists in _word_lists(self.lists, self.paths):
            found = lists.counts(texts)
            counts += found[:, -2:]
            columns |= {f"profanities_{name}": found[:, i] for i, name in enumerate(lists.names)}
        n_chars = np.asarray(pc.utf8_length(documents["text"]).fill_null(0))  # pyright: ignore[reportAttributeAccessIssue]
        columns["profanities"] = counts[:, 0]
        columns["profanity_char_share"] = counts[:, 1] / np.maximum(n_chars, 1)
        schema = self.columns()
        return pa.table([pa.array(columns[name]) for name in schema.names], schema=schema)

    def _names(self) -> list[str]:
        return [*self.lists, *(Path(path).stem for path in self.paths)]


def packaged_lists() -> list[str]:
    """Languages that have a list in the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.txt"))


@cache
def _word_lists(lists: tuple[str, ...], paths: tuple[str, ...]) -> list[WordLists]:
    """Those that count as whole words, then those that count anywhere."""
    phrases = {name: read_list(_FOLDER / f"{name}.txt") for name in lists}
    phrases |= {Path(path).stem: read_list(Path(path)) for path in paths}
    both = [_those(phrases, bounded) for bounded in (True, False)]
    return [found for found in both if found.names]


def _those(phrases: Mapping[str, list[str]], bounded: bool) -> WordLists:
    from towpath.data.kernels.word_list import WordLists

    chosen = {name: some for name, some in phrases.items() if (name not in WITHOUT_SPACES) == bounded}
    return WordLists(chosen, bounded=bounded)


def read_list(path: Path) -> list[str]:
    """The phrases of a file, one a line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The word list {path} cannot be read ({error}). Expected UTF-8 text, one phrase a line."
        ) from error
    return [line.strip() for line in lines if line.strip() and not line.startswith("# ")]
