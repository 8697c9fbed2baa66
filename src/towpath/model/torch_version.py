"""Which torch the model room needs, checked once when it is imported.

2.6 is the first with the ``F.rms_norm``, SDPA and ``torch.load`` behaviour that is relied on here.
pip is not told, because it would then replace a torch that somebody installed with care.
"""

from __future__ import annotations

import re

from towpath.core.errors import ModelError

OLDEST_TORCH = (2, 6)


def check_torch_version(version: str) -> None:
    """Refuse a torch older than ``OLDEST_TORCH``.

    Raises:
        ModelError: with both versions and the line that helps.
    """
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        raise ModelError(
            f"torch {version} is installed; towpath.model needs {oldest} or newer. "
            f'Install it with: pip install --upgrade "torch>={oldest}"'
        )
