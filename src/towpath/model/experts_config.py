"""Section of the mixture of experts: the layout of Qwen3-MoE, and how its experts are kept busy alike.

To add a way of balancing: a section here with the numbers that ``experts.ExpertLayer`` asks of it, and
a line in ``BALANCES``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from towpath.core.catalogue import Catalogue
from towpath.core.config import Section
from towpath.model.config import ModernConfig, round_up

if TYPE_CHECKING:
    from towpath.model.experts_decoder import ExpertDecoder

BALANCES = Catalogue(
    "way of balancing experts",
    {
        "loss": "towpath.model.experts_config:LossBalance",
        "bias": "towpath.model.experts_config:BiasBalance",
        "none": "towpath.model.experts_config:NoBalance",
    },
    group="towpath.balances",
)


class Balance(Section):
    """What every way has."""

    type: Any

    @property
    def loss_coefficient(self) -> float:
        """What the load-balance loss is multiplied by. 0: there is none."""
        return 0.0

    @property
    def bias_rate(self) -> float:
        """How far a step moves each expert's selection bias. 0: there is none."""
        return 0.0


class LossBalance(Balance):
    """A loss that is least when all experts get as many tokens (Fedus et al. 2021, equation 4)."""

    type: Literal["loss"] = "loss"
    coefficient: float = Field(default=0.01, ge=0)
    """What it is multiplied by (their alpha: 0.01, section 2.2; 0.001 in Qwen3's configuration)."""

    @property
    def loss_coefficient(self) -> float:
        """See ``Balance.loss_coefficient``."""
        return self.coefficient


class BiasBalance(Balance):
    """No loss: idle experts are chosen more readily, by a number that moves every step (Wang et al. 2024)."""

    type: Literal["bias"] = "bias"
    rate: float = Field(default=0.001, gt=0)
    """How far a step moves it (DeepSeek-V3, arXiv:2412.19437, section 4.2: 0.001)."""

    @property
    def bias_rate(self) -> float:
        """See ``Balance.bias_rate``."""
        return self.rate


class NoBalance(Balance):
    """Experts are as busy as it comes."""

    type: Literal["none"] = "none"


class MoEConfig(ModernConfig):
    """The Qwen3-MoE layout: ``modern`` with experts for feed-forward layers, a few of them for each token."""

    type: Literal["moe"] = "moe"  # pyright: ignore[reportIncompatibleVariableOverride]
    n_expert: int = Field(default=8, ge=2)
    """Experts of a layer."""
    experts_per_token: int = Field(default=2, ge=1)
    """Experts that each token goes through."""
    renormalise: bool = True
    """Whether the weights of a token's experts are made to sum to 1, as in Qwen3 as released."""
    scoring: Literal["softmax", "sigmoid"] = "softmax"
    """How the router's logits become weights; sigmoid: DeepSeek-V3, equation 15."""
    shared_width: int | None = Field(default=None, ge=1)
    """Width of an expert that every token goes through besides (Dai et al. 2024, arXiv:2401.06066).
    Left out: there is none."""
    capacity_factor: float | None = Field(default=None, gt=0)
    """In training an expert takes at most this times its even share of tokens; the rest pass by in the
    residual stream (Fedus et al. 2021, equation 3). Left out: no token is ever dropped."""
    balance: Annotated[Balance, BALANCES.choice("loss")] = LossBalance()
    """How experts are kept busy alike: loss, bias or none."""
    z_loss: float = Field(default=0.0, ge=0)
    """Coefficient of the loss that keeps logits small (Zoph et al. 2022, section 3.3: 0.001). 0: none."""

    @model_validator(mode="after")
    def _experts_suffice(self) -> Self:
        if self.experts_per_token > self.n_expert:
            raise ValueError(
                f"experts_per_token = {self.experts_per_token} is more than n_expert = {self.n_expert}. "
                f"Try experts_per_token = {min(2, self.n_expert)}."
            )
        return self

    @property
    def inner_width(self) -> int:
        """Width of one expert: ``n_inner``, or what makes a token's experts cost what ``modern`` costs."""
        return self.n_inner or round_up(-(-8 * self.n_embd // (3 * self.experts_per_token)), 64)

    def layout(self) -> ExpertDecoder:
        """See ``TransformerConfig.layout``."""
        from towpath.model.experts_decoder import experts

        return experts(self)
