"""Pre-training: token shards and a model configuration in, a checkpoint out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from towpath.core.artifacts import Artifact, Draft, Store, artifact_id
from towpath.core.config import Section, identity
from towpath.core.processes import is_first
from towpath.core.runs import Run
from towpath.tokenizer import Samples, Tokenizer, TokenShards
from towpath.train.another_run import tell_what_differs
from towpath.train.batches import TokenBatches
from towpath.train.checkpoint import KIND, write_checkpoint
from towpath.train.config import TrainConfig
from towpath.train.curriculum.reordered import Reordered
from towpath.train.objectives import check_fits
from towpath.train.stage import Sample, Stage, Validate, run_stage

if TYPE_CHECKING:
    from towpath.model.config import TransformerConfig
    from towpath.model.language_model import LanguageModel

MakeValidate = Callable[[TokenShards, Tokenizer, int], Validate]
"""Given shards, tokenizer and context in tokens: what gives the figures of each validation."""


def pretraining(model: Section, train: TrainConfig, seed: int) -> dict[str, Any]:
    """What a pre-trained checkpoint means, besides its parents."""
    return {"model": identity(model), "train": identity(train), "seed": seed}


def make_checkpoint(
    store: Store,
    run: Run,
    settings: tuple[TransformerConfig, TrainConfig, int],
    parents: tuple[Artifact, Artifact],
    make_validate: MakeValidate | None = None,
) -> Artifact:
    """Train a model on ``parents`` (tokens, tokenizer) by ``settings`` (model, training, seed).

    Killed at any instant and called again, it ends with the same weights. The checkpoint's tokenizer
    has the special tokens of the objective.

    Raises:
        ConfigError: the objective does not fit the model.
    """
    model_config, config, seed = settings
    check_fits(config.objective, model_config)
    tokens, tokenizer_artifact = parents
    meaning = pretraining(model_config, config, seed)
    identifier = artifact_id(KIND, meaning, [parent.id for parent in parents])

    def write(draft: Draft) -> None:
        from towpath.model.language_model import build

        tokenizer = config.objective.tokenizer(Tokenizer.load(tokenizer_artifact.path))
        shards = TokenShards(tokens)
        model = build(model_config.for_tokenizer(tokenizer.vocab_size), seed=seed)
        folder = run.stage("train", identifier)
        tell_what_differs(folder, meaning, parents)
        stage = Stage(
            name="train",
            folder=folder,
            config=config,
            seed=seed,
            batches=token_batches(shards, config, model_config.n_positions, seed, folder),
            validate=make_validate(shards, tokenizer, model_config.n_positions) if make_validate else None,
            sample=None if model_config.family == "encoder" else sampler(tokenizer, config.sample_prompt),
            text_bytes=tokenizer.text_bytes,
            tokenizer=tokenizer,
        )
        facts = run_stage(stage, model)
        if not is_first():
            return
        objective = config.objective.model_dump(mode="json")
        facts = {"stage": "train", "objective": objective, **facts}
        write_checkpoint(draft.path, model.to("cpu"), tokenizer, None, facts)
        draft.counts |= {"parameters": sum(p.numel() for p in model.parameters()), "steps": config.max_steps}
        draft.licences += tokens.licences

    if not is_first() and not store.has(KIND, run.name, identifier):
        write(Draft(run.path))  # takes its part in the training; the first process writes
    return store.make(KIND, run.name, meaning, parents, write)


def token_batches(
    shards: TokenShards, config: TrainConfig, context_tokens: int, seed: int, folder: Path | None = None
) -> TokenBatches[Samples | Reordered]:
    """The pre-training batches of ``config`` for a model that holds ``context_tokens``.

    ``folder``: where the order of a curriculum is kept from start to start.
    """
    objective = config.objective
    samples = Samples(shards, "train", objective.window_ids(context_tokens) - 1, seed)
    examples = objective.examples(objective.tokenizer(shards.tokenizer), seed)
    sizes = config.batch_size, config.gradient_accumulation_steps
    n_samples = config.max_steps * sizes[0] * sizes[1]
    arranged = config.curriculum.arranged(samples, n_samples, seed, folder)
    return TokenBatches(arranged, *sizes, examples=examples)


def sampler(tokenizer: Tokenizer, prompt: str, tokens: int = 40) -> Sample:
    """Writes ``tokens`` tokens after ``prompt``, the same for the same weights."""

    def sample(model: LanguageModel) -> str:
        from towpath.model.text import encode_prompt, generate_text

        answers = model.config.family == "encoder-decoder"
        counted = tokens if answers else tokens + len(encode_prompt(tokenizer, prompt))
        return generate_text(model, tokenizer, prompt, max_length=counted, temperature=0.8, seed=0)

    return sample
