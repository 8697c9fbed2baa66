"""Which parameter is updated how: groups with and without decay, matrices by Muon when chosen.

Optimizer state goes out and comes in as named tensors, so that it is stored without pickle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from towpath.core.errors import TrainError
from towpath.model.linear import fused_rows
from towpath.train.config import MuonConfig, TrainConfig
from towpath.train.muon import Muon


class Optimizers:
    """One or two torch optimizers that step together."""

    def __init__(self, parts: Mapping[str, torch.optim.Optimizer], names: Mapping[Tensor, str]) -> None:
        self.parts = dict(parts)
        self.names = names

    @property
    def param_groups(self) -> list[dict[str, object]]:
        """The groups of all parts."""
        return [group for part in self.parts.values() for group in part.param_groups]

    def step(self) -> None:
        """Update every parameter from its gradient."""
        for part in self.parts.values():
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for part in self.parts.values():
            part.zero_grad(set_to_none=set_to_none)

    def tensors(self) -> dict[str, Tensor]:
        """The whole state as ``part/slot/parameter`` to tensor."""
        return {
            f"{label}/{slot}/{self.names[parameter]}": value
            for label, part in self.parts.items()
            for parameter, slots in part.state.items()
            for slot, value in slots.items()
        }

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what ``tensors`` gave.

        Raises:
            TrainError: the state belongs to other parameters or another optimizer.
        """
        by_name = {name: parameter for parameter, name in self.names.items()}
        for key, value in tensors.items():
            label, _, rest = key.partition("/")
            slot, _, name = rest.partition("/")
            if label not in self.parts or name not in by_name:
                raise TrainError(f"The saved optimizer state {key!r} fits no parameter of this run.")
            parameter = by_name[name]
            device = "cpu" if slot == "step" and parameter.device.type == "cpu" else parameter.device
            self.parts[label].state[parameter][slot] = value.to(device)


def build_optimizer(model: nn.Module, config: TrainConfig) -> Optimizers:
    """The optimizer that ``config`` describes, for the parameters of ``model`` that learn."""
    named = {name: value for name, value in model.named_parameters() if value.requires_grad}
    names: dict[Tensor, str] = {parameter: name for name, parameter in named.items()}
    parts: dict[str, torch.optim.Optimizer] = {}
    if isinstance(config.optimizer, MuonConfig):
        hidden = dict(hidden_matrices(model))
        parts_of = fused_rows(model)
        groups = [{"params": [matrix], "row_parts": parts_of.get(name)} for name, matrix in hidden.items()]
        choice = config.optimizer
        parts["muon"] = Muon(
            groups, choice.learning_rate, choice.momentum, choice.weight_decay, choice.iterations
        )
        named = {name: value for name, value in named.items() if name not in hidden}
    parts["adamw"] = _adamw(list(named.values()), config)
    for part in parts.values():
        for group in part.param_groups:
            group["peak_lr"] = group["lr"]
    return Optimizers(parts, names)


def hidden_matrices(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The weights of the linear layers inside the blocks: no embedding, no output head."""
    head = getattr(model, "head", None)
    for module_name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module is not head and module.weight.requires_grad:
            yield f"{module_name}.weight", module.weight


def _adamw(parameters: list[nn.Parameter], config: TrainConfig) -> torch.optim.AdamW:
    matrices = [parameter for parameter in parameters if parameter.ndim >= 2]
    vectors = [parameter for parameter in parameters if parameter.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        fused=True,
    )
