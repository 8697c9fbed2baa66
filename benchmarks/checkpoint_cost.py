"""What exactness costs: checkpoints as a share of step time, and the seek of a resumed run.

python benchmarks/checkpoint_cost.py --home work
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median

from towpath.core.artifacts import Store
from towpath.core.config import change
from towpath.core.runs import environment
from towpath.model.decoder import build
from towpath.recipes import recipe
from towpath.recipes.path import Path as RunPath
from towpath.tokenizer import Mixture, Tokenizer, TokenShards
from towpath.train.optimizer import build_optimizer
from towpath.train.pretrain import token_batches
from towpath.train.saves import TrainingState, random_state, save_checkpoint
from towpath.train.stage import Stage, run_stage

STEPS = 8
SAVES = 7
SAMPLES = 10**9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, default=Path("work"))
    options = parser.parse_args()
    config = recipe("tiny")
    path = RunPath(config, Store(options.home))
    shards = TokenShards(path.upto("tokens"))
    tokenizer = Tokenizer.load(path.made["tokenizer"].path)
    train = change(
        config.train, {"max_steps": STEPS, "warmup_steps": 0, "save_steps": STEPS, "eval_steps": STEPS}
    )
    model = build(config.model.for_tokenizer(tokenizer.vocab_size))
    with tempfile.TemporaryDirectory(dir=options.home) as folder:
        batches = token_batches(shards, train, config.model.n_positions, 0)
        start, start_wall = time.process_time(), time.monotonic()
        run_stage(Stage("bench", Path(folder), train, 0, batches), model)
        step_cpu = (time.process_time() - start) / STEPS
        step_wall = (time.monotonic() - start_wall) / STEPS
        optimizer = build_optimizer(model, train)
        optimizer.load_tensors({})
        for parameter in model.parameters():
            parameter.grad = parameter.detach().clone()
        optimizer.step()
        cpu, wall = [], []
        for number in range(SAVES):
            start, start_wall = time.process_time(), time.monotonic()
            state = TrainingState(
                number,
                dict(model.named_parameters()),
                optimizer.tensors(),
                random_state(),
                {"guard": {"bad_steps": 0}},
            )
            written = save_checkpoint(Path(folder) / "saves", state, keep=2)
            cpu.append(time.process_time() - start)
            wall.append(time.monotonic() - start_wall)
        size = sum(file.stat().st_size for file in written.iterdir())
    interval = config.train.save_steps
    share = median(wall) / (interval * step_wall)
    print(f"step {step_wall:.3f} s wall, {step_cpu:.3f} s CPU (the one save of these steps included)")
    print(f"save of {size / 1e6:.1f} MB: median {median(wall):.3f} s wall, {median(cpu):.3f} s CPU")
    seeks = []
    for index in (SAMPLES - 1, SAMPLES // 2, SAMPLES // 3):
        start = time.monotonic()
        sizes = {"web": SAMPLES * 6 // 10, "books": SAMPLES * 3 // 10, "code": SAMPLES // 10}
        Mixture(sizes, {"web": 0.6, "books": 0.3, "code": 0.1}, seed=0)[index]
        seeks.append(time.monotonic() - start)
    facts = environment()
    print(f"commit {facts['commit']}, {facts['processor']}, {facts['cores']} cores")
    print(
        json.dumps(
            {"row": "checkpoint cost", "ours": round(share, 5), "peer": 0.01, "unit": "share of step time"}
        )
    )
    print(json.dumps({"row": "seek in 1e9 samples", "ours": round(max(seeks), 5), "peer": 1.0, "unit": "s"}))


if __name__ == "__main__":
    main()
