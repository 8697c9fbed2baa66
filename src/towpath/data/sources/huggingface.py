"""Any dataset that the package ``datasets`` reads: saved on disk, a folder of files, or by name.

A row is a document; the columns that hold text, chat, address and date are settings. ``path`` of a document
is the dataset and the row's number. Scripts of a dataset are never run. By name, rows are streamed or
downloaded; only ``revision`` fixes what a name means, so give one where a run must be repeated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from towpath.core.config import Execution
from towpath.core.errors import DataError, did_you_mean, need
from towpath.data.document import Document, Rejected
from towpath.data.sources import Digest, Piece, Source
from towpath.data.sources.files import read_messages
from towpath.data.wellformed import read_utf8

_BUILDERS: Final = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".jsonl": "json",
    ".json": "json",
    ".csv": "csv",
}


class HuggingfaceSource(Source):
    """Rows of a dataset."""

    type: Literal["huggingface"] = "huggingface"
    dataset: str
    """A folder on this machine (written by ``save_to_disk``, or with .parquet, .arrow, .json, .jsonl or
    .csv files), or the name of a dataset on the hub."""
    subset: str | None = None
    """The configuration of a dataset on the hub that has several."""
    split: str = "train"
    """Which split is read."""
    revision: str | None = None
    """Commit, tag or branch of a dataset on the hub."""
    streaming: Execution[bool] = True
    """Whether a dataset on the hub is read while it is downloaded, and not stored."""
    text_field: str = "text"
    """Column that holds the text."""
    messages_field: str | None = "messages"
    """Column that holds a chat, a list of {role, content}; taken where there is one."""
    url_field: str | None = "url"
    """Column that holds the address, taken where there is one."""
    date_field: str | None = "date"
    """Column that holds the date, taken where there is one."""
    meta_fields: tuple[str, ...] = ()
    """Columns whose strings, numbers and truth values go into ``meta``."""

    def read(self, piece: Piece) -> Iterator[Document | Rejected]:
        """Every row, in the dataset's order.

        Raises:
            DataError: the dataset can't be found or read, or has no such split or column.
            MissingPackageError: the package ``datasets`` is not installed.
        """
        rows = self._rows()
        self._check_columns(getattr(rows, "column_names", None))
        number = 0
        try:
            for row in rows:
                place = f"{self._name()}#{number}"
                number += 1
                yield self._document(row, place)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.dataset} can't be read after row {number}: {_short(error)}") from error

    def fingerprint(self, sha256: Digest) -> str:
        """Digest of the files of a folder; of a dataset on the hub its name, revision and split."""
        digest = hashlib.sha256(repr((self.subset, self.split)).encode())
        folder = self._folder()
        if folder is None:
            digest.update(repr((self.dataset, self.revision)).encode())
        else:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256(path)}\n".encode())
        return digest.hexdigest()

    def _folder(self) -> Path | None:
        folder = Path(self.dataset).expanduser()
        return folder if folder.is_dir() else None

    def _name(self) -> str:
        return self.dataset if self._folder() is None else Path(self.dataset).name

    def _rows(self) -> Iterable[Mapping[str, Any]]:
        datasets = need("datasets", install="towpath[datasets]", why="the source 'huggingface'")
        folder = self._folder()
        try:
            if folder is None:
                return datasets.load_dataset(
                    self.dataset,
                    self.subset,
                    split=self.split,
                    revision=self.revision,
                    streaming=self.streaming,
                )
            if (folder / "dataset_info.json").exists() or (folder / "dataset_dict.json").exists():
                return self._of_split(datasets.load_from_disk(str(folder)), datasets.DatasetDict)
            return self._of_files(folder, datasets)
        except DataError:
            raise
        except Exception as error:  # the package raises some twenty kinds, of six other packages
            raise DataError(
                f"The dataset {self.dataset!r} (split {self.split!r}) can't be loaded: {_short(error)} "
                "Expected a folder on this machine, or a name on the hub, which must be reachable or have "
                "been downloaded."
            ) from error

    def _of_split(self, found: Any, dictionary: type) -> Any:
        if not isinstance(found, dictionary):
            return found
        if self.split not in found:
            raise DataError(
                f"{self.dataset} has no split {self.split!r}.{did_you_mean(self.split, found)} "
                f"It has: {', '.join(found)}."
            )
        return found[self.split]

    def _of_files(self, folder: Path, datasets: Any) -> Any:
        files = sorted(str(path) for path in folder.rglob("*") if path.suffix in _BUILDERS)
        kinds = {Path(name).suffix for name in files}
        if len({_BUILDERS[kind] for kind in kinds}) != 1:
            raise DataError(
                f"{folder} holds no dataset: expected what save_to_disk writes, or files of one kind of "
                f"{', '.join(_BUILDERS)}; found {', '.join(sorted(kinds)) or 'none of them'}."
            )
        builder = _BUILDERS[kinds.pop()]
        return datasets.load_dataset(
            builder, data_files={self.split: files}, split=self.split, streaming=True
        )

    def _check_columns(self, columns: list[str] | None) -> None:
        if columns and not {self.text_field, self.messages_field}.intersection(columns):
            raise DataError(
                f"{self.dataset} has no column {self.text_field!r}; it has: {', '.join(columns)}. "
                "Name the one that holds the text in text_field."
            )

    def _document(self, row: Mapping[str, Any], place: str) -> Document | Rejected:
        messages = read_messages(row.get(self.messages_field)) if self.messages_field else None
        text = row.get(self.text_field)
        if isinstance(text, bytes):
            text = read_utf8(text)
        if not isinstance(text, str):
            if messages is None:
                return Rejected(self.document("", path=place), "no_text")
            text = "\n".join(message.content for message in messages)
        meta = {
            name: row[name]
            for name in self.meta_fields
            if isinstance(row.get(name), str | int | float | bool)
        }
        url, date = (_string(row.get(name)) if name else None for name in (self.url_field, self.date_field))
        return self.document(text, path=place, url=url, date=date, messages=messages, meta=meta)


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _short(error: Exception) -> str:
    """The first line of what went wrong, as a sentence."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{first[:300].rstrip('.')}."
