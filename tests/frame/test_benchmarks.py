"""The benchmarks keep up with the code: the sides of training take a step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "train"
STEP = f"""
import sys
sys.path[:0] = [{str(FOLDER)!r}]
from sides import Size, nanogpt_settings, ours
size = Size("a trifle", 1, 32, 2, 16, 64, 2)
losses = [side(size).step() for side in (ours, nanogpt_settings)]
assert abs(losses[0] - losses[1]) < 1e-4, losses
"""


def test_our_loop_and_the_peers_settings_start_from_one_loss() -> None:
    subprocess.run([sys.executable, "-c", STEP], check=True)
