"""BERT: parity with transformers, both ways, with each head; padding, memory, sizes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

from tests.model.conftest import awake
from towpath.core.errors import ModelError
from towpath.model import (
    build,
    count_parameters,
    from_transformers,
    load_weights,
    save_weights,
    to_transformers,
)
from towpath.model.config import SamplingConfig
from towpath.model.encoder import Encoder, with_head
from towpath.model.encoder_config import BertConfig
from towpath.model.loss import chunked_cross_entropy

SMALL = {
    "vocab_size": 101,
    "max_position_embeddings": 32,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
}
CLASSES = {
    "masked": "BertForMaskedLM",
    "sequence": "BertForSequenceClassification",
    "token": "BertForTokenClassification",
}


def config(**changes: object) -> BertConfig:
    sizes = {"vocab_size": 101, "n_positions": 32, "n_embd": 24, "n_layer": 2, "n_head": 3, "n_inner": 40}
    return BertConfig.model_validate(sizes | {"dropout": 0.0, "n_labels": 4} | changes)


def theirs(head: str, **settings: object) -> transformers.PreTrainedModel:
    torch.manual_seed(5)
    chosen = transformers.BertConfig(**SMALL | {"num_labels": 4} | settings)
    model = getattr(transformers, CLASSES[head])(chosen)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


def inputs(ids: Tensor) -> dict[str, Tensor]:
    """Rows of 20, 20 and 13 tokens; two segments."""
    mask = torch.ones_like(ids)
    mask[2, 13:] = 0
    return {"attention_mask": mask, "token_type_ids": (torch.arange(20) >= 9).long().expand(3, 20)}


def same_logits(ours: Encoder, hf_model: transformers.PreTrainedModel, ids: Tensor) -> None:
    more = inputs(ids)
    with torch.no_grad():
        found, expected = ours(ids, **more).logits, hf_model(ids, **more).logits
    if ours.config.head == "sequence":
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    else:
        seen = more["attention_mask"].bool()
        torch.testing.assert_close(found[seen], expected[seen], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("head", CLASSES)
@pytest.mark.parametrize("settings", [{}, {"hidden_act": "gelu_new", "type_vocab_size": 3}])
def test_transformers_to_ours_gives_the_same_logits(
    head: str, settings: dict[str, object], ids: Tensor
) -> None:
    hf_model = theirs(head, **settings)
    same_logits(from_transformers(hf_model), hf_model, ids)


@pytest.mark.parametrize("head", CLASSES)
def test_ours_to_transformers_gives_the_same_logits_and_weights(head: str, ids: Tensor) -> None:
    model = awake(config(head=head))
    exported = to_transformers(model)
    assert type(exported).__name__ == CLASSES[head]
    same_logits(model, exported, ids)
    back = from_transformers(exported).state_dict()
    assert back.keys() == model.state_dict().keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in model.state_dict().items())


def test_twelve_layers_agree_with_transformers(ids: Tensor) -> None:
    hf_model = theirs("masked", num_hidden_layers=12, hidden_size=48, intermediate_size=96)
    ours = from_transformers(hf_model)
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).logits, hf_model(ids).logits, rtol=1e-4, atol=1e-4)


def test_a_saved_folder_opens_as_any_masked_model(ids: Tensor, tmp_path: Path) -> None:
    model = awake(config())
    to_transformers(model, pad=4).save_pretrained(tmp_path)
    same_logits(model, transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).eval(), ids)


@pytest.mark.parametrize("head", CLASSES)
def test_loss_and_gradients_agree_with_transformers(head: str, ids: Tensor) -> None:
    hf_model = theirs(head)
    ours = from_transformers(hf_model)
    labels = ids % 4 if head != "masked" else ids.clone()
    if head == "sequence":
        labels = labels[:, 0]
    else:
        labels[:, ::3] = -100
    expected = hf_model(ids, labels=labels, **inputs(ids)).loss
    found = ours(ids, labels, **inputs(ids)).loss
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    expected.backward()
    found.backward()
    theirs_by_name = dict(hf_model.named_parameters())
    bias = ("head.bias", "cls.predictions.bias") if head == "masked" else ("head.out.bias", "classifier.bias")
    for ours_name, name in {
        "tokens.weight": "bert.embeddings.word_embeddings.weight",
        "blocks.0.attention.out.weight": "bert.encoder.layer.0.attention.output.dense.weight",
        bias[0]: bias[1],
    }.items():
        found_grad, expected_grad = ours.get_parameter(ours_name).grad, theirs_by_name[name].grad
        if ours_name == "tokens.weight":  # theirs keeps the gradient of the padding's embedding at zero
            found_grad, expected_grad = found_grad[1:], expected_grad[1:]
        torch.testing.assert_close(found_grad, expected_grad, rtol=1e-4, atol=1e-5)


def test_the_chunked_loss_with_a_bias_is_the_plain_one() -> None:
    generator = torch.Generator().manual_seed(3)
    hidden, weight = (torch.randn(n, 8, generator=generator, requires_grad=True) for n in (50, 31))
    bias = torch.randn(31, generator=generator, requires_grad=True)
    labels = torch.randint(0, 31, (50,), generator=generator)
    labels[::4] = -100
    F.cross_entropy(F.linear(hidden, weight, bias), labels).backward()
    expected = [value.grad.clone() for value in (hidden, weight, bias)]
    for value in (hidden, weight, bias):
        value.grad = None
    chunked_cross_entropy(hidden, weight, labels, bias=bias, chunk_tokens=7).backward()
    for value, grad in zip((hidden, weight, bias), expected, strict=True):
        torch.testing.assert_close(value.grad, grad)


@pytest.mark.parametrize("head", CLASSES)
def test_padding_changes_nothing(head: str, ids: Tensor) -> None:
    model = awake(config(head=head))
    short = ids[:, :13]
    mask = torch.zeros(3, 20, dtype=torch.bool)
    mask[:, :13] = True
    with torch.no_grad():
        alone, padded = model(short).logits, model(ids, attention_mask=mask).logits
    torch.testing.assert_close(alone, padded if head == "sequence" else padded[:, :13], rtol=1e-5, atol=1e-5)


def test_a_token_sees_those_after_it(ids: Tensor) -> None:
    model = awake(config())
    other = ids.clone()
    other[:, -1] = (other[:, -1] + 1) % 101
    with torch.no_grad():
        assert not torch.allclose(model(ids).logits[:, 0], model(other).logits[:, 0])


def test_recomputed_activations_give_the_same_gradients(ids: Tensor) -> None:
    grads = []
    for again in (False, True):
        model = build(config(dropout=0.1), seed=3).train()
        model.gradient_checkpointing = again
        torch.manual_seed(1)
        model(ids, ids).loss.backward()
        grads.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    assert all(torch.equal(left, right) for left, right in zip(*grads, strict=True))


def test_another_head_keeps_the_trunk(ids: Tensor) -> None:
    model = awake(config())
    classifier = with_head(model, "sequence", n_labels=5).eval()
    with torch.no_grad():
        assert torch.equal(classifier.trunk(ids), model.trunk(ids))
        assert classifier(ids).logits.shape == (3, 5)
    assert isinstance(classifier.head.out, nn.Linear)


def test_weights_on_disk_come_back(tmp_path: Path) -> None:
    model = awake(config(head="token"))
    save_weights(model, tmp_path / "model.safetensors")
    other = build(config(head="token"))
    load_weights(other, tmp_path / "model.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_bert_base_has_the_parameters_that_it_is_known_for() -> None:
    """transformers' BertForMaskedLM of bert-base-uncased counts as many."""
    assert count_parameters(BertConfig(vocab_size=30522)) == 109_514_298


def test_an_encoder_writes_no_text(ids: Tensor) -> None:
    from towpath.model.generate import generate

    with pytest.raises(ModelError, match="bert is an encoder: it fills in hidden tokens and writes no text"):
        generate(awake(config()), [1, 2], SamplingConfig())


@pytest.mark.parametrize(
    ("settings", "text"),
    [({"is_decoder": True}, "is_decoder = True"), ({"hidden_act": "silu"}, "hidden_act = 'silu'")],
)
def test_what_bert_here_has_not_is_refused_by_name(settings: dict[str, object], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        from_transformers(theirs("masked", **settings))


@pytest.mark.usefixtures("checked_annotations")
@pytest.mark.parametrize("head", CLASSES)
def test_shapes_are_those_of_the_annotations(head: str, ids: Tensor) -> None:
    model = build(config(head=head))
    labels = ids % 4
    assert model(ids, **inputs(ids)).logits.isfinite().all()
    assert model(ids, labels[:, 0] if head == "sequence" else labels, **inputs(ids)).loss.isfinite()
