"""Does training with int8 products end where fp32's does? Held-out loss of both, from the same weights.

    python benchmarks/train/int8_loss.py [--steps 2000] [--seeds 1 2 3]

Three layers of 128 channels and a vocabulary of 2,048 on Python's own sources and their tests, trained by
Muon. 2,000 steps of 2,048 tokens see them less than once: on text that was seen four times int8 ended 0.8 %
lower (one seed), which tells nothing of its products. The row's ratio is int8's held-out loss over fp32's,
means of the seeds; every seed is printed.
"""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import torch
from experts import DENSE, held_out_loss, trained
from torch import Tensor
from turns import arguments, print_row  # first: it sets the threads

from towpath.core.config import change
from towpath.tokenizer import Tokenizer, train_tokenizer

VOCABULARY, EVERY = 2048, 50
SIZE = {"vocab_size": VOCABULARY, "n_embd": 128, "n_head": 4, "n_kv_head": 4, "n_inner": 384}
MODEL = change(DENSE, SIZE)


def tokens() -> tuple[Tensor, Tensor]:
    """Modules to learn from, and one of ``EVERY`` held out."""
    library = Path(json.__file__).parents[1]
    modules = sorted(path for path in library.rglob("*.py") if "site-packages" not in path.parts)
    texts = [path.read_bytes().decode(errors="replace") for path in modules]
    tokenizer = train_tokenizer(texts, VOCABULARY)
    learned = [text for place, text in enumerate(texts) if place % EVERY]
    return _ids(tokenizer, learned), _ids(tokenizer, texts[::EVERY])


def _ids(tokenizer: Tokenizer, texts: list[str]) -> Tensor:
    return torch.tensor(list(chain.from_iterable(tokenizer.encode(text) for text in texts)))


def main() -> None:
    parser = arguments(__doc__, rounds=0)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    learned, held_out = tokens()
    print(f"{len(learned):,} tokens, {len(held_out):,} held out", flush=True)
    losses: dict[bool, list[float]] = {False: [], True: []}
    for seed in options.seeds:
        for in_int8, found in losses.items():
            model, seconds = trained(MODEL, learned, options.steps, seed, in_int8=in_int8)
            found.append(held_out_loss(model, held_out))
            name = "int8" if in_int8 else "fp32"
            print(f"seed {seed}, {name}: {found[-1]:.4f} nats a token, {seconds:.1f} CPU s", flush=True)
    gaps = ", ".join(f"{ours / plain - 1:+.2%}" for plain, ours in zip(*losses.values(), strict=True))
    plain, ours = (sum(found) / len(found) for found in losses.values())
    runs = f"{options.steps:,} steps, means of {len(options.seeds)} seeds ({gaps})"
    print_row("int8 loss", (ours, plain), f"nats a token after {runs}; peer: own fp32")


if __name__ == "__main__":
    main()
