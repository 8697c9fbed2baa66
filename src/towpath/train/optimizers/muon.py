"""Muon for the matrices inside the blocks, AdamW for all else; see ``newton_schulz``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from towpath.train.optimizers import OptimizerConfig
from towpath.train.optimizers.adamw import adamw

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from towpath.train.config import TrainConfig


class MuonConfig(OptimizerConfig):
    """Muon for the matrices inside the blocks, AdamW for all else (Jordan et al. 2024)."""

    type: Literal["muon"] = "muon"
    learning_rate: float = Field(default=0.02, gt=0)
    """Peak learning rate of the matrices; the others keep ``train.learning_rate``."""
    momentum: float = Field(default=0.95, ge=0, lt=1)
    """Nesterov momentum of the matrices."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay of the matrices, times their learning rate."""
    iterations: int = Field(default=5, ge=1, le=20)
    """Newton-Schulz iterations of one orthogonalisation."""
    polynomial: Literal["jordan", "polar_express"] = "jordan"
    """Coefficients of the iterations: jordan's are all the same (Jordan et al. 2024); polar_express's differ
    and are nearer after as many (Amsel et al. 2025, arXiv:2505.16932)."""
    scale: Literal["jordan", "moonshot"] = "jordan"
    """Size of an update: jordan's sqrt(max(1, rows / columns)), or moonshot's 0.2 sqrt(max(rows, columns)),
    which wants AdamW's learning rate and weight decay (Liu et al. 2025, arXiv:2502.16982)."""

    def build(
        self, model: nn.Module, named: Mapping[str, nn.Parameter], train: TrainConfig
    ) -> dict[str, Optimizer]:
        """See ``OptimizerConfig.build``."""
        from towpath.model.linear import fused_rows
        from towpath.train.optimizers.newton_schulz import Muon

        hidden = {name: matrix for name, matrix in hidden_matrices(model) if name in named}
        rows = fused_rows(model)
        groups = [{"params": [matrix], "row_parts": rows.get(name)} for name, matrix in hidden.items()]
        muon = Muon(
            groups,
            self.learning_rate,
            self.momentum,
            self.weight_decay,
            self.iterations,
            self.polynomial,
            self.scale,
        )
        rest = {name: value for name, value in named.items() if name not in hidden}
        return {"muon": muon, "adamw": adamw(rest, train)}


def hidden_matrices(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The weights of the linear layers inside the blocks, experts' too: no embedding, no output head."""
    from torch import nn

    from towpath.model.linear import StackedLinear

    head = getattr(model, "head_weight", None)
    for module_name, module in model.named_modules():
        if isinstance(module, nn.Linear | StackedLinear) and module.weight is not head:
            yield f"{module_name}.weight", module.weight
