from __future__ import annotations

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from towpath.model import GPT2Config, count_parameters, flops_per_token, print_model_structure
from towpath.model.config import DecoderConfig
from towpath.model.decoder import Decoder


def test_parameters_are_counted_before_there_are_any(model: Decoder, config: DecoderConfig) -> None:
    assert count_parameters(config) == model.num_parameters() == sum(p.numel() for p in model.parameters())


def test_gpt2_small_has_the_parameters_that_it_is_known_for() -> None:
    assert count_parameters(GPT2Config(vocab_size=50257, n_positions=1024)) == 124_439_808


def test_flops_of_a_forward_pass_are_those_that_torch_counts(
    model: Decoder, config: DecoderConfig, ids
) -> None:
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(ids)
    assert counter.get_total_flops() == ids.numel() * flops_per_token(config, 20, training=False)


def test_training_costs_three_forward_passes() -> None:
    config = GPT2Config(vocab_size=50257, n_positions=1024)
    assert flops_per_token(config) == 3 * flops_per_token(config, training=False)
    assert flops_per_token(config) == pytest.approx(6 * 124.4e6 + 12 * 12 * 768 * 1024, rel=0.01)  # PaLM's 6N


def test_the_structure_is_one_line_a_weight(model: Decoder, capsys: pytest.CaptureFixture[str]) -> None:
    print_model_structure(model)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list(model.parameters()))
    assert lines[0] == f"tokens.weight: {model.tokens.weight.shape}"
