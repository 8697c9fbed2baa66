"""A feed-forward layer of experts: a router sends each token to a few of many small SwiGLUs.

Shazeer et al. 2017, arXiv:1701.06538; the layout of Qwen3-MoE (arXiv:2505.09388, section 2). Tokens are
sorted by expert and each expert takes its own in one product; no token is dropped, unless a capacity
is set. Load-balance loss: Fedus et al. 2021, arXiv:2101.03961, equation 4. Router z-loss: Zoph et al.
2022, arXiv:2202.08906, equation 5. Balance by bias: Wang et al. 2024, arXiv:2408.15664, algorithm 1.

Deviations: with k experts a token, the shares of the load-balance loss sum to k, as in transformers;
losses are means over layers (see ``experts_decoder``), so that a coefficient means the same at every
depth. All tokens of a pass count, padding too.

N tokens, C width, E experts, k experts of a token, M (token, expert) pairs that are computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd.function import once_differentiable

from towpath.model.experts_config import MoEConfig
from towpath.model.feed_forward import SwiGLU
from towpath.model.linear import StackedLinear

if TYPE_CHECKING:
    from jaxtyping import Float, Int

COUNT_UNIT = 2.0**-50
"""What a count of tokens is multiplied by when it travels as a gradient: a power of two, so that sums over
passes and processes are exact, and so small that no norm of gradients notices."""


class Routing(NamedTuple):
    """Where the tokens of one pass go."""

    logits: Float[Tensor, "N E"]
    scores: Float[Tensor, "N E"]
    """Of every expert, between 0 and 1."""
    chosen: Int[Tensor, "N k"]
    """Experts of each token, the best first."""
    gates: Float[Tensor, "N k"]
    """What each chosen expert's output is multiplied by."""


class ExpertLosses(NamedTuple):
    """What a pass adds to the gradient of training."""

    weighted: Float[Tensor, ""]
    """A mean over the tokens of the pass, times its coefficients."""
    counted: Float[Tensor, ""]
    """A sum over the tokens of the pass, whose gradient is how far each expert's load is from even."""


