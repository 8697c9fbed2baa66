"""Tokens a CPU second of the model of 124 M weights at a context of 1,024 in fp32, ours beside the peers.

    python benchmarks/train/tokens_124m_fp32.py [--rounds N] [--nanogpt PATH] [--litgpt PATH]

All sides stand in memory at the same time: about 9 GB.
"""

from turns import SIZES, tokens_row

if __name__ == "__main__":
    tokens_row("tokens/s 124M fp32", SIZES["124M"], 5, __doc__)
