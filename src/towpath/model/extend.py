"""Longer contexts for a trained model: a config for more positions, into which its weights fit.

Rotary positions are scaled (``towpath.model.positions.scaling``); ALiBi, T5's bias, sinusoids and no
positions at all need nothing. Learned positions end where training ended; ``interpolated`` stretches
their table for further training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from towpath.core.errors import ConfigError, ModelError
from towpath.model.config import DecoderConfig

if TYPE_CHECKING:
    from towpath.model.decoder import Decoder

ConfigT = TypeVar("ConfigT", bound=DecoderConfig)


def extended(config: ConfigT, n_positions: int, scaling: str = "yarn") -> ConfigT:
    """``config`` for a context of ``n_positions`` tokens; weights of the old one load unchanged.

    ``scaling``, for rotary positions: yarn, ntk, linear or none. Applied again, it is as if applied
    once.

    Raises:
        ConfigError: ``n_positions`` is no longer context, or the positions can't be extended.
    """
    if n_positions <= config.n_positions:
        raise ConfigError(
            f"n_positions = {n_positions} does not extend a context of {config.n_positions}. "
            f"Try {4 * config.n_positions}."
        )
    try:
        positions = config.positions.extended(config.n_positions, n_positions, scaling)  # pyright: ignore[reportAttributeAccessIssue]
    except (KeyError, ValueError) as error:
        raise ConfigError(f"The context can't be extended: {error.args[0]}") from error
    changed = {"n_positions": n_positions, "positions": positions}
    return type(config).model_validate({**dict(config), **changed})


def extend(model: Decoder, n_positions: int, scaling: str = "yarn") -> Decoder:
    """A copy of ``model`` with a context of ``n_positions`` tokens; see ``extended``.

    Raises:
        ConfigError: see ``extended``.
    """
    return _with_weights(model, extended(model.config, n_positions, scaling), model.state_dict())


def interpolated(model: Decoder, n_positions: int) -> Decoder:
    """A copy of ``model`` whose learned positions are stretched to ``n_positions``, to be trained on.

    Linear interpolation between the vectors of neighbours, as for images in Dosovitskiy et al. 2020,
    arXiv:2010.11929, section 3.2. Without further training it is worse at every position.

    Raises:
        ModelError: the model has no learned positions.
    """
    import torch.nn.functional as F

    from towpath.model.positions.added import LearnedPositions

    if not isinstance(model.positions, LearnedPositions):
        raise ModelError("Only learned positions are interpolated; use towpath.model.extend.extend.")
    table = model.positions.weight.detach()
    longer = F.interpolate(table.T[None], size=n_positions, mode="linear", align_corners=True)[0].T
    config = type(model.config).model_validate({**dict(model.config), "n_positions": n_positions})
    return _with_weights(model, config, {**model.state_dict(), "positions.weight": longer})


def _with_weights(model: Decoder, config: DecoderConfig, weights: dict[str, object]) -> Decoder:
    from towpath.model.decoder import build

    longer = build(config)
    longer.load_state_dict(weights)
    return longer.to(model.device, model.tokens.weight.dtype).train(model.training)
