"""Supervised fine-tuning: a pre-trained checkpoint and documents with turns in, an assistant out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from towpath.core.artifacts import Artifact, Draft, Store, artifact_id
from towpath.core.config import identity
from towpath.core.errors import ConfigError
from towpath.core.runs import Run
from towpath.data import Documents, Message
from towpath.train.another_run import tell_what_differs
from towpath.train.checkpoint import KIND, Checkpoint, Loaded, write_checkpoint
from towpath.train.config import TrainConfig
from towpath.train.stage import Sample, Stage, Validate, run_stage
from towpath.tune.config import SFTConfig
from towpath.tune.conversations import Example, ExampleBatches, examples, padded

if TYPE_CHECKING:
    from towpath.model.language_model import LanguageModel

SAMPLE_TURN = "hi, how are you?"


def make_assistant(
    store: Store,
    run: Run,
    settings: tuple[SFTConfig, TrainConfig, int],
    parents: tuple[Artifact, Artifact],
) -> Artifact:
    """Fine-tune ``parents`` (checkpoint, documents) by ``settings`` (tuning, device settings, seed).

    Killed at any instant and called again, it ends with the same weights.
    """
    config, base, seed = settings
    checkpoint, documents = parents
    meaning: dict[str, Any] = {"sft": identity(config), "seed": seed}
    identifier = artifact_id(KIND, meaning, [parent.id for parent in parents])

    def write(draft: Draft) -> None:
        loaded = Checkpoint.open(checkpoint.path).load()
        train, held_out = example_sets(config, loaded, Documents(documents))
        folder = run.stage("sft", identifier)
        tell_what_differs(folder, meaning, parents)
        stage = Stage(
            name="sft",
            folder=folder,
            config=config.train_config(len(train), base),
            seed=seed,
            batches=ExampleBatches(train, config.batch_size, loaded.tokenizer.pad, seed),
            validate=_validation(held_out[: config.validation_examples], loaded, config.batch_size),
            sample=_reply(config, loaded),
            tokenizer=loaded.tokenizer,
        )
        facts = run_stage(stage, loaded.model)
        facts |= {"stage": "sft", "examples": len(train)}
        write_checkpoint(draft.path, loaded.model.to("cpu"), loaded.tokenizer, config.template, facts)
        draft.counts |= {"examples": len(train), "steps": stage.config.max_steps}
        draft.licences += [*checkpoint.licences, *documents.licences]

    return store.make(KIND, f"{run.name}-chat", meaning, parents, write)


def example_sets(
    config: SFTConfig, loaded: Loaded, documents: Documents
) -> tuple[list[Example], list[Example]]:
    """(training, held-out) examples.

    Raises:
        ConfigError: the tokenizer lacks a token of the template.
        DataError: there are no conversations.
    """
    check_template(config, loaded)
    limit = min(config.max_length, loaded.model.config.n_positions + 1)
    train, held_out = (
        examples(documents, split, config.sources, config.template, loaded.tokenizer, limit)
        for split in ("train", "validation")
    )
    return train, held_out


def check_template(config: SFTConfig, loaded: Loaded) -> None:
    """Refuse a template whose end of turn is the padding, or no single trained token."""
    end = config.template.end_of_turn_id(loaded.tokenizer)
    if end == loaded.tokenizer.pad:
        raise ConfigError(
            "tune.sft.template ends an assistant's turn with the padding token, "
            "so the model would never stop. Use <|end|>."
        )


def _validation(held_out: Sequence[Example], loaded: Loaded, batch_size: int) -> Validate:
    def validate(model: LanguageModel) -> dict[str, float]:
        device = next(model.parameters()).device
        nats, targets = 0.0, 0
        for first in range(0, len(held_out), batch_size):
            batch = padded(held_out[first : first + batch_size], loaded.tokenizer.pad)
            (rows,) = batch.micro_batches
            loss = model(rows["input_ids"].to(device), rows["labels"].to(device), loss_tokens=1).loss
            nats += float(loss)
            targets += batch.target_tokens
        return {
            "validation/loss": nats / targets,
            "validation/perplexity": math.exp(min(700.0, nats / targets)),
        }

    return validate


def _reply(config: SFTConfig, loaded: Loaded) -> Sample:
    def sample(model: LanguageModel) -> str:
        from towpath.tune.chat import reply

        return reply(model, loaded.tokenizer, config.template, [Message("user", SAMPLE_TURN)], seed=0)

    return sample