class ExpertLayer(nn.Module):
    """What stands for a block's feed-forward layer."""

    def __init__(self, config: MoEConfig) -> None:
        super().__init__()
        self.config = config
        self.router = nn.Linear(config.n_embd, config.n_expert, bias=False)
        self.experts = Experts(config)
        self.shared = SwiGLU(config.n_embd, config.shared_width) if config.shared_width else None
        by_bias = config.balance.bias_rate > 0
        self.selection_bias = nn.Parameter(torch.empty(config.n_expert)) if by_bias else None
        """Added to scores where experts are chosen, and to nothing else."""
        self.losses: ExpertLosses | None = None
        """Of the last pass in training, until the model takes them."""
        self.keeps_losses = False
        """Whether a model asks for them. It doesn't when a pass is made again for its gradient."""
        self.record: Any = None
        """What is told of each routing, see ``experts_figures``. None: nothing is."""

    def forward(self, x: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
        """Each token's new channels."""
        tokens = x.flatten(0, -2)  # (N, C)
        routing = self.route(tokens)
        if self.record is not None:
            self.record(self, routing)
        if self.training and torch.is_grad_enabled():
            losses = self._losses(routing)
            self.losses = losses if self.keeps_losses else None
        mixed = self._through_experts(tokens, routing).view_as(x)
        return mixed if self.shared is None else mixed + self.shared(x)

    def route(self, tokens: Float[Tensor, "N C"]) -> Routing:
        """Which experts each token goes to; in the type of the weights, whatever autocast says."""
        config, weight = self.config, self.router.weight
        with torch.autocast(tokens.device.type, enabled=False):
            logits = F.linear(tokens.to(weight.dtype), weight)
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        scores = exact.softmax(-1) if config.scoring == "softmax" else exact.sigmoid()
        wanted = scores if self.selection_bias is None else scores + self.selection_bias
        chosen = wanted.detach().topk(config.experts_per_token, dim=-1).indices  # (N, k)
        gates = scores.gather(1, chosen)
        if config.renormalise:
            gates = gates / gates.sum(-1, keepdim=True)
        return Routing(exact, scores, chosen, gates)

    def capacity(self, n_tokens: int) -> int | None:
        """Most tokens that an expert takes of ``n_tokens`` in training. None: as many as come."""
        factor = self.config.capacity_factor
        return (
            None
            if factor is None
            else -int(-factor * n_tokens * self.config.experts_per_token // self.config.n_expert)
        )

    def _through_experts(self, tokens: Float[Tensor, "N C"], routing: Routing) -> Float[Tensor, "N C"]:
        n_tokens, per_token = routing.chosen.shape
        capacity = self.capacity(n_tokens) if self.training else None
        slots, loads = sorted_by_expert(routing.chosen, self.config.n_expert, capacity)
        made = self.experts(_Dispatch.apply(tokens, slots, per_token), loads)  # (M, C)
        spread = made.new_zeros(per_token * n_tokens, made.shape[1]).index_copy(0, slots, made)
        spread = spread.view(per_token, n_tokens, -1)
        return (spread * routing.gates.T.unsqueeze(-1)).sum(0).to(tokens.dtype)

    def _losses(self, routing: Routing) -> ExpertLosses:
        weighted = counted = routing.logits.new_zeros(())
        if coefficient := self.config.balance.loss_coefficient:
            weighted = weighted + coefficient * load_balance_loss(routing.scores, routing.chosen)
        if self.config.z_loss:
            weighted = weighted + self.config.z_loss * router_z_loss(routing.logits)
        if self.selection_bias is not None:
            loads = tokens_per_expert(routing.chosen, self.config.n_expert)
            excess = (loads * self.config.n_expert - routing.chosen.numel()) * COUNT_UNIT
            counted = (self.selection_bias * excess).sum()
        return ExpertLosses(weighted, counted)


class Experts(nn.Module):
    """The SwiGLUs of a layer, each of two matrices out of two stacks."""

    def __init__(self, config: MoEConfig) -> None:
        super().__init__()
        width, count, used = config.inner_width, config.n_expert, config.experts_per_token
        self.gate_up = StackedLinear(count, config.n_embd, (width, width), used)
        self.out = StackedLinear(count, width, (config.n_embd,), used)

    def forward(self, x: Float[Tensor, "M C"], loads: list[int]) -> Float[Tensor, "M C"]:
        """``x`` is sorted by expert, and ``loads`` says how many rows are each one's."""
        if (
            x.is_cuda
            and torch.is_autocast_enabled("cuda")
            and torch.get_autocast_dtype("cuda") == torch.bfloat16
        ):
            return self.grouped(x.bfloat16(), loads)
        made = []
        stacks = zip(x.split(loads), self.gate_up.weight.unbind(), self.out.weight.unbind(), strict=True)
        for rows, gate_up, out in stacks:
            gate, up = F.linear(rows, gate_up).chunk(2, dim=-1)
            made.append(F.linear(F.silu(gate) * up, out))
        return torch.cat(made)

    def grouped(self, x: Float[Tensor, "M C"], loads: list[int]) -> Float[Tensor, "M C"]:
        """The same by torch's grouped product: one kernel for all experts, in the type of ``x``."""
        ends = torch.tensor(loads, device=x.device).cumsum(0).to(torch.int32)
        wide = F.grouped_mm(x, self.gate_up.weight.to(x.dtype).mT, offs=ends)
        gate, up = wide.chunk(2, dim=-1)
        return F.grouped_mm(F.silu(gate) * up, self.out.weight.to(x.dtype).mT, offs=ends)


class _Dispatch(torch.autograd.Function):
    """The token of each slot. Its gradient is a sum in a fixed order: no two runs differ, on a GPU either."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, slots: Tensor, per_token: int) -> Tensor:
        ctx.save_for_backward(slots)
        ctx.sizes = per_token, len(tokens)
        return tokens.index_select(0, slots % len(tokens))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (slots,), (grad,), (per_token, n_tokens) = ctx.saved_tensors, grads, ctx.sizes
        spread = grad.new_zeros(per_token * n_tokens, grad.shape[1]).index_copy(0, slots, grad)
        return spread.view(per_token, n_tokens, -1).sum(0), None, None


def sorted_by_expert(
    chosen: Int[Tensor, "N k"], n_expert: int, capacity: int | None = None
) -> tuple[Int[Tensor, " M"], list[int]]:
    """The slots of all experts one after the other, and how many each has.

    Slot c N + t is the c-th choice of token t. Of an expert with more than ``capacity`` the first are
    kept: first choices before second ones (Lepikhin et al. 2020, arXiv:2006.16668), then earlier tokens.
    """
    by_choice = chosen.T.flatten()
    order = by_choice.argsort(stable=True)
    loads = _numbers(tokens_per_expert(chosen, n_expert), chosen.numel())
    if capacity is None or max(loads) <= capacity:
        return order, loads
    kept = [slots[:capacity] for slots in order.split(loads)]
    return torch.cat(kept), [len(slots) for slots in kept]


def tokens_per_expert(chosen: Int[Tensor, "N k"], n_expert: int) -> Int[Tensor, " E"]:
    """How many tokens chose each expert."""
    experts = torch.arange(n_expert, device=chosen.device)
    return (chosen.flatten().unsqueeze(1) == experts).sum(0)


def load_balance_loss(scores: Float[Tensor, "N E"], chosen: Int[Tensor, "N k"]) -> Float[Tensor, ""]:
    """E times the sum over experts of (share of tokens that chose it) x (mean probability); k when even."""
    n_expert = scores.shape[1]
    shares = tokens_per_expert(chosen, n_expert) / len(chosen)  # (E,), sums to k
    probabilities = scores / scores.sum(-1, keepdim=True)
    return n_expert * (shares * probabilities.mean(0)).sum()


def router_z_loss(logits: Float[Tensor, "N E"]) -> Float[Tensor, ""]:
    """The mean square of the logarithm of each token's sum of exponentials."""
    return logits.logsumexp(-1).square().mean()


def _numbers(loads: Int[Tensor, " E"], total: int) -> list[int]:
    """``loads`` as numbers; even ones where a plan follows shapes alone (tensors without numbers)."""
    if isinstance(loads, FakeTensor):
        each, more = divmod(total, len(loads))
        return [each + (expert < more) for expert in range(len(loads))]
    return loads.tolist()
