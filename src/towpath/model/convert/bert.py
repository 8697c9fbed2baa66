"""``bert`` is transformers' BertForMaskedLM, BertForSequenceClassification or BertForTokenClassification."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

from towpath.model.convert.twin import Twin, refuse
from towpath.model.encoder_config import BertConfig, Head

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_new",
    "gelu_pytorch_tanh": "gelu_new",
    "relu": "relu",
}


def _settings(config: BertConfig) -> dict[str, Any]:
    return {
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.n_positions,
        "hidden_size": config.n_embd,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "intermediate_size": config.inner_width,
        "type_vocab_size": config.n_token_types,
        "hidden_act": config.activation,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.dropout,
        "layer_norm_eps": config.norm_epsilon,
        "num_labels": config.n_labels,
    }


def _our_config(theirs: Any, head: Head) -> BertConfig:
    activation = _ACTIVATIONS.get(theirs.hidden_act)
    positions = getattr(theirs, "position_embedding_type", "absolute")
    labels = theirs.num_labels
    refuse(
        hidden_act=(theirs.hidden_act, activation is not None),
        position_embedding_type=(positions, positions == "absolute"),
        is_decoder=(theirs.is_decoder, not theirs.is_decoder),
        add_cross_attention=(theirs.add_cross_attention, not theirs.add_cross_attention),
        tie_word_embeddings=(theirs.tie_word_embeddings, theirs.tie_word_embeddings),
        problem_type=(theirs.problem_type, theirs.problem_type in (None, "single_label_classification")),
        num_labels=(labels, head == "masked" or labels >= 2),
    )
    classifier = (
        theirs.hidden_dropout_prob if theirs.classifier_dropout is None else theirs.classifier_dropout
    )
    rates = (theirs.hidden_dropout_prob, theirs.attention_probs_dropout_prob, classifier)
    if len(set(rates)) > 1:
        warnings.warn(f"Dropout rates {rates} differ; the first is used for all.", stacklevel=3)
    return BertConfig.model_validate(
        {
            "vocab_size": theirs.vocab_size,
            "n_positions": theirs.max_position_embeddings,
            "n_embd": theirs.hidden_size,
            "n_layer": theirs.num_hidden_layers,
            "n_head": theirs.num_attention_heads,
            "n_inner": theirs.intermediate_size,
            "n_token_types": theirs.type_vocab_size,
            "activation": activation,
            "dropout": theirs.hidden_dropout_prob,
            "norm_epsilon": theirs.layer_norm_eps,
            "head": head,
            "n_labels": max(labels, 2),
        }
    )


_TRUNK: dict[str, str | tuple[str, ...]] = {
    "tokens": "bert.embeddings.word_embeddings",
    "positions": "bert.embeddings.position_embeddings",
    "token_types": "bert.embeddings.token_type_embeddings",
    "embedding_norm": "bert.embeddings.LayerNorm",
    "blocks.{}.attention.qkv": (
        "bert.encoder.layer.{}.attention.self.query",
        "bert.encoder.layer.{}.attention.self.key",
        "bert.encoder.layer.{}.attention.self.value",
    ),
    "blocks.{}.attention.out": "bert.encoder.layer.{}.attention.output.dense",
    "blocks.{}.attention_norm": "bert.encoder.layer.{}.attention.output.LayerNorm",
    "blocks.{}.feed_forward.up": "bert.encoder.layer.{}.intermediate.dense",
    "blocks.{}.feed_forward.out": "bert.encoder.layer.{}.output.dense",
    "blocks.{}.feed_forward_norm": "bert.encoder.layer.{}.output.LayerNorm",
}

_MASKED = {
    "head": "cls.predictions",
    "head.transform": "cls.predictions.transform.dense",
    "head.norm": "cls.predictions.transform.LayerNorm",
}


def _twin(model_class: str, head: Head, names: dict[str, str], copies: dict[str, str] | None = None) -> Twin:
    return Twin(
        config_class="BertConfig",
        model_class=model_class,
        settings=_settings,
        our_config=partial(_our_config, head=head),
        names=_TRUNK | names,
        copies=copies or {},
    )


BERTS: dict[Head, Twin] = {
    "masked": _twin(
        "BertForMaskedLM",
        "masked",
        _MASKED,
        {
            "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
            "cls.predictions.decoder.bias": "cls.predictions.bias",
        },
    ),
    "sequence": _twin(
        "BertForSequenceClassification",
        "sequence",
        {"head.pooler": "bert.pooler.dense", "head.out": "classifier"},
    ),
    "token": _twin("BertForTokenClassification", "token", {"head.out": "classifier"}),
}
"""By the head that ours has."""
