from __future__ import annotations

from typing import Literal

import jaxtyping
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from towpath.core.errors import ModelError
from towpath.model import GPT2Config, ModernConfig, build, fused_rows
from towpath.model.config import DecoderConfig
from towpath.model.decoder import Decoder
from towpath.model.torch_version import check_torch_version

pytestmark = pytest.mark.usefixtures("checked_annotations")


def gradients(model: Decoder) -> dict[str, Tensor]:
    return {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


def test_the_loss_is_the_cross_entropy_of_the_logits(model: Decoder, ids: Tensor) -> None:
    labels = ids.clone()
    labels[0, :5] = -100
    logits = model(ids).logits[:, :-1]
    expected = F.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(model(ids, labels).loss, expected)


def test_gradients_are_those_of_the_plain_loss(model: Decoder, ids: Tensor) -> None:
    logits = model(ids).logits[:, :-1]
    F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
    expected = {name: value.clone() for name, value in gradients(model).items()}
    model.zero_grad()
    model(ids, ids).loss.backward()
    assert expected.keys() == dict(model.named_parameters()).keys()
    for name, value in gradients(model).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_loss_of_parts_by_the_number_of_all_targets_is_the_mean_of_the_whole(
    model: Decoder, ids: Tensor
) -> None:
    labels = ids.clone()
    labels[1, 3:] = -100
    targets = int((labels[:, 1:] != -100).sum())
    parts = [model(ids[row : row + 1], labels[row : row + 1], loss_tokens=targets).loss for row in range(3)]
    torch.testing.assert_close(torch.stack(parts).sum(), model(ids, labels).loss)


def test_a_window_with_labels_may_be_one_longer_than_the_context(tiny_gpt: Decoder) -> None:
    window = torch.arange(33).view(1, 33)
    assert torch.isfinite(tiny_gpt(window, window).loss)
    with pytest.raises(ModelError, match=r"33 tokens are more than the model's context of 32"):
        tiny_gpt(window)


def test_a_pass_without_targets_gives_zero_and_no_gradient(model: Decoder, ids: Tensor) -> None:
    loss = model(ids, torch.full_like(ids, -100)).loss
    loss.backward()
    assert loss == 0
    assert all(not value.any() for value in gradients(model).values())


def test_the_future_does_not_change_the_past(model: Decoder, ids: Tensor) -> None:
    changed = ids.clone()
    changed[:, 12:] = (changed[:, 12:] + 1) % 101
    before, after = model(ids).logits, model(changed).logits
    assert torch.equal(before[:, :12], after[:, :12])
    assert (before[:, 12:] != after[:, 12:]).any(dim=-1).all()


def test_padding_on_the_right_changes_nothing_before_it(model: Decoder, ids: Tensor) -> None:
    padded = F.pad(ids, (0, 7), value=5)
    torch.testing.assert_close(model(padded).logits[:, :20], model(ids).logits, rtol=1e-5, atol=1e-5)
    labels = F.pad(ids, (0, 7), value=-100)
    torch.testing.assert_close(model(padded, labels).loss, model(ids, ids).loss)


@pytest.mark.parametrize("cuts", [range(1, 21), [20], [7, 8, 20], [1, 19, 20]], ids=str)
def test_cached_logits_equal_full_logits(model: Decoder, ids: Tensor, cuts: list[int]) -> None:
    cache = model.new_cache(batch=3, max_tokens=20)
    starts = [0, *cuts][:-1]
    parts = [model(ids[:, a:b], cache=cache).logits for a, b in zip(starts, cuts, strict=True)]
    torch.testing.assert_close(torch.cat(parts, dim=1), model(ids).logits, rtol=1e-5, atol=1e-5)
    assert cache.n_tokens == 20


def test_a_full_cache_refuses_more_tokens_and_names_both_numbers(model: Decoder, ids: Tensor) -> None:
    cache = model.new_cache(batch=3, max_tokens=20)
    model(ids, cache=cache)
    with pytest.raises(ModelError, match=r"20 of at most 20 tokens; 1 more do not fit.*max_tokens=21"):
        model(ids[:, :1], cache=cache)
    with pytest.raises(ModelError, match=r"made for a batch of 3, not 2"):
        model(ids[:2, :1], cache=model.new_cache(batch=3, max_tokens=20))
    with pytest.raises(ModelError, match=r"33 tokens are more than the model's context of 32"):
        model.new_cache(batch=1, max_tokens=33)


@pytest.mark.parametrize("wrong", [101, -1])
def test_a_token_id_beyond_the_vocabulary_is_named(model: Decoder, ids: Tensor, wrong: int) -> None:
    ids[1, 19] = wrong
    with pytest.raises(ModelError, match=f"Token id {wrong} is outside the model's vocabulary of 101"):
        model(ids)
    with pytest.raises(ModelError, match=f"Label {wrong} is outside the model's vocabulary of 101"):
        model(ids, ids)  # the last one is a label only


def test_the_same_seed_builds_the_same_weights_and_leaves_other_randomness_alone(
    config: DecoderConfig,
) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, again, other = build(config, seed=1), build(config, seed=1), build(config, seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    weights, same = first.state_dict(), again.state_dict()
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert not torch.equal(first.tokens.weight, other.tokens.weight)


def test_a_new_model_predicts_nothing_yet(config: DecoderConfig, ids: Tensor) -> None:
    loss = build(config, seed=0)(ids, ids).loss
    assert loss.item() == pytest.approx(torch.log(torch.tensor(101.0)).item(), rel=0.02)


def test_weights_start_as_the_layout_says() -> None:
    wide = {"vocab_size": 512, "n_positions": 64, "n_embd": 128, "n_layer": 2, "n_head": 4}
    for config in (GPT2Config(**wide), ModernConfig(**wide), ModernConfig(**wide, tie_embeddings=False)):
        model = build(config)
        tied = model.head is None
        expected = {"tokens.weight": 0.02 if tied else 1.0, "head.weight": 0.0, "positions.weight": 0.02}
        for name, weight in model.named_parameters():
            if weight.dim() == 1:
                assert (weight == (0 if name.endswith("bias") else 1)).all()
            else:
                inside = 0.01 if name.endswith("out.weight") else 0.02  # 0.02 / sqrt(2 * 2 layers)
                assert weight.std().item() == pytest.approx(expected.get(name, inside), rel=0.03)


@pytest.mark.parametrize("recomputing", [True, "selective"])
def test_gradient_checkpointing_changes_memory_and_no_gradient(
    model: Decoder, ids: Tensor, recomputing: Literal[True, "selective"]
) -> None:
    model.train()
    model(ids, ids).loss.backward()
    expected = {name: value.clone() for name, value in gradients(model).items()}
    model.zero_grad()
    model.gradient_checkpointing = recomputing
    model(ids, ids).loss.backward()
    assert all(torch.equal(value, expected[name]) for name, value in gradients(model).items())


def test_dropout_acts_in_training_alone(ids: Tensor) -> None:
    model = build(GPT2Config(vocab_size=101, n_positions=32, n_embd=24, n_layer=2, n_head=3, dropout=0.5))
    model.train()
    torch.manual_seed(0)
    noisy = model(ids).logits
    assert not torch.equal(noisy, model(ids).logits)
    torch.manual_seed(0)
    assert torch.equal(noisy, model(ids).logits)
    model.eval()
    assert torch.equal(model(ids).logits, model(ids).logits)


def test_weights_of_attention_are_dropped_too(ids: Tensor) -> None:
    model = build(GPT2Config(vocab_size=101, n_positions=32, n_embd=24, n_layer=2, n_head=3, dropout=0.5))
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    model.train()
    assert not torch.equal(model(ids).logits, model(ids).logits)


def test_a_tied_head_is_the_token_embedding(model: Decoder, config: DecoderConfig) -> None:
    tied = getattr(config, "tie_embeddings", True)
    assert ("head.weight" in model.state_dict()) is not tied
    assert (model.head_weight is model.tokens.weight) is tied


def test_fused_matrices_say_how_many_rows_each_part_has(model: Decoder, config: DecoderConfig) -> None:
    rows = fused_rows(model)
    queries, keys = config.n_head * config.head_width, config.kv_heads * config.head_width
    assert rows["blocks.0.attention.qkv.weight"] == (queries, keys, keys)
    state = model.state_dict()
    assert all(sum(sizes) == state[name].shape[0] for name, sizes in rows.items())


def test_half_precision_follows_full_precision(model: Decoder, ids: Tensor) -> None:
    expected = model(ids, ids).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = model(ids, ids).loss
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, expected, rtol=0.03, atol=0.03)  # bf16 keeps 8 bits
    halved = model.to(torch.bfloat16)(ids, ids).loss
    torch.testing.assert_close(halved, expected, rtol=0.03, atol=0.03)


def test_shapes_and_types_of_signatures_are_checked_here(model: Decoder, ids: Tensor) -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        model(ids.float())
    with pytest.raises(jaxtyping.TypeCheckError):
        model(ids, ids[:, 1:])


def test_an_old_torch_is_refused_with_the_line_that_helps() -> None:
    check_torch_version("2.6.0+cu124")
    check_torch_version("2.13.0a0+git123")
    with pytest.raises(ModelError, match=r"torch 2.5.1 is installed.*needs 2.6 or newer.*torch>=2.6"):
        check_torch_version("2.5.1")
