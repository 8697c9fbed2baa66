"""Chat templates as data: what stands before and after each role's turn.

Comes in: messages with a role and a content. Goes out: token ids, with the ids that a model should
learn to say marked: an assistant's content and the token that ends its turn. Contents are encoded
as plain text, so nobody can write a special token into a conversation. For other programs the same
template is exported as Jinja; they encode the rendered text as a whole, and some of them do not
tell a special token from its name in a message.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from pydantic import ValidationError, model_validator

from towpath.core.config import Section
from towpath.core.errors import TokenizerError, did_you_mean
from towpath.core.files import canonical_json, readable_json, write_durably
from towpath.tokenizer.tokenizer import END_OF_TEXT, PAD, Tokenizer

TEMPLATE_FILE = "chat_template.json"
ASSISTANT = "assistant"


class Turn(Protocol):
    """One message of a conversation, such as ``towpath.data.Message``."""

    @property
    def role(self) -> str:
        """A role of the template: system, user or assistant."""
        ...

    @property
    def content(self) -> str:
        """What was said."""
        ...


@dataclass
class Rendered:
    """A conversation as ids; ``trained[i]`` says whether a model should learn to say ``ids[i]``."""

    ids: list[int] = field(default_factory=list)
    trained: list[bool] = field(default_factory=list)

    def add(self, ids: Iterable[int], *, trained: bool = False) -> None:
        """Append ``ids``."""
        before = len(self.ids)
        self.ids.extend(ids)
        self.trained.extend([trained] * (len(self.ids) - before))


class RoleTemplate(Section):
    """What stands around one role's content. Special tokens are written by name."""

    prefix: str
    """Stands before the content."""
    suffix: str
    """Stands after it."""


def _default_roles() -> dict[str, RoleTemplate]:
    return {
        role: RoleTemplate(prefix=f"<|{role}|>", suffix="<|end|>") for role in ("system", "user", ASSISTANT)
    }


