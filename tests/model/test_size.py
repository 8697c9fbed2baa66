from __future__ import annotations

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.model.conftest import awake
from towpath.model import GPT2Config, count_parameters, flops_per_token, print_model_structure
from towpath.model.config import DecoderConfig
from towpath.model.decoder import Decoder
from towpath.model.encoder_config import BertConfig
from towpath.model.encoder_decoder_config import T5Config


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


@pytest.mark.parametrize("feed_forward", ["relu", "gated-gelu"])
def test_flops_of_an_encoder_decoder_are_those_that_torch_counts(feed_forward: str, ids) -> None:
    sizes = {"vocab_size": 101, "n_embd": 24, "n_layer": 2, "n_decoder_layer": 3, "n_head": 3}
    config = T5Config.model_validate({**sizes, "feed_forward": feed_forward})
    model = awake(config)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(ids, decoder_input_ids=ids)
    assert counter.get_total_flops() == ids.numel() * flops_per_token(config, 20, training=False)


@pytest.mark.parametrize("head", ["masked", "token", "sequence"])
def test_flops_of_an_encoder_are_those_that_torch_counts(head: str, ids) -> None:
    config = BertConfig.model_validate(
        {"vocab_size": 101, "n_embd": 24, "n_layer": 2, "n_head": 3, "head": head, "n_labels": 5}
    )
    model = awake(config)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(ids)
    classifier = {
        "masked": 0,
        "token": 2 * ids.numel() * 24 * 5,
        "sequence": 2 * len(ids) * (24 * 24 + 24 * 5),
    }
    counted = ids.numel() * flops_per_token(config, 20, training=False)
    assert counter.get_total_flops() == counted + classifier[head]


def test_training_costs_three_forward_passes() -> None:
    config = GPT2Config(vocab_size=50257, n_positions=1024)
    assert flops_per_token(config) == 3 * flops_per_token(config, training=False)
    assert flops_per_token(config) == pytest.approx(6 * 124.4e6 + 12 * 12 * 768 * 1024, rel=0.01)  # PaLM's 6N


def test_the_structure_is_one_line_a_weight(model: Decoder, capsys: pytest.CaptureFixture[str]) -> None:
    print_model_structure(model)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(list(model.parameters()))
    assert lines[0] == f"tokens.weight: {model.tokens.weight.shape}"
