"""Tokens a CPU second that the loader makes ready, beside what training takes; and the wait for data.

    python benchmarks/train/loader.py [--rounds N] [--steps N]

The loader is that of a run: windows of token shards on disk, mixed and dealt out as batches, made in the
loop itself or by one thread ahead. It goes in turn with training steps of the small model; the 124M model's
need is that of the small one by their operations a token. Then the small model trains ``--steps`` steps for
each number of threads, and its log says which share of the time it waited. Files are in the page cache.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

sys.path.append(str(Path(__file__).resolve().parents[1] / "data"))

from encode_and_pack import packed
from paired import cut_texts
from sides import Size, ours
from turns import SIZES, arguments, print_row

from towpath.data import Document
from towpath.model.language_model import build
from towpath.model.size import flops_per_token
from towpath.tokenizer import TokenShards, train_tokenizer
from towpath.train.batches import BatchSource, ahead
from towpath.train.config import TrainConfig
from towpath.train.pretrain import token_batches
from towpath.train.stage import Stage, run_stage

WORKERS = (0, 1)
TEXT_MB, TURN_TOKENS = 4.0, 2**19


def main() -> None:
    parser = arguments(__doc__, 3)
    parser.add_argument("--steps", type=int, default=5, help="training steps whose wait is measured")
    options = parser.parse_args()
    small, large = (SIZES[name].with_layers(options.layers) for name in ("small", "124M"))
    with tempfile.TemporaryDirectory() as folder:
        shards = shards_of(Path(folder), small.vocabulary)
        rates = loader_rates(shards, [small, large], options.rounds)
        waits = [waited(shards, small, workers, options.steps) for workers in WORKERS]
    needs = [rates["need"], rates["need"] * flops_per_token(small.model()) / flops_per_token(large.model())]
    for size, need in zip((small, large), needs, strict=True):
        for workers in WORKERS:
            rate = rates[_side(size, workers)]
            print(f"{_side(size, workers)}: {rate:,.0f} tokens/CPU-s, {rate / need:,.0f} times {need:,.0f}")
    shares = " and ".join(
        f"{share:.3%} with {workers}" for workers, share in zip(WORKERS, waits, strict=True)
    )
    slowest = min(rates[_side(small, workers)] for workers in WORKERS)
    unit = f"tokens/CPU-s; peer: what training takes; waiting for data {shares} threads; {small.what}"
    print_row("loader", (slowest, rates["need"]), unit)


def shards_of(folder: Path, vocabulary: int) -> TokenShards:
    """Tokens of a few megabytes of text."""
    texts = cut_texts(TEXT_MB)
    documents = [Document(id=str(n), text=text, source="all", domain="web") for n, text in enumerate(texts)]
    return TokenShards(packed(folder, documents, train_tokenizer(texts, vocabulary)))


def loader_rates(shards: TokenShards, sizes: list[Size], rounds: int) -> dict[str, float]:
    """Tokens a CPU second of each loader, and ``need``: of training the first size. No first turn counts."""
    trained = ours(sizes[0])
    acts: dict[str, tuple[int, Callable[[], object]]] = {"need": (trained.tokens, trained.step)}
    for size in sizes:
        steps = TURN_TOKENS // (size.batch * size.context)
        batches = token_batches(shards, _config(size, steps, 0), size.context, 0)
        for workers in WORKERS:
            acts[_side(size, workers)] = (TURN_TOKENS, partial(drain, batches, steps, workers))
    taken: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(rounds + 1):
        for name, (tokens, act) in acts.items():
            start = time.process_time()
            act()
            taken[name].append(tokens / (time.process_time() - start))
            print(f"{name}: {taken[name][-1]:,.0f} tokens/CPU-s", flush=True)
    return {name: median(rates[1:]) for name, rates in taken.items()}


def drain(batches: BatchSource, steps: int, workers: int) -> None:
    """Take every batch, as a training loop does."""
    for _ in ahead(batches, 0, steps, workers):
        pass


def waited(shards: TokenShards, size: Size, workers: int, steps: int) -> float:
    """Share of the time of ``steps`` steps that a real run's loop waited for its batch, by its log."""
    config = _config(size, steps, workers)
    with tempfile.TemporaryDirectory() as folder:
        batches = token_batches(shards, config, size.context, 0)
        run_stage(Stage("loader", Path(folder), config, 0, batches), build(size.model(), seed=0))
        rows = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    shares = [row["value"] for row in rows if row["name"] == "train/data_wait"]
    print(f"{workers} threads: waited {', '.join(f'{share:.3%}' for share in shares)}", flush=True)
    return median(shares)


def _config(size: Size, steps: int, workers: int) -> TrainConfig:
    every = {"max_steps": steps, "save_steps": steps, "eval_steps": steps, "warmup_steps": 1, "log_steps": 1}
    once = {"batch_size": size.batch, "gradient_accumulation_steps": 1, "threads": 1, "device": "cpu"}
    return TrainConfig(**every, **once, dataloader_num_workers=workers)


def _side(size: Size, workers: int) -> str:
    return f"loader, T {size.context:,}, {workers} threads"


if __name__ == "__main__":
    main()
