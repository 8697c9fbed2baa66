from __future__ import annotations

from pathlib import Path

import pytest

from tests.sanitized import check


@pytest.mark.slow
def test_sanitizers_find_nothing_on_any_bytes(tmp_path: Path) -> None:
    check("towpath.data.kernels", "tests.data.kernels_on_any_bytes", tmp_path)
