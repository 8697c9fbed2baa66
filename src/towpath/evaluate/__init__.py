"""A checkpoint and held-out tokens in, scores out: perplexity and bits per byte of every source."""
