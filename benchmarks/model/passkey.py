"""Does a longer context read what stands in it? A model that finds passkeys, before and after it is extended.

    python benchmarks/model/passkey.py [--context 512 --longer 1024 --more-steps 100]

A small model (modern layout) learns to find a number hidden in texts of 128 to 256 tokens, at any depth, then
in longer ones, doubling up to ``--context``. Then it is asked in each of the ``--longer`` contexts: as it is
with positions it never saw, with scaled positions (``towpath.model.extend``), and trained on with those for a
few steps, as ``towpath train --extend`` does; the next length goes on from there. Every figure is the share
of keys named to the last digit; the last line is JSON.

As measured with the settings that it has, 2 layers of 64, one seed, one thread (2-core EPYC, 1 December 2026;
22 minutes in all, in two processes over the kept weights of the first 2,048 tokens), 40 texts behind each
share, eight at each of five depths. The last column is half the steps, 200, 100 and 100:

    context   as it is   linear   ntk    yarn    and trained on: steps, CPU seconds   half the steps, seconds
    2,048     0.975                              4 times 400, 233
    4,096     0.2        0        0.55   0.925   0.975: 400, 89                       0.975, 42
    8,192     0          0        0      0.625   0.95: 200, 114                       0.975, 48
    16,384    0          0        0      0.65    1.0: 200, 376                        0.875, 172

Of the ten keys missed after training on, seven stand at the very end, right before the question.
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

from towpath.evaluate.passkey import FILLER, KEY, QUESTION, TASK, passkey_accuracy
from towpath.model.config import ModernConfig
from towpath.model.decoder import Decoder, build
from towpath.model.extend import extend
from towpath.model.loss import IGNORED
from towpath.model.positions.rope import RopeConfig
from towpath.model.weights import load_weights, save_weights
from towpath.tokenizer import Tokenizer, train_tokenizer
from towpath.train.config import TrainConfig
from towpath.train.optimizers.muon import MuonConfig

SHORTEST, STEP_TOKENS, WARMUP = 128, 4096, 50
TRAIN = TrainConfig(learning_rate=1e-2, weight_decay=0.0, optimizer=MuonConfig(learning_rate=0.02))
"""Muon for the matrices; AdamW's rate lets the gains of queries and keys grow, which bound how sharply
attention can look among thousands of tokens."""
THETA = 500_000.0
"""Llama 3's base of the angles (arXiv:2407.21783, section 3.2): in 2,048 tokens six of 16 pairs of channels
turn by less than a radian, with 10,000 two; those can look for a key at any distance."""
ENDS = 0.25
"""Depths of keys are drawn from so far beyond 0 and 1, and cut to these."""
AGAIN = 0.25
"""Share of the rates at which a trained model is trained on."""
TRIALS = 8
"""At each of five depths."""


def tokenizer_of_the_task() -> Tokenizer:
    """Whole words of the task, and digits one by one, since it never saw any."""
    return train_tokenizer([TASK, FILLER, QUESTION, KEY.format(key="")] * 3, 400)


def batches(tokenizer: Tokenizer, context: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Ids and labels (B, T) of texts up to ``context``, equally long in a batch.

    To be learned are the answer and, before it, how the key's own sentences say it again. What is irrelevant
    breaks off anywhere: two models that saw whole sentences alone, as in the texts asked, found 0.2 and 0.3
    of the keys at 2,048 tokens, and all when trained so.
    """
    draw = random.Random(seed)
    task, filler, question = (tokenizer.encode(text) for text in (TASK, FILLER, QUESTION))
    filler *= context // len(filler)
    while True:
        length = draw.randrange(SHORTEST, context + 1)
        ids, labels = [], []
        for _ in range(max(1, STEP_TOKENS // length)):
            key = draw.randrange(10_000, 100_000)
            hidden, answer = tokenizer.encode(KEY.format(key=key)), tokenizer.encode(f" {key}")
            room = length - sum(map(len, (task, hidden, question, answer)))
            before = round(room * min(max(draw.uniform(-ENDS, 1 + ENDS), 0), 1))
            half = len(hidden) // 2  # the rest of the key's sentences says it again
            pieces = [
                (task + filler[:before] + hidden[:half], False),
                (hidden[half:], True),
                (filler[: room - before] + question, False),
                (answer, True),
            ]
            ids.append([token for piece, _ in pieces for token in piece])
            labels.append([token if learned else IGNORED for piece, learned in pieces for token in piece])
        yield torch.tensor(ids), torch.tensor(labels)


def train(
    model: Decoder, tokenizer: Tokenizer, context: int, kept: Path, *, steps: int, share: float = 1
) -> None:
    """Muon with warmup and a linear end, at a share of the rates; nothing where weights are ``kept``."""
    if kept.is_file():
        load_weights(model, kept)
        return
    optimizers = TRAIN.optimizer.build(model, dict(model.named_parameters()), TRAIN).values()
    groups = [(group, group["lr"]) for optimizer in optimizers for group in optimizer.param_groups]
    model.train()
    drawn = batches(tokenizer, context, seed=context)
    start, losses = time.process_time(), []
    for step, (ids, labels) in zip(range(steps), drawn, strict=False):
        for group, rate in groups:
            group["lr"] = rate * share * min((step + 1) / WARMUP, 1, 2 * (1 - step / steps))
        loss = model(ids, labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    seconds = time.process_time() - start
    done = f"{context} tokens, {steps} steps, {seconds:.0f} CPU s"
    print(f"{done}: loss {mean(losses[-50:]):.4f} over the last 50", flush=True)
    save_weights(model, kept)


def found(model: Decoder, tokenizer: Tokenizer, context: int) -> float:
    """Share of the keys that are named, over all depths."""
    return mean(passkey_accuracy(model, tokenizer, context, trials=TRIALS).values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--context", type=int, default=2048, help="256 times a power of two")
    parser.add_argument("--steps", type=int, default=400, help="at 256 tokens and each doubling up to it")
    longer = [4096, 8192, 16384]
    parser.add_argument("--longer", type=int, nargs="+", default=longer, help="contexts, one after another")
    parser.add_argument("--more-steps", type=int, nargs="+", default=[400, 200, 200], help="at each of them")
    parser.add_argument("--keep", type=Path, help="folder of weights; what is there is not trained again")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    options = parser.parse_args()
    torch.manual_seed(0)
    tokenizer = tokenizer_of_the_task()
    config = ModernConfig(
        n_embd=options.width,
        n_layer=options.layers,
        n_head=options.width // 32,
        n_positions=options.context,
        vocab_size=tokenizer.vocab_size,
        positions=RopeConfig(theta=THETA),
    )
    model = build(config, seed=0)
    folder = options.keep or Path(tempfile.mkdtemp())
    folder.mkdir(exist_ok=True)
    for context in doublings(options.context):
        train(model, tokenizer, context, folder / f"{context}.safetensors", steps=options.steps)
    first = {"context": options.context, "found": found(model, tokenizer, options.context)}
    print(json.dumps(first), flush=True)
    rows, trained = [first], model
    for longer, steps in zip(options.longer, options.more_steps, strict=True):
        row: dict[str, float] = {"context": longer, "more steps": steps}
        for scaling in ("none", "linear", "ntk", "yarn"):
            row[scaling] = found(extend(model, longer, scaling), tokenizer, longer)
        trained = extend(trained, longer, "yarn")
        train(trained, tokenizer, longer, folder / f"{longer}.safetensors", steps=steps, share=AGAIN)
        row["yarn, trained on"] = found(trained, tokenizer, longer)
        rows.append(row)
        print(json.dumps(row), flush=True)
    print(json.dumps({"row": "passkey", "steps": options.steps, "rows": rows}))


def doublings(context: int) -> list[int]:
    """256, 512 and so on up to ``context``."""
    return [256 << power for power in range(16) if 256 << power <= context]


if __name__ == "__main__":
    main()
