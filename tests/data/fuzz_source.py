"""One source under libFuzzer, through atheris: ``python fuzz_source.py TYPE SUFFIX [libFuzzer's words]``.

Whatever the bytes are, reading gives documents and rejected records, or a ``DataError`` that names the
file; nothing else, within the time and memory that libFuzzer is given.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["towpath.data.sources"]):
    from towpath.core.errors import DataError
    from towpath.data import Document, Rejected
    from towpath.data.sources import SOURCES, Source
    from towpath.data.wellformed import gate

    section_class = SOURCES.load(sys.argv[1])

SUFFIX = sys.argv[2]
PATH = Path(tempfile.mkdtemp()) / f"fuzzed{SUFFIX}"
GIVEN = PATH.parent if sys.argv[1] == "code_files" else PATH


def read(data: bytes) -> None:
    PATH.write_bytes(data)
    source = section_class.model_validate({"path": str(GIVEN)})
    assert isinstance(source, Source)
    try:
        for item in source.documents():
            assert isinstance(item, Document | Rejected), item
            document = item.document if isinstance(item, Rejected) else item
            assert document.source == source.name
            text = gate(document)[0].text
            text.encode()
    except DataError as error:
        if str(GIVEN) not in str(error):
            raise AssertionError(f"the file is not named: {error}") from error


def main() -> None:
    atheris.Setup([sys.argv[0], *sys.argv[3:]], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