class ChatTemplate(Section):
    """How a conversation becomes one sequence of tokens."""

    begin: str = END_OF_TEXT
    """Stands before the first turn; in pre-training each document follows this token."""
    end_of_turn: str = "<|end|>"
    """The special token that ends an assistant's turn; generation stops at it."""
    roles: dict[str, RoleTemplate] = _default_roles()
    """Prefix and suffix of each role."""

    @model_validator(mode="after")
    def _the_assistant_ends_its_turns(self) -> Self:
        if ASSISTANT not in self.roles:
            raise ValueError(f"roles has no {ASSISTANT!r}; its turns are what a model learns.")
        suffix = self.roles[ASSISTANT].suffix
        if not self.end_of_turn or not suffix.startswith(self.end_of_turn):
            raise ValueError(
                f"roles.{ASSISTANT}.suffix = {suffix!r} does not begin with end_of_turn = "
                f"{self.end_of_turn!r}, so a model would never learn to stop."
            )
        return self

    @classmethod
    def load(cls, path: Path) -> ChatTemplate:
        """Read ``path``, a chat_template.json or the folder that holds it.

        Raises:
            TokenizerError: it is not there or not a template.
        """
        file = path / TEMPLATE_FILE if path.is_dir() else path
        try:
            return cls.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            raise TokenizerError(f"There is no chat template at {file}.") from None
        except ValidationError as error:
            raise TokenizerError(f"{file} is not a chat template: {error}") from None

    def save(self, folder: Path) -> Path:
        """Write ``folder``/chat_template.json and return its path."""
        write_durably(folder / TEMPLATE_FILE, readable_json(self.model_dump()))
        return folder / TEMPLATE_FILE

    @property
    def sha256(self) -> str:
        """SHA-256 of the template, hexadecimal."""
        return hashlib.sha256(canonical_json(self.model_dump())).hexdigest()

    def end_of_turn_id(self, tokenizer: Tokenizer) -> int:
        """The id at which generation stops.

        Raises:
            TokenizerError: ``tokenizer`` has no such special token.
        """
        if self.end_of_turn not in tokenizer.special:
            raise TokenizerError(
                f"The chat template ends turns with {self.end_of_turn}, which is no special token of the "
                f"tokenizer; it has: {', '.join(tokenizer.special) or 'none'}. Use the template that belongs "
                "to the tokenizer, or Tokenizer.with_special_tokens()."
            )
        return tokenizer.special[self.end_of_turn]

    def render(
        self, messages: Sequence[Turn], tokenizer: Tokenizer, add_generation_prompt: bool = False
    ) -> Rendered:
        """The conversation as ids; with ``add_generation_prompt`` it ends where the assistant is to speak.

        Raises:
            TokenizerError: a role that the template lacks, or a special token that the tokenizer lacks.
        """
        end_of_turn = self.end_of_turn_id(tokenizer)
        rendered = Rendered()
        rendered.add(_encode_with_special(self.begin, tokenizer))
        for place, message in enumerate(messages):
            role = self._role(message.role, place)
            spoken = message.role == ASSISTANT
            rendered.add(_encode_with_special(role.prefix, tokenizer))
            rendered.add(tokenizer.encode(message.content), trained=spoken)
            suffix = role.suffix
            if spoken:
                rendered.add([end_of_turn], trained=True)
                suffix = suffix.removeprefix(self.end_of_turn)
            rendered.add(_encode_with_special(suffix, tokenizer))
        if add_generation_prompt:
            rendered.add(_encode_with_special(self.roles[ASSISTANT].prefix, tokenizer))
        return rendered

    def render_text(self, messages: Sequence[Turn], add_generation_prompt: bool = False) -> str:
        """The conversation as text, special tokens by name: what the Jinja export renders too."""
        parts = [self.begin]
        for place, message in enumerate(messages):
            role = self._role(message.role, place)
            parts += [role.prefix, message.content, role.suffix]
        if add_generation_prompt:
            parts.append(self.roles[ASSISTANT].prefix)
        return "".join(parts)

    def _role(self, name: str, place: int) -> RoleTemplate:
        if name not in self.roles:
            raise TokenizerError(
                f"Message {place} has the role {name!r}.{did_you_mean(name, self.roles)} "
                f"The chat template knows: {', '.join(self.roles)}."
            )
        return self.roles[name]

    def to_jinja(self) -> str:
        """The same template for HF's tokenizer_config.json, and for programs that read it."""
        parts = [_jinja_text(self.begin), "{% for message in messages %}"]
        for place, (name, role) in enumerate(self.roles.items()):
            test = "elif" if place else "if"
            parts.append(f"{{% {test} message['role'] == {_jinja_string(name)} %}}")
            parts += [_jinja_text(role.prefix), "{{ message['content'] }}", _jinja_text(role.suffix)]
        parts.append("{% else %}{{ raise_exception('unknown role: ' + message['role']) }}{% endif %}")
        parts.append("{% endfor %}{% if add_generation_prompt %}")
        parts += [_jinja_text(self.roles[ASSISTANT].prefix), "{% endif %}"]
        return "".join(parts)


def save_for_transformers(folder: Path, tokenizer: Tokenizer, template: ChatTemplate | None = None) -> None:
    """Write tokenizer.json and a tokenizer_config.json from which AutoTokenizer loads both."""
    names = {number: name for name, number in tokenizer.special.items()}
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "eos_token": names[tokenizer.end_of_text],
    }
    if PAD in tokenizer.special:
        config["pad_token"] = PAD
    if template is not None:
        config |= {"eos_token": template.end_of_turn, "chat_template": template.to_jinja()}
    tokenizer.save(folder)
    write_durably(folder / "tokenizer_config.json", readable_json(config))


def _encode_with_special(text: str, tokenizer: Tokenizer) -> list[int]:
    """The ids of a template's own text, in which names of special tokens mean those tokens."""
    if not tokenizer.special:
        return tokenizer.encode(text)
    names = sorted(tokenizer.special, key=len, reverse=True)
    ids: list[int] = []
    for part in re.split(f"({'|'.join(map(re.escape, names))})", text):
        if part:  # between two special tokens there is nothing
            ids += [tokenizer.special[part]] if part in tokenizer.special else tokenizer.encode(part)
    return ids


def _jinja_text(text: str) -> str:
    return f"{{{{ {_jinja_string(text)} }}}}" if text else ""


def _jinja_string(text: str) -> str:
    """A Jinja string literal; Jinja reads the escapes of Python, so not those of JSON."""
    return "'" + text.encode("unicode_escape").decode("ascii").replace("'", "\\'") + "'"
