"""Files as byte streams, compressed or not, and errors that name the file.

pyarrow decompresses: one reader for gzip, bzip2 and Zstandard, of one stream or many in a row,
and it notices a stream that ends too early (zstandard's own file reader does not).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from towpath.core.errors import DataError

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_BUFFER_BYTES = 1 << 20


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of ``path`` after decompression, which its suffix tells.

    Raises:
        DataError: the file can't be opened, is cut short or damaged; also from reads inside.
    """
    import pyarrow

    with damage_named(path):
        stream = pyarrow.input_stream(str(path), compression=COMPRESSIONS.get(path.suffix))
        with io.BufferedReader(cast(io.RawIOBase, stream), _BUFFER_BYTES) as buffered:
            yield buffered


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what pyarrow raises about a file's content into a ``DataError`` that names ``path``."""
    import pyarrow

    try:
        yield
    except (PermissionError, FileNotFoundError, IsADirectoryError) as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}.") from error
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        raise DataError(
            f"{path} is cut short or damaged: {str(error).strip().rstrip('.')}. "
            "Fetch or write the file again, or leave it out."
        ) from error
