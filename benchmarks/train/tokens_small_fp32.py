"""Tokens a CPU second of the small model in fp32, ours beside the peers.

python benchmarks/train/tokens_small_fp32.py [--rounds N] [--nanogpt PATH] [--litgpt PATH]
"""

from turns import SIZES, tokens_row

if __name__ == "__main__":
    tokens_row("tokens/s small fp32", SIZES["small"], 12, __doc__)
