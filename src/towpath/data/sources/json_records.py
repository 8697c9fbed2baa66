"""JSON of one record, read within the limits of one document.

Bytes go in, their value or the reason for a ``Rejected`` comes out.
"""

from __future__ import annotations

import json
from typing import Any, Final

from towpath.data.sources.limits import TookTooLong, time_limit
from towpath.data.wellformed import read_utf8

MAX_BRACKETS: Final = 2 << 20
"""Most lists and objects of a record, counted by their brackets: each takes up to 200 bytes of memory."""


def read_json(raw: bytes) -> tuple[Any, str | None]:
    """The value of ``raw`` and None, or None and why there is none.

    The reasons: "bad_json"; "too_many_values", as it has more than ``MAX_BRACKETS``; "too_slow". Bytes
    that are not UTF-8 stay as surrogates (``read_utf8``), and a byte order mark is passed over.
    """
    if raw.count(b"[") + raw.count(b"{") > MAX_BRACKETS:
        return None, "too_many_values"
    try:
        with time_limit():
            return json.loads(read_utf8(raw).removeprefix("\ufeff")), None
    except (ValueError, RecursionError):
        return None, "bad_json"
    except TookTooLong:
        return None, "too_slow"
