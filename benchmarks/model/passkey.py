"""Does a longer context read what stands in it? A model that finds passkeys, before and after it is extended.

    python benchmarks/model/passkey.py [--steps 2000] [--more-steps 300]

A small model (modern layout) learns to find a number hidden in texts of 128 to ``--context`` tokens, at any
depth, its loss on the answers alone. Then it is asked in each of the ``--longer`` contexts: as it is with
positions it never saw, with scaled positions (``towpath.model.extend``), and trained on with those for a few
steps, as ``towpath train --extend`` does; the next length goes on from there. Every figure is the share of
keys named to the last digit, over five depths; the last line is JSON.

`--context 2048 --steps 9000 --longer 4096 8192 16384 --more-steps 2000 1000 150 --keep weights`, 2 layers
of 128, one seed, one thread (2-core EPYC, 23 November 2026; in several processes over the kept weights):
0.88 are found at 2,048 tokens, those missed at the very beginning. At 4,096: 0.08 as it is and with YaRN
scaling alone, none with linear or NTK scaling, 0.73 trained on; at 8,192 none, and 0.55 trained on. At
16,384 none, 0.2 with YaRN alone, and none trained on: 150 steps were too few, at a loss of 2.1 nats a token
that was still falling.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import torch

from towpath.evaluate.passkey import FILLER, KEY, QUESTION, TASK, passkey, passkey_accuracy
from towpath.model.config import ModernConfig
from towpath.model.decoder import Decoder, build
from towpath.model.extend import extend
from towpath.model.loss import IGNORED
from towpath.model.weights import load_weights, save_weights
from towpath.tokenizer import Tokenizer, train_tokenizer

STEP_TOKENS, SHORTEST, RATE, WARMUP = 2048, 256, 2e-3, 50
ENDS = 0.05
"""Share of the keys at the very beginning, and at the very end, once a model has learned to find them; while
it learns, ends as often as that delay it by thousands of steps."""
TRIALS = 8
"""At each of five depths."""


def tokenizer_of_the_task() -> Tokenizer:
    """Whole words of the task, and digits one by one as far as its texts have no longer ones in common."""
    draw = random.Random(0)
    keys = [KEY.format(key=draw.randrange(10_000, 100_000)) for _ in range(50)]
    return train_tokenizer([TASK, FILLER, QUESTION, *keys] * 3, 400)


def batches(
    tokenizer: Tokenizer, contexts: list[int], seed: int, ends: float
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Ids and labels (B, T), one of ``contexts`` a batch, lengths and depths drawn, answers to be learned."""
    # a share of `ends` of the keys, and a little less, stands at the very beginning, as many at the very end
    draw = random.Random(seed)
    while True:
        context = draw.choice(contexts)
        rows = max(1, STEP_TOKENS // context)
        ids = torch.zeros(rows, context, dtype=torch.long)
        labels = torch.full((rows, context), IGNORED)
        for row in range(rows):
            length = draw.randrange(context // 2, context + 1)
            depth = min(max(draw.uniform(-ends, 1 + ends), 0), 1)
            asked = passkey(tokenizer, length, depth, seed=draw.randrange(1 << 30) + (1 << 20))
            text = [*asked.prompt, *asked.answer]
            ids[row, : len(text)] = torch.tensor(text)
            labels[row, len(asked.prompt) : len(text)] = torch.tensor(asked.answer)
        yield ids, labels


def train(
    model: Decoder,
    tokenizer: Tokenizer,
    contexts: list[int],
    kept: Path,
    *,
    steps: int,
    rate: float,
    ends: float = 0,
) -> None:
    """Adam with warmup and a linear end; nothing where the weights are ``kept`` already."""
    if kept.is_file():
        load_weights(model, kept)
        return
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.0)
    model.train()
    drawn = batches(tokenizer, contexts, contexts[-1], ends)
    start, losses = time.monotonic(), []
    for step, (ids, labels) in zip(range(steps), drawn, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = rate * min((step + 1) / WARMUP, 1, 2 * (1 - step / steps))
        loss = model(ids, labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if (step + 1) % 100 == 0:
            seconds = time.monotonic() - start
            print(f"{contexts[-1]} tokens, step {step + 1}: loss {mean(losses[-100:]):.3f}, {seconds:.0f} s")
    save_weights(model, kept)


def up_to(context: int) -> list[int]:
    """Contexts to train at: powers of two from the shortest."""
    return [size for size in (SHORTEST << power for power in range(12)) if size <= context]


def share(model: Decoder, tokenizer: Tokenizer, context: int) -> float:
    """Of keys that are named, over all depths."""
    by_depth = passkey_accuracy(model, tokenizer, context, trials=TRIALS)
    return sum(by_depth.values()) / len(by_depth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument(
        "--longer", type=int, nargs="+", default=[512, 1024], help="contexts, one after another"
    )
    parser.add_argument("--more-steps", type=int, nargs="+", default=[300, 300], help="at each of them")
    parser.add_argument("--keep", type=Path, help="folder of weights; what is there is not trained again")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    options = parser.parse_args()
    torch.manual_seed(0)
    tokenizer = tokenizer_of_the_task()
    sizes = {"n_embd": options.width, "n_layer": options.layers, "n_head": options.width // 32}
    config = ModernConfig.model_validate(
        {**sizes, "n_positions": options.context, "vocab_size": tokenizer.vocab_size}
    )
    model = build(config, seed=0)
    folder = options.keep or Path(tempfile.mkdtemp())
    folder.mkdir(exist_ok=True)
    first = folder / f"{options.context}.safetensors"
    train(model, tokenizer, up_to(options.context), first, steps=options.steps, rate=RATE)
    found = {"context": options.context, "found": share(model, tokenizer, options.context)}
    print(json.dumps(found), flush=True)
    rows, trained = [found], model
    for longer, steps in zip(options.longer, options.more_steps, strict=True):
        row: dict[str, float] = {"context": longer, "more steps": steps}
        for scaling in ("none", "linear", "ntk", "yarn"):
            row[scaling] = share(extend(model, longer, scaling), tokenizer, longer)
        trained = extend(trained, longer, "yarn")
        after, contexts = folder / f"{longer}.safetensors", [longer // 2, longer]
        train(trained, tokenizer, contexts, after, steps=steps, rate=RATE / 2, ends=ENDS)
        row["yarn, trained on"] = share(trained, tokenizer, longer)
        rows.append(row)
        print(json.dumps(row), flush=True)
    print(json.dumps({"row": "passkey", "steps": options.steps, "rows": rows}))


if __name__ == "__main__":
    main()
