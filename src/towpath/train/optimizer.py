"""The optimizer of a run: the torch optimizers that its section makes, stepping together.

Optimizer state goes out and comes in as named tensors, so that it is stored without pickle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from towpath.core.errors import TrainError
from towpath.train.config import TrainConfig
from towpath.train.optimizers.selection_bias import selection_biases


class Optimizers:
    """Torch optimizers that step together."""

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
        self._check(tensors)
        by_name = {name: parameter for parameter, name in self.names.items()}
        for part in self.parts.values():
            part.state.clear()  # of a run that goes back: what it had later is not what it had then
        for key, value in tensors.items():
            label, _, rest = key.partition("/")
            slot, _, name = rest.partition("/")
            parameter = by_name[name]
            device = "cpu" if slot == "step" and parameter.device.type == "cpu" else parameter.device
            # A copy: what is read from a file is mapped, and would keep its room on the disk when pruned.
            own = value if isinstance(value, DTensor) else value.to(device, copy=True)
            self.parts[label].state[parameter][slot] = own.to(device)

    def _check(self, keys: Iterable[str]) -> None:
        """Refuse state that is not of these parts, or of a parameter that another part updates."""
        owned = {
            label: {self.names[parameter] for group in part.param_groups for parameter in group["params"]}
            for label, part in self.parts.items()
        }
        for key in keys:
            label, _, rest = key.partition("/")
            name = rest.partition("/")[2]
            if name in owned.get(label, ()):
                continue
            if name not in self.names.values():
                raise TrainError(f"The saved optimizer state {key!r} fits no parameter of this run.")
            saved = sorted({one.partition("/")[0] for one in keys})
            raise TrainError(
                f"The save holds state of the optimizers {', '.join(saved)} ({key}), and this run updates by "
                f"{', '.join(sorted(owned))}. Set train.optimizer.type to that of the run that made it, or "
                "remove the folder of its checkpoints to train anew."
            )


def build_optimizer(model: nn.Module, config: TrainConfig) -> Optimizers:
    """The optimizer that ``config`` describes, for the parameters of ``model`` that learn."""
    named = {name: value for name, value in model.named_parameters() if value.requires_grad}
    learned, parts = selection_biases(model, named)
    parts = {**config.optimizer.build(model, learned, config), **parts}
    for part in parts.values():
        for group in part.param_groups:
            group["peak_lr"] = group["lr"]
    return Optimizers(parts, {parameter: name for name, parameter in named.items()})
