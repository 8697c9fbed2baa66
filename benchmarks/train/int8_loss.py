"""Does training with int8 products end where fp32's does? Held-out loss of both, from the same weights.

    python benchmarks/train/int8_loss.py [--steps 2000]

Three layers of 128 channels and a vocabulary of 4,096 on Python's own sources, 2,048 tokens a step, trained
by Muon with three seeds. The head is about as large as the blocks, since its logits are int8's as well. The
row's ratio is int8's held-out loss over fp32's, means of the seeds; every seed is printed.
"""

from __future__ import annotations

import torch
from experts import DENSE, held_out_loss, text, trained
from torch import Tensor
from turns import arguments, print_row  # first: it sets the threads

from towpath.core.config import change
from towpath.tokenizer import train_tokenizer

VOCABULARY = 4096
SIZE = {"vocab_size": VOCABULARY, "n_embd": 128, "n_head": 4, "n_kv_head": 4, "n_inner": 384}
MODEL = change(DENSE, SIZE)
SEEDS = (1, 2, 3)


def tokens() -> tuple[Tensor, Tensor]:
    """The text to learn from, and the text held out."""
    learned, held_out = (bytes(ids.tolist()).decode(errors="replace") for ids in text())
    tokenizer = train_tokenizer([learned], VOCABULARY)
    return torch.tensor(tokenizer.encode(learned)), torch.tensor(tokenizer.encode(held_out))


def main() -> None:
    parser = arguments(__doc__, rounds=0)
    parser.add_argument("--steps", type=int, default=2000)
    options = parser.parse_args()
    learned, held_out = tokens()
    losses: dict[bool, list[float]] = {False: [], True: []}
    for seed in SEEDS:
        for in_int8, found in losses.items():
            model, seconds = trained(MODEL, learned, options.steps, seed, in_int8=in_int8)
            found.append(held_out_loss(model, held_out))
            name = "int8" if in_int8 else "fp32"
            print(f"seed {seed}, {name}: {found[-1]:.4f} nats a token, {seconds:.1f} CPU s", flush=True)
    gaps = ", ".join(f"{ours / plain - 1:+.2%}" for plain, ours in zip(*losses.values(), strict=True))
    plain, ours = (sum(found) / len(found) for found in losses.values())
    what = f"nats a token after {options.steps:,} steps, means of {len(SEEDS)} seeds ({gaps}); peer: own fp32"
    print_row("int8 loss", (ours, plain), what)


if __name__ == "__main__":
    main()
