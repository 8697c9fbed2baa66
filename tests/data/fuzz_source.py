"""One source under libFuzzer, through atheris: ``python fuzz_source.py TYPE SUFFIX [libFuzzer's words]``.

Where the suffix is that of a container (``CONTAINERS``), the fuzzer's bytes are packed into a valid one
before they are read, so that they reach what is inside: names and contents of members, or records.

Whatever the bytes are, reading gives documents and rejected records, or a ``DataError`` that names the
file; nothing else, within the time and memory that libFuzzer is given.
"""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import atheris
import zstandard

with atheris.instrument_imports(include=["towpath.data.sources"]):
    from towpath.core.errors import DataError
    from towpath.data import Document, Rejected
    from towpath.data.sources import SOURCES, Source
    from towpath.data.wellformed import gate

    section_class = SOURCES.load(sys.argv[1])

SUFFIX = sys.argv[2]
PATH = Path(tempfile.mkdtemp()) / f"fuzzed{SUFFIX}"
GIVEN = PATH.parent if sys.argv[1] == "code_files" else PATH


MARK = b"\xff--\xff"
"""What parts members in the fuzzer's bytes; a member is its name, a line end and its content."""


def members(data: bytes) -> list[tuple[str, bytes]]:
    """The names and contents that ``data`` holds."""
    pairs = [part.partition(b"\n") for part in data.split(MARK)[:50]]
    return [(name.decode("utf-8", "replace")[:200] or "a", content) for name, _, content in pairs]


def epub(data: bytes) -> bytes:
    """A book of these members; one with a container and a package leads to them."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in dict(members(data)).items():
            archive.writestr(name.replace("\0", "") or "a", content)
    return packed.getvalue()


def tar(data: bytes) -> bytes:
    """A tar of these members; a name that starts with ">" is a link, one with "z" at its end compressed."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in members(data):
            entry = tarfile.TarInfo(name.lstrip(">").replace("\0", ""))
            if name.startswith(">"):
                entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
                content = b""
            elif name.endswith("z"):
                content = gzip.compress(content, 1)
            elif name.endswith(".zst"):
                content = zstandard.compress(content)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def warc(data: bytes) -> bytes:
    """An archive of these records, each a member of gzip with the length that it has."""
    records = []
    for head, content in members(data):
        kind = head[:20].encode("ascii", "replace") or b"response"
        record = b"WARC/1.0\r\nWARC-Type: %b\r\nContent-Type: application/http; msgtype=response\r\n" % kind
        record += b"WARC-Target-URI: http://a.b/\r\nContent-Length: %d\r\n\r\n" % len(content)
        records.append(gzip.compress(record + content + b"\r\n\r\n", 1))
    return b"".join(records)


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    ".epub": epub,
    ".tar": tar,
    ".tar.gz": lambda data: gzip.compress(tar(data), 1),
    ".jsonl.zst": zstandard.compress,
    ".warc.gz": warc,
}


SECONDS_PER_INPUT = 10
"""Under coverage and on a loaded machine; the parsers' own limit is 2."""


def read(data: bytes) -> None:
    """Read a file made of ``data``."""
    started = time.monotonic()
    PATH.write_bytes(CONTAINERS.get(SUFFIX, bytes)(data))
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
    assert time.monotonic() - started < SECONDS_PER_INPUT, "it took too long"


def main() -> None:
    atheris.Setup([sys.argv[0], *sys.argv[3:]], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
