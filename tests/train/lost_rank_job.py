"""A job of which rank 1 comes to harm in step 6, the first time that it gets there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.train.conftest import model, stage, train_config, weights
from towpath.train.stage import run_stage

SECONDS = 6
"""What a lost rank is named within here; 75 is the default."""


def job_config(mode: str):
    return train_config(
        parallel={"type": mode, "lost_rank_seconds": SECONDS}, max_steps=10, learning_rate=6e-4
    )


def run(folder: Path, mode: str, harm: Callable[[], object] | None) -> None:
    torch.set_num_threads(1)
    one = stage(folder, job_config(mode))
    source, done = one.batches, folder / "harmed"

    class Deadly:
        def batch(self, step: int):
            if harm and not done.exists():
                time.sleep(0.2)  # a sign is sent every 0.4 s
                if step == 5 and os.environ["RANK"] == "1":
                    done.touch()
                    harm()
            return source.batch(step)

        describe = source.describe

    one.batches = Deadly()
    decoder = model(dropout=0.1)
    run_stage(one, decoder)
    if os.environ["RANK"] == "0":
        save_file(weights(decoder), folder / "weights.safetensors")


def signalled(number: int) -> Callable[[], None]:
    """This process gets signal ``number``."""
    return lambda: os.kill(os.getpid(), number)
