"""CPU time to a baseline's final validation loss: our settings against tuned nanoGPT ones, same data.

    python benchmarks/train/time_to_loss.py --home work [--layers 6 --width 384 --steps 300 --seeds 0 1 2]

The baseline (GPT-2 layout, AdamW, cosine, ten steps of warmup) trains at each of ``--rates`` with the
first seed; the best goes on with the other seeds. Ours (modern layout, Muon, warmup-stable-decay) trains
for each of ``--shares`` of its steps, its schedule fitted to each. What counts is the smallest share whose
loss is no higher than the baseline's with the same seed. The row is the ratio of CPU time to there, of the
seeds the median: steps times the CPU seconds of a step, which are measured at the end, a step of each in
turn, so that what else the machine did meanwhile weighs on both.

Every training is a line in ``--results``: what stands there is not trained again, so it can be stopped
between any two, and be done in parts (``--baseline-alone`` first). The data is that of recipe ``tiny``,
made first where it is not there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from sides import Size, in_our_loop
from turns import in_turns

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
WARMUP_STEPS = 10


class Bench:
    """The shared data, trainings on it, and what they gave so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        path = RunPath(recipe("tiny"), Store(options.home))
        self.shards = TokenShards(path.upto("tokens"))
        self.tokenizer = Tokenizer.load(path.made["tokenizer"].path)
        self.size = {"layers": options.layers, "width": options.width, "batch": options.batch}
        lines = options.results.read_text().splitlines() if options.results.exists() else []
        self.done: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def result(self, side: str, steps: int, seed: int, rate: float) -> dict[str, Any]:
        """Final loss and CPU seconds of one training, made now or before."""
        key = {
            **self.size,
            "side": side,
            "set": self.options.set if side == "ours" else [],
            "steps": steps,
            "seed": seed,
            "rate": rate,
        }
        for line in self.done:
            if key.items() <= line.items():
                return line
        line = {**key, **self._train(self._config(side, steps, rate), seed)}
        self.done.append(line)
        with self.options.results.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(line, flush=True)
        return line

    def seconds_a_step(self, rates: Mapping[str, float], rounds: int) -> dict[str, float]:
        """CPU seconds of a step of each side, of ``rounds`` in turn the median."""
        width, context = self.options.width, recipe("tiny").model.n_positions
        shape = (self.options.layers, width, width // 64, context, self.tokenizer.vocab_size)
        size, makes = Size("both sides", *shape, self.options.batch), []
        for side, rate in rates.items():
            config = self._config(side, self.options.steps, rate)
            model = config.model.for_tokenizer(self.tokenizer.vocab_size)
            makes.append(partial(in_our_loop, side, size, model, config.train))
        return dict(zip(rates, map(median, in_turns(makes, rounds)[1]), strict=True))

    def _config(self, side: str, steps: int, rate: float) -> RunConfig:
        width, heads = self.options.width, self.options.width // 64
        shape = {"model.n_layer": self.options.layers, "model.n_embd": width, "model.n_head": heads}
        settings = {
            "train.learning_rate": rate,
            "train.batch_size": self.options.batch,
            "train.max_steps": steps,
            "train.warmup_steps": min(WARMUP_STEPS, steps // 10),
            "train.eval_steps": steps,
            "train.save_steps": steps,
            "train.threads": 1,
        }
        if side == "baseline":
            return change(recipe("tiny-baseline"), {**shape, **settings})
        return change(
            recipe("tiny"), {**shape, "model.n_kv_head": heads, **settings, **_pairs(self.options.set)}
        )

    def _train(self, config: RunConfig, seed: int) -> dict[str, float]:
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
        return {"loss": facts["final"][LOSS], "cpu_seconds": seconds}


def main() -> None:
    options = arguments().parse_args()
    bench = Bench(options)
    first, *_ = options.seeds
    tried = {rate: bench.result("baseline", options.steps, first, rate)["loss"] for rate in options.rates}
    best = min(tried, key=lambda rate: tried[rate])
    print(f"baseline's best learning rate: {best} of {tried}")
    base = {seed: bench.result("baseline", options.steps, seed, best) for seed in options.seeds}
    if options.baseline_alone:
        return
    steps = {}
    for seed, theirs in base.items():
        for share in sorted(options.shares):
            own = bench.result("ours", max(10, round(options.steps * share)), seed, options.rate)
            if own["loss"] <= theirs["loss"]:
                steps[seed] = own["steps"]
                print(
                    f"seed {seed}: {theirs['loss']:.4f} after {options.steps} steps; "
                    f"ours {own['loss']:.4f} after {own['steps']}"
                )
                break
        else:
            raise SystemExit(f"seed {seed}: no share of {options.shares} reached {theirs['loss']:.4f}")
    taken = bench.seconds_a_step({"baseline": best, "ours": options.rate}, options.rounds)
    seconds = options.steps * taken["baseline"]
    ratio = seconds / (median(steps.values()) * taken["ours"])
    where = f"{options.layers} layers of {options.width}, {options.steps} steps, {len(steps)} seeds"
    print(f"commit {environment()['commit']}, {environment()['processor']}")
    print(json.dumps(_row(seconds, ratio, where)))


def _row(seconds: float, ratio: float, where: str) -> dict[str, Any]:
    unit = f"CPU s to the baseline's final loss, 1 thread; {where}; ratio: peer / ours"
    return {
        "row": "time to loss",
        "ours": round(seconds / ratio, 1),
        "peer": round(seconds, 1),
        "ratio": round(ratio, 2),
        "unit": unit,
    }


def _pairs(texts: list[str]) -> dict[str, Any]:
    """``key=value`` to what JSON makes of the value."""
    return {key: json.loads(value) for key, _, value in (text.partition("=") for text in texts)}


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path("work"))
    parser.add_argument("--results", type=Path, default=Path("time_to_loss.jsonl"))
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--batch", type=int, default=16, help="windows of 256 tokens a step")
    parser.add_argument("--steps", type=int, default=300, help="of the baseline")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rates", type=float, nargs="+", default=[3e-4, 6e-4, 1e-3], help="of the baseline")
    parser.add_argument("--rate", type=float, default=3e-3, help="ours, of AdamW's share")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.15, 0.2, 0.25, 0.33, 0.5])
    parser.add_argument("--set", nargs="*", default=[], metavar="key=JSON", help="other settings of ours")
    parser.add_argument(
        "--rounds", type=int, default=10, help="steps of each side whose CPU time is measured"
    )
    parser.add_argument("--baseline-alone", action="store_true", help="train no more than the baseline")
    return parser


if __name__ == "__main__":
    main()
