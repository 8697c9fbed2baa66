"""The ladder of small models behind the expected loss of ``towpath plan``.

Trains small models of the recipe ``tiny``'s settings on its data, each on a few amounts of tokens, and
writes every run with its provenance to a JSON file. The fit is ``towpath.plan.loss``; held-out runs are
in the file too, marked, and no fit sees them.

    python benchmarks/scaling_law.py --home work --out src/towpath/plan/scaling_law.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from towpath.core.artifacts import Store
from towpath.core.config import change
from towpath.core.files import readable_json
from towpath.core.runs import environment
from towpath.evaluate.scores import validation
from towpath.model.decoder import build
from towpath.recipes import recipe
from towpath.recipes.path import Path as RunPath
from towpath.recipes.run_config import RunConfig
from towpath.tokenizer import Tokenizer, TokenShards
from towpath.train.pretrain import token_batches
from towpath.train.stage import Stage, run_stage

VOCABULARY, CONTEXT_TOKENS, BATCH = 2048, 128, 16
LADDER = [
    (width, layers, steps)
    for width, layers in ((48, 2), (72, 2), (104, 3), (144, 3))
    for steps in (48, 96, 192)
]
HELD_OUT = [(88, 2, 144), (120, 3, 96), (72, 2, 288)]
"""Width, layers, steps of 2,048 tokens."""


def settings(width: int, layers: int, steps: int) -> RunConfig:
    """The recipe ``tiny`` at this size and length."""
    return change(
        recipe("tiny"),
        {
            "tokenizer.vocab_size": VOCABULARY,
            "model.n_positions": CONTEXT_TOKENS,
            "model.n_embd": width,
            "model.n_layer": layers,
            "model.n_head": width // 8,
            "model.n_kv_head": None,
            "train.batch_size": BATCH,
            "train.max_steps": steps,
            "train.warmup_steps": 10,
            "train.eval_steps": steps,
            "train.save_steps": steps,
            "train.log_steps": steps,
            "train.threads": 1,
            "evaluate.training_tokens": 32_768,
        },
    )


def train(config: RunConfig, shards: TokenShards, tokenizer: Tokenizer) -> dict[str, Any]:
    """One run's size, tokens, final validation figures and CPU seconds."""
    from towpath.plan.loss import multiplied_weights

    model_config = config.model.for_tokenizer(tokenizer.vocab_size)
    model = build(model_config, seed=config.seed)
    score = validation(config.evaluate, shards, tokenizer, model_config.n_positions)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        batches = token_batches(shards, config.train, model_config.n_positions, config.seed)
        facts = run_stage(Stage("ladder", Path(folder), config.train, config.seed, batches, score), model)
    return {
        "width": model_config.n_embd,
        "layers": model_config.n_layer,
        "weights": multiplied_weights(model_config),
        "tokens": config.train.max_steps * BATCH * CONTEXT_TOKENS,
        "nats_per_token": facts["final"]["validation/loss"],
        "bits_per_byte": facts["final"]["validation/bits_per_byte"],
        "cpu_seconds": round(time.process_time() - start, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, default=Path("work"))
    parser.add_argument("--out", type=Path, default=Path("scaling_law.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    first = settings(*LADDER[0])
    path = RunPath(first, Store(options.home))
    shards = TokenShards(path.upto("tokens"))
    tokenizer = Tokenizer.load(path.made["tokenizer"].path)
    here = environment()
    provenance = {
        "data": "recipe tiny: " + ", ".join(sorted(shards.sources("train"))),
        "data_id": path.made["data"].id,
        "tokenizer": f"{tokenizer.vocab_size} tokens, sha256 {tokenizer.sha256}",
        "validation": "held-out share of every source, 32,768 tokens of each",
        "settings": "recipe tiny's layout, Muon and schedule; context 128, 2,048 tokens a step, seed 0",
        **{name: here[name] for name in ("commit", "processor")},
        "torch": here["packages"]["torch"],
    }
    runs = []
    for size in [*LADDER, *HELD_OUT]:
        row = {**train(settings(*size), shards, tokenizer), "held_out": size in HELD_OUT}
        runs.append(row)
        print(json.dumps(row), flush=True)
        options.out.write_bytes(readable_json({"provenance": provenance, "runs": runs}))


if __name__ == "__main__":
    main()
