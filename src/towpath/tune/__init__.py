"""A checkpoint and conversations in, an assistant out: supervised fine-tuning (SFT)."""
