"""Does an order help? The same samples in another order, A/B, on the demo's data.

    python benchmarks/train/curriculum.py --home work --steps 150 --seeds 0 1

Every curriculum trains the same small model from the same weights for as many steps as the uniform
order; all but ``domains`` on the very same samples. The last line is JSON: for each curriculum the
final validation loss over that of the uniform order of the same seed; above 1 it is worse.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

from towpath.core.artifacts import Store
from towpath.core.config import change
from towpath.data import Documents
from towpath.evaluate.scores import validation
from towpath.model.language_model import LanguageModel, build
from towpath.recipes import recipe
from towpath.recipes.path import Path as RunPath
from towpath.tokenizer import Tokenizer, TokenShards
from towpath.train.checkpoint import Loaded
from towpath.train.curriculum.losses import write_losses
from towpath.train.pretrain import token_batches
from towpath.train.stage import Stage, run_stage

LOSS = "validation/loss"
SMALL = {"model.n_embd": 96, "model.n_layer": 2, "model.n_head": 4, "model.n_kv_head": 2}


def curricula(weights: dict[str, float], losses: Path) -> dict[str, dict[str, Any]]:
    """What is compared; ``weights`` of the sources as they are, ``losses`` of a small model by document."""
    first = max(weights, key=lambda source: weights[source])
    flat = dict.fromkeys(weights, 1.0)
    focused = {source: weight * (4 if source == first else 1) for source, weight in weights.items()}
    phases = [{"weights": flat}, {"from_share": 0.5, "weights": focused}]
    return {
        "uniform": {"type": "uniform"},
        "compression": {"type": "difficulty"},
        "readability": {"type": "difficulty", "by": "readability"},
        "losses": {"type": "difficulty", "by": "column", "path": str(losses)},
        "hard first": {"type": "difficulty", "reverse": True},
        "length": {"type": "length"},
        "domains": {"type": "domains", "phases": phases},
    }


def trained(path: RunPath, curriculum: dict[str, Any], steps: int, seed: int) -> tuple[LanguageModel, float]:
    """A model and its final validation loss."""
    shards, tokenizer = TokenShards(path.made["tokens"]), Tokenizer.load(path.made["tokenizer"].path)
    context = 128
    settings = {
        **{"train.max_steps": steps, "train.eval_steps": steps, "train.save_steps": steps},
        **{"train.batch_size": 8, "train.warmup_steps": steps // 10, "train.threads": 1},
        **{"train.curriculum": curriculum, "model.n_positions": context},
    }
    config = change(path.config, {**SMALL, **settings})
    model = build(config.model.for_tokenizer(tokenizer.vocab_size), seed=seed)
    score = validation(config.evaluate, shards, tokenizer, context)
    with tempfile.TemporaryDirectory() as folder:
        batches = token_batches(shards, config.train, context, seed)
        facts = run_stage(Stage("bench", Path(folder), config.train, seed, batches, score), model)
    return model.eval(), facts["final"][LOSS]


def write_documents_losses(path: RunPath, steps: int, place: Path) -> None:
    """Of every training document, by a model trained in the uniform order for ``steps`` steps."""
    model, _ = trained(path, {"type": "uniform"}, steps, seed=100)
    tokenizer, documents = Tokenizer.load(path.made["tokenizer"].path), Documents(path.made["data"])
    texts = ((one.id, one.text) for name in documents.sources() for one in documents.iterate("train", name))
    write_losses(place, Loaded(model, tokenizer, None, model.config, "", ""), texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path("work"))
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="*", help="these curricula beside the uniform order")
    options = parser.parse_args()
    path = RunPath(recipe("tiny"), Store(options.home))
    path.upto("tokens")
    weights = TokenShards(path.made["tokens"]).weights
    losses: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        column = Path(folder) / "losses.parquet"
        write_documents_losses(path, options.steps // 4, column)
        for seed in options.seeds:
            for name, curriculum in curricula(dict(weights), column).items():
                if options.only and name not in ("uniform", *options.only):
                    continue
                start = time.process_time()
                losses.setdefault(name, []).append(trained(path, curriculum, options.steps, seed)[1])
                print(f"seed {seed}, {name}: {losses[name][-1]:.4f}, {time.process_time() - start:.0f} CPU s")
    ratios = {
        name: [own / base for own, base in zip(values, losses["uniform"], strict=True)]
        for name, values in losses.items()
    }
    spread = {name: f"{min(values):.4f} to {max(values):.4f}" for name, values in ratios.items()}
    means = {name: round(mean(values), 4) for name, values in ratios.items()}
    print(json.dumps({"row": "curricula", "ratio": means, "range": spread, "unit": "of uniform"}))


if __name__ == "__main__":
    main()
