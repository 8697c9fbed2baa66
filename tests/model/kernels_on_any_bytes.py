"""Calls every kernel of the model on any numbers; ``test_tiled`` runs it with sanitizers."""

from __future__ import annotations

import torch
from torch import nn

from towpath.model.backends import named
from towpath.model.kernels import int8
from towpath.model.kernels.gelu import gelu_linear
from towpath.model.sight import Sight


def main() -> None:
    torch.set_num_threads(1)
    for n_queries, n_keys in ((1, 1), (1, 70), (63, 64), (65, 65), (130, 131)):
        for width in (1, 8, 17):
            for n_kv_head in (1, 2):
                for causal in (True, False):
                    parts = [(2, n_queries), (n_kv_head, n_keys), (n_kv_head, n_keys)]
                    q, k, v = (torch.randn(2, *part, width).mul_(50).requires_grad_() for part in parts)
                    named("tiled").run(q, k, v, Sight(causal=causal), 0.0).sum().backward()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for rows, terms, columns in ((1, 1, 1), (7, 5, 17), (6, 16, 16), (20, 33, 50)):
            left, right = torch.randn(terms, rows).mul_(1e30).T, torch.randn(columns, terms).T
            int8.product(left, right, torch.randn(columns))
            left[0, 0], right[-1, -1] = float("nan"), float("inf")
            int8.product(left.contiguous(), right.contiguous())
    torch.set_num_threads(1)
    for size in (1, 7, 16, 33):
        x = torch.tensor([float("nan"), float("inf"), -1e30, 0.0, 1e-30])[torch.arange(3 * size) % 5]
        gelu_linear(x.view(3, size).requires_grad_(), nn.Linear(size, 2)).sum().backward()
