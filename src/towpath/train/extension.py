"""Training on at a longer context: a trained checkpoint in, one that reads longer texts out.

The model's positions are scaled (``towpath.model.extend``), or a learned table stretched, and training
goes on for a few steps on windows of the new length, with as many tokens a step as before. Chen et al.
2023, arXiv:2306.15595, and Peng et al. 2023 (YaRN), arXiv:2309.00071, section 4.1, whose 400 steps and
20 of warmup are the defaults. Deviations: weight decay and schedule stay those of the run, and the
learning rate is a tenth of its own where YaRN takes 2e-5 for a model trained at 3e-4.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from pydantic import Field

from towpath.core.artifacts import Artifact, Draft, Store, artifact_id
from towpath.core.config import Section, change, identity
from towpath.core.errors import ConfigError
from towpath.core.processes import is_first
from towpath.core.runs import Run

if TYPE_CHECKING:
    from towpath.model.config import DecoderConfig, TransformerConfig
    from towpath.model.decoder import Decoder
    from towpath.tokenizer import Tokenizer, TokenShards
    from towpath.train.checkpoint import Checkpoint
    from towpath.train.config import TrainConfig
    from towpath.train.pretrain import MakeValidate
    from towpath.train.stage import Stage

_WARMUP_STEPS = 20
_LEARNING_RATE_SHARE = 0.1


class ExtensionConfig(Section):
    """The table ``[train.extension]``: training on at a longer context, when it is asked for."""

    n_positions: int | None = Field(default=None, ge=2)
    """Context length in tokens. Left out: four times the model's."""
    scaling: Literal["yarn", "ntk", "linear", "none"] = "yarn"
    """How rotary positions are scaled; others need nothing, and a learned table is stretched."""
    max_steps: int = Field(default=400, ge=1)
    """Optimizer updates at the new length."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak learning rate. Left out: a tenth of train.learning_rate. Muon's changes in proportion."""


def make_extended(
    store: Store,
    run: Run,
    settings: tuple[TrainConfig, int],
    parents: tuple[Artifact, Artifact, Artifact],
    make_validate: MakeValidate | None = None,
) -> Artifact:
    """Train the model of ``parents`` (checkpoint, tokens, tokenizer) on by ``settings`` (training, seed).

    Killed at any instant and called again, it ends with the same weights.

    Raises:
        ConfigError: the model is no decoder, its context can't be extended, or no text is as long.
    """
    from towpath.tokenizer import Tokenizer, TokenShards
    from towpath.train.another_run import tell_what_differs
    from towpath.train.checkpoint import KIND, Checkpoint, write_checkpoint
    from towpath.train.stage import run_stage

    config, seed = settings
    checkpoint, tokens, tokenizer_artifact = parents
    old = _decoder_config(Checkpoint.open(checkpoint.path))
    new = extended_config(old, config.extension)
    train = extension_training(config, old.n_positions, new.n_positions)
    meaning = {"model": identity(new), "train": identity(train), "seed": seed, "stage": "extend"}
    identifier = artifact_id(KIND, meaning, [parent.id for parent in parents])

    def write(draft: Draft) -> None:
        tokenizer = config.objective.tokenizer(Tokenizer.load(tokenizer_artifact.path))
        model = longer(Checkpoint.open(checkpoint.path), config.extension)
        folder = run.stage("extend", identifier)
        tell_what_differs(folder, meaning, parents)
        stage = _stage(
            train, (folder, seed), (TokenShards(tokens), tokenizer), new.n_positions, make_validate
        )
        facts = run_stage(stage, model.train())
        if not is_first():
            return
        objective = config.objective.model_dump(mode="json")
        facts = {"stage": "extend", "objective": objective, "extends": checkpoint.id, **facts}
        write_checkpoint(draft.path, model.to("cpu"), tokenizer, None, facts)
        draft.counts |= {"parameters": model.num_parameters(), "steps": train.max_steps}
        draft.licences += tokens.licences

    name = f"{run.name}-{new.n_positions}"
    if not is_first() and not store.has(KIND, name, identifier):
        write(Draft(run.path))  # takes its part in the training; the first process writes
    return store.make(KIND, name, meaning, parents, write)


