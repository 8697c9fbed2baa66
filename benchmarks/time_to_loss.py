"""Time to a baseline's final loss: the demo's settings against nanoGPT-style ones, on the same data.

The baseline (recipe ``tiny-baseline``: GPT-2 layout, AdamW, cosine) trains for ``--steps`` steps. The
speed of both is measured in turns. Then the demo's settings train for a half and for a quarter of the
baseline's CPU time, each with its schedule fitted to that length, and for the whole of it.

    python benchmarks/time_to_loss.py --home work --steps 300 --seeds 0 1
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from towpath.core.artifacts import Store
from towpath.core.config import change
from towpath.core.runs import environment
from towpath.evaluate.scores import validation
from towpath.model.decoder import Decoder, build
from towpath.recipes import recipe
from towpath.recipes.path import Path as RunPath
from towpath.recipes.run_config import RunConfig
from towpath.tokenizer import Tokenizer, TokenShards
from towpath.train.pretrain import token_batches
from towpath.train.stage import Stage, run_stage

LOSS = "validation/loss"
BITS = "validation/bits_per_byte"


class Bench:
    """The shared data, and trainings on it."""

    def __init__(self, home: Path, threads: int) -> None:
        path = RunPath(recipe("tiny"), Store(home))
        self.shards = TokenShards(path.upto("tokens"))
        self.tokenizer = Tokenizer.load(path.made["tokenizer"].path)
        self.threads = threads

    def train(self, config: RunConfig, steps: int, seed: int) -> dict[str, float]:
        """Final figures of ``steps`` steps, with the CPU seconds of training alone."""
        settings = {
            "train.max_steps": steps,
            "train.warmup_steps": min(config.train.warmup_steps, steps // 10),
            "train.eval_steps": steps,
            "train.save_steps": steps,
            "train.threads": self.threads,
        }
        config = change(config, settings)
        context = config.model.n_positions
        model = build(config.model.for_tokenizer(self.tokenizer.vocab_size), seed=seed)
        score = validation(config.evaluate, self.shards, self.tokenizer, context)
        outside = [0.0]

        def validate(decoder: Decoder) -> Mapping[str, float]:
            start = time.process_time()
            figures = score(decoder)
            outside[0] += time.process_time() - start
            return figures

        with tempfile.TemporaryDirectory() as folder:
            batches = token_batches(self.shards, config.train, context, seed)
            stage = Stage("bench", Path(folder), config.train, seed, batches, validate)
            start = time.process_time()
            facts = run_stage(stage, model)
            seconds = time.process_time() - start - outside[0]
        return {
            "cpu_seconds": seconds,
            "steps": steps,
            **{name: facts["final"][name] for name in (LOSS, BITS)},
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, default=Path("work"))
    parser.add_argument("--steps", type=int, default=300, help="steps of the baseline")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    bench = Bench(options.home, options.threads)
    ours, baseline = recipe("tiny"), recipe("tiny-baseline")
    for _ in range(2):  # in turns, so that a change of the machine's speed meets both
        speeds = [bench.train(config, 8, 0)["cpu_seconds"] / 8 for config in (ours, baseline)]
        print(f"CPU seconds a step: ours {speeds[0]:.3f}, baseline {speeds[1]:.3f}", flush=True)
    rows = []
    for seed in options.seeds:
        base = bench.train(baseline, options.steps, seed)
        print(f"seed {seed} baseline: {base}", flush=True)
        for share in (1, 0.5, 0.25):
            steps = max(10, round(share * base["cpu_seconds"] / speeds[0]))
            row = {"seed": seed, "share": share, **bench.train(ours, steps, seed), "baseline": base}
            print(f"seed {seed} ours in {share} of the time: {row}", flush=True)
            rows.append(row)
    facts = environment()
    print(
        f"\ncommit {facts['commit']}, {facts['processor']}, {options.threads} threads, {platform.platform()}"
    )
    for share in (1, 0.5, 0.25):
        chosen = [row for row in rows if row["share"] == share]
        line = {
            "row": f"loss in {share} of the baseline's CPU time",
            "ours": round(median(row[LOSS] for row in chosen), 4),
            "peer": round(median(row["baseline"][LOSS] for row in chosen), 4),
            "ratio": round(median(row["cpu_seconds"] / row["baseline"]["cpu_seconds"] for row in chosen), 3),
            "unit": "nats/token; ratio of CPU time",
        }
        print(json.dumps(line))


if __name__ == "__main__":
    main()
