"""Kernels of the tokenizer room: see ``towpath.data.kernels``."""
