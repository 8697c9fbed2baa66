"""Checkpoint: a model with the tokenizer and the chat template that it was trained with.

A folder: model.safetensors, model.json (its configuration), tokenizer.json, chat_template.json (of
a tuned model), checkpoint.json (what made it, and the digests of its tokenizer and template), and
the manifest. The one thing that evaluation, tuning, serving and export start from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import TypeAdapter

from towpath.core.errors import ArtifactError
from towpath.core.files import read_manifest, readable_json, verify
from towpath.model.config import ModelConfig, TransformerConfig
from towpath.tokenizer import ChatTemplate, Tokenizer
from towpath.train.objectives import OBJECTIVES, ObjectiveConfig, usual_objective

if TYPE_CHECKING:
    from towpath.model.language_model import LanguageModel

KIND = "checkpoint"
_WEIGHTS = "model.safetensors"
_MODEL = "model.json"
_FACTS = "checkpoint.json"


@dataclass(frozen=True)
class Loaded:
    """A checkpoint in memory. ``template`` is None for a model that was never tuned to chat."""

    model: LanguageModel
    tokenizer: Tokenizer
    template: ChatTemplate | None
    config: TransformerConfig
    id: str
    name: str


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk, its files verified. ``facts`` is checkpoint.json."""

    path: Path
    id: str
    name: str
    facts: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> Checkpoint:
        """The checkpoint in the folder ``path``.

        Raises:
            ArtifactError: it is no checkpoint, unfinished or damaged.
        """
        manifest = read_manifest(path) if path.is_dir() else None
        if manifest is None or manifest.get("kind") != KIND:
            raise ArtifactError(
                f"{path} is not a finished checkpoint (a folder with {_WEIGHTS} and manifest.json). "
                "List them with: towpath trace"
            )
        verify(path, manifest)
        facts = json.loads((path / _FACTS).read_bytes())
        return cls(path, manifest["id"], manifest["name"], facts)

    def tokenizer(self) -> Tokenizer:
        """Its tokenizer.

        Raises:
            ArtifactError: tokenizer.json is not the one that the model was trained with.
        """
        tokenizer = Tokenizer.load(self.path)
        self._same("tokenizer.json", tokenizer.sha256, self.facts["tokenizer_sha256"])
        return tokenizer

    def template(self) -> ChatTemplate | None:
        """Its chat template, if it was tuned with one.

        Raises:
            ArtifactError: chat_template.json is not the one that the model was tuned with.
        """
        expected = self.facts.get("template_sha256")
        if expected is None:
            return None
        template = ChatTemplate.load(self.path)
        self._same("chat_template.json", template.sha256, expected)
        return template

    def load(self, device: str = "cpu") -> Loaded:
        """Everything in memory, the model in evaluation mode on ``device``."""
        from towpath.model.language_model import build
        from towpath.model.weights import load_weights

        config = self.model_config()
        tokenizer, template = self.tokenizer(), self.template()
        model = build(config)
        load_weights(model, self.path / _WEIGHTS)
        return Loaded(model.to(device).eval(), tokenizer, template, config, self.id, self.name)

    def model_config(self) -> TransformerConfig:
        """The configuration of its model."""
        tree = json.loads((self.path / _MODEL).read_bytes())
        return TypeAdapter(ModelConfig).validate_python(tree)

    def objective(self) -> ObjectiveConfig:
        """What its model learned to predict; the usual for its family where that is not written down."""
        written = self.facts.get("objective")
        if written is None:
            return usual_objective(self.model_config().family)
        return TypeAdapter(Annotated[ObjectiveConfig, OBJECTIVES.choice()]).validate_python(written)

    def _same(self, what: str, found: str, expected: str) -> None:
        if found != expected:
            raise ArtifactError(
                f"{self.path / what} has the digest {found[:12]}…, but the model was trained with "
                f"{expected[:12]}…. Put the original file back; with another one every answer would be wrong."
            )


def write_checkpoint(
    folder: Path,
    model: LanguageModel,
    tokenizer: Tokenizer,
    template: ChatTemplate | None,
    facts: Mapping[str, Any],
) -> None:
    """Fill ``folder`` with a checkpoint; the artifact store seals it."""
    from towpath.model.weights import save_weights

    save_weights(model, folder / _WEIGHTS)
    (folder / _MODEL).write_bytes(readable_json(model.config.model_dump(mode="json")))
    tokenizer.save(folder)
    digests: dict[str, Any] = {"tokenizer_sha256": tokenizer.sha256, "template_sha256": None}
    if template is not None:
        template.save(folder)
        digests["template_sha256"] = template.sha256
    (folder / _FACTS).write_bytes(readable_json({**digests, **facts}))
