"""Kernels of the tokenizer: cutting text into pieces, counting them, learning merges, encoding, in C++17.

Each ``.cpp`` has a ``.py`` of the same name beside it: the public function, and a short Python one with
the same result that is its oracle in tests. ``pieces`` and ``texts`` are what they share.
"""
