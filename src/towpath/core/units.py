"""Numbers with units, for a person to read."""

from __future__ import annotations


def size(number: float) -> str:
    """Bytes in a unit that fits, decimal: 1 GB is 10**9 bytes.

    >>> size(1_234_000_000)
    '1.23 GB'
    """
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if number >= unit:
            return f"{number / unit:.3g} {name}" if number < 1000 * unit else f"{number / unit:,.0f} {name}"
    return f"{number:.0f} bytes"
