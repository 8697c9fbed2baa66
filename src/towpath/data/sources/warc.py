"""Web archives: WARC, WET and WAT files, as they are or compressed, one document a page.

Format: https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/. Of a WARC
the successful responses with HTML or plain text are documents; of a WET the conversions; of a WAT,
whose records describe pages, nothing unless ``wat`` asks for it. Redirects, errors, requests and
other media are no documents and are passed over.

``byte_offset`` is where the record starts in the file as it is stored, as the users of the format
expect, so that a range request finds it. In an archive that is compressed as one stream (not one a
record) it counts after decompression.

Nothing is lost: a page that can't become a text is rejected with what was read of it, and where
a file is damaged or cut, that place is rejected and reading goes on at the next whole record.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from towpath.core.errors import DataError
from towpath.data.document import Document, Rejected
from towpath.data.sources.file_source import FileSource
from towpath.data.sources.html_text import HtmlConfig, decoded, read_page
from towpath.data.sources.http_payload import decoded_payload, media_type
from towpath.data.sources.limits import TookTooLong, TooLarge, time_limit
from towpath.data.sources.warc_records import Damage, Record, read_records
from towpath.data.sources.web_signals import header_signals, merged

_HTML = ("text/html", "application/xhtml+xml")
_TEXT = ("text/plain",)
_RAW_CHARS = 20_000


class WarcSource(FileSource):
    """Pages of WARC, WET and WAT files."""

    suffixes: ClassVar = (".warc", ".wet", ".wat")

    type: Literal["warc"] = "warc"
    path: str
    """An archive (.warc, .warc.gz, .warc.wet.gz, .warc.wat.gz), a folder or a glob of them."""
    html: HtmlConfig = HtmlConfig()
    """How text is taken out of pages."""
    wat: Literal["none", "titles", "links"] = "none"
    """What of a WAT file becomes documents: nothing, titles with their descriptions, or those and
    the texts of a page's links."""

    def read_file(self, path: Path, place: str) -> Iterator[Document | Rejected]:
        """Every page, in the archive's order.

        Raises:
            DataError: the file can't be opened, or holds no record at all.
        """
        for item in read_records(path, self.html.max_bytes):
            if isinstance(item, Damage):
                yield Rejected(
                    self.document(item.text, path=place, byte_offset=item.byte_offset), item.reason
                )
                continue
            try:
                document = self._document(item, place)
            except TooLarge:
                yield self._rejected(item, place, "too_large")
            except TookTooLong:
                yield self._rejected(item, place, "too_slow")
            except DataError:
                yield self._rejected(item, place, "malformed_record")
            else:
                if document is not None:
                    yield document if document.text else self._rejected(item, place, "no_text")

    def _document(self, record: Record, place: str) -> Document | None:
        match record.kind:
            case "response" | "resource":
                return self._page(record, place)
            case "conversion":
                return self._conversion(record, place)
            case "metadata" if self.wat != "none" and record.media_type == "application/json":
                return self._described(record, place)
        return None

    def _page(self, record: Record, place: str) -> Document | None:
        if record.kind == "response" and not record.is_http:
            return None  # a DNS look-up, for example
        if record.kind == "response" and record.status is None:
            raise DataError("Its HTTP header can't be read.")
        kind = media_type(record.content, record.http_type if record.is_http else record.media_type)
        if (record.status is not None and record.status != 200) or kind not in (*_HTML, *_TEXT):
            return None
        if len(record.content) > self.html.max_bytes:
            raise TooLarge("The page is larger than max_bytes.")
        content = decoded_payload(record.content, record.http_fields, self.html.max_bytes)
        meta: dict[str, Any] = dict(header_signals(record.http_fields))
        if kind in _HTML:
            page = read_page(content, record.charset, self.html)
            text, meta = page.text, dict(merged(meta, page.meta))
        else:
            text = decoded(content, record.charset)[0].strip()
        if record.truncated:
            meta["truncated"] = record.truncated
        return self._made(record, place, text, meta)

    def _conversion(self, record: Record, place: str) -> Document:
        if len(record.content) > self.html.max_bytes:
            raise TooLarge("The text is larger than max_bytes.")
        meta: dict[str, Any] = {"languages": record.languages} if record.languages else {}
        return self._made(record, place, decoded(record.content, "utf-8")[0].strip(), meta)

    def _described(self, record: Record, place: str) -> Document | None:
        with time_limit(self.html.timeout_seconds):
            head, status, links = _wat_page(record.content)
        if status != 200:
            return None  # also the description of a request, which has none
        lines = [line for line in head if line]
        if self.wat == "links":
            lines += links
        return self._made(record, place, "\n".join(lines), {"n_links": len(links)})

    def _made(self, record: Record, place: str, text: str, meta: dict[str, Any]) -> Document:
        return self.document(
            text, path=place, url=record.url, byte_offset=record.byte_offset, date=record.date, meta=meta
        )

    def _rejected(self, record: Record, place: str, reason: str) -> Rejected:
        raw = decoded(record.content[:_RAW_CHARS], record.charset)[0]
        return Rejected(self._made(record, place, raw, {}), reason)


def _wat_page(content: bytes) -> tuple[list[str], int | None, list[str]]:
    """Title and description, HTTP status and texts of links of the page that a WAT record describes."""
    try:
        envelope = _inside(json.loads(content), "Envelope", "Payload-Metadata", "HTTP-Response-Metadata")
    except (ValueError, RecursionError) as error:
        raise DataError(f"The WAT record is not JSON: {error}.") from error
    page = _inside(envelope, "HTML-Metadata")
    head = _inside(page, "Head")
    metas = head.get("Metas")
    described = [
        meta.get("content")
        for meta in (metas if isinstance(metas, list) else [])
        if isinstance(meta, dict) and meta.get("name") == "description"
    ]
    links = page.get("Links")
    texts = [
        link.get("text") for link in (links if isinstance(links, list) else []) if isinstance(link, dict)
    ]
    status = str(_inside(envelope, "Response-Message").get("Status", ""))
    return (
        [" ".join(text.split()) for text in (head.get("Title"), *described) if isinstance(text, str)],
        int(status) if status.isascii() and status.isdigit() else None,
        [" ".join(text.split()) for text in texts if isinstance(text, str) and text.strip()],
    )


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _inside(value: Any, *names: str) -> dict[str, Any]:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