def extended_config(old: DecoderConfig, extension: ExtensionConfig) -> DecoderConfig:
    """The config of the longer context.

    Raises:
        ConfigError: it is no longer context, or these positions can't be scaled so.
    """
    from towpath.model.extend import extended

    n_positions = extension.n_positions or 4 * old.n_positions
    if _is_learned(old):
        if n_positions <= old.n_positions:
            raise ConfigError(
                f"n_positions = {n_positions} does not extend a context of {old.n_positions}. "
                f"Try {4 * old.n_positions}."
            )
        return old.model_copy(update={"n_positions": n_positions})
    return extended(old, n_positions, extension.scaling)


def check_extends(model: TransformerConfig, extension: ExtensionConfig) -> None:
    """Refuse a model that can't be extended so.

    Raises:
        ConfigError: it is no decoder, or see ``extended_config``.
    """
    extended_config(_as_decoder(model), extension)


def extension_training(train: TrainConfig, old_positions: int, new_positions: int) -> TrainConfig:
    """``train`` for windows of ``new_positions`` tokens, with about as many tokens a step as before."""
    from towpath.train.curriculum.uniform import UniformConfig

    steps = train.extension.max_steps
    rate = train.extension.learning_rate or _LEARNING_RATE_SHARE * train.learning_rate
    batch_size = max(1, train.batch_size * old_positions // new_positions)
    sequences = train.batch_size * train.gradient_accumulation_steps * old_positions / new_positions
    changes: dict[str, object] = {
        "learning_rate": rate,
        "max_steps": steps,
        "warmup_steps": min(_WARMUP_STEPS, steps // 10),
        "batch_size": batch_size,
        "gradient_accumulation_steps": max(1, round(sequences / batch_size)),
        "curriculum": UniformConfig(),
    }
    own = getattr(train.optimizer, "learning_rate", None)
    if own is not None:
        changes["optimizer.learning_rate"] = own * rate / train.learning_rate
    return change(train, changes)


def longer(checkpoint: Checkpoint, extension: ExtensionConfig) -> Decoder:
    """The model of ``checkpoint`` at the longer context, its weights as they were trained.

    Raises:
        ConfigError: see ``extended_config``.
    """
    from towpath.model.extend import extend, interpolated

    old = _decoder_config(checkpoint)
    new = extended_config(old, extension)
    model = cast("Decoder", checkpoint.load().model)
    if _is_learned(old):
        return interpolated(model, new.n_positions)
    return extend(model, new.n_positions, extension.scaling)


def _is_learned(config: DecoderConfig) -> bool:
    """Whether positions are a trained table, which is stretched."""
    return config.positions.type == "learned"  # pyright: ignore[reportAttributeAccessIssue]


def _decoder_config(checkpoint: Checkpoint) -> DecoderConfig:
    return _as_decoder(checkpoint.model_config())


def _as_decoder(config: TransformerConfig) -> DecoderConfig:
    from towpath.model.config import DecoderConfig

    if not isinstance(config, DecoderConfig):
        raise ConfigError(
            f"model.type = {config.type!r} is an {config.family}, and the context of decoders alone is "
            "extended. Take model.type = 'gpt2' or 'modern'."
        )
    return config


def _stage(
    train: TrainConfig,
    place: tuple[Path, int],
    data: tuple[TokenShards, Tokenizer],
    n_positions: int,
    make_validate: MakeValidate | None,
) -> Stage:
    from towpath.train.pretrain import sampler, token_batches
    from towpath.train.stage import Stage

    (folder, seed), (shards, tokenizer) = place, data
    return Stage(
        name="extend",
        folder=folder,
        config=train,
        seed=seed,
        batches=token_batches(shards, train, n_positions, seed, folder),
        validate=make_validate(shards, tokenizer, n_positions) if make_validate else None,
        sample=sampler(tokenizer, train.sample_prompt),
        text_bytes=tokenizer.text_bytes,
        tokenizer=tokenizer,
    )
