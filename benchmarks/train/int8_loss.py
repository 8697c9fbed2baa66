"""Does training with int8 products end where fp32's does? Held-out loss of both, from the same weights.

    python benchmarks/train/int8_loss.py [--steps 2000]

Three layers of 128 channels, byte by byte on Python's own sources, as ``experts.py`` trains them, with three
seeds. The row's ratio is int8's held-out loss over fp32's, means of the seeds; every seed is printed.
"""

from __future__ import annotations

from experts import DENSE, held_out_loss, text, trained
from turns import arguments, print_row  # first: it sets the threads

from towpath.core.config import change

MODEL = change(DENSE, {"n_embd": 128, "n_head": 4, "n_kv_head": 4, "n_inner": 384})
SEEDS = (1, 2, 3)


def main() -> None:
    parser = arguments(__doc__, rounds=0)
    parser.add_argument("--steps", type=int, default=2000)
    options = parser.parse_args()
    learned, held_out = text()
    losses: dict[bool, list[float]] = {False: [], True: []}
    for seed in SEEDS:
        for in_int8, found in losses.items():
            model, seconds = trained(MODEL, learned, options.steps, seed, in_int8=in_int8)
            found.append(held_out_loss(model, held_out))
            name = "int8" if in_int8 else "fp32"
            print(f"seed {seed}, {name}: {found[-1]:.4f} nats a byte, {seconds:.1f} CPU s", flush=True)
    gaps = ", ".join(f"{ours / plain - 1:+.2%}" for plain, ours in zip(*losses.values(), strict=True))
    plain, ours = (sum(found) / len(found) for found in losses.values())
    what = f"nats a byte after {options.steps:,} steps, means of {len(SEEDS)} seeds ({gaps}); peer: own fp32"
    print_row("int8 loss", (ours, plain), what)


if __name__ == "__main__":
    main()
