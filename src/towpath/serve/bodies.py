"""Bodies of requests: what each field means, its range, and what happens to fields not implemented.

- A field that does not exist is refused, with the nearest name offered.
- A field of OpenAI's API that this server does not implement is accepted while it asks for nothing
  (``n = 1``, ``logprobs = null``) and refused otherwise: it is never dropped in silence.
- A field that never changes an answer (``user``, ``metadata`` …) is accepted and not used.

Values are taken strictly: ``"100"`` and ``true`` are no numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from towpath.core.errors import did_you_mean

MAX_STOPS = 4
MAX_SHOWN_CHARS = 80
SEED_BOUND = 1 << 63


@dataclass(frozen=True)
class Within:
    """A number from ``low`` to ``high``, or above ``low`` when ``above``."""

    low: float
    high: float
    above: bool = False

    def check(self, value: float) -> float:
        """``value``, or the error that names the range."""
        if (self.low < value if self.above else self.low <= value) and value <= self.high:
            return value
        start = f"above {self.low} and at most" if self.above else f"from {self.low} to"
        raise PydanticCustomError(
            "out_of_range", "must be {range}; it is {value}", self._context(start, value)
        )

    def _context(self, start: str, value: float) -> dict[str, Any]:
        return {"range": f"{start} {self.high}", "value": str(value)[:MAX_SHOWN_CHARS]}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        low = {"exclusiveMinimum" if self.above else "minimum": self.low}
        return {**handler(schema), **low, "maximum": self.high}


class Only:
    """A field that is not implemented: absent, null or one of ``values``, which ask for nothing."""

    def __init__(self, *values: Any) -> None:
        self.values = (None, *values)

    def check(self, value: Any) -> Any:
        """``value``, or the error that says to leave it out."""
        if any(
            value == known and isinstance(value, bool) == isinstance(known, bool) for known in self.values
        ):
            return value
        raise PydanticCustomError("not_supported", "is not supported by this server; leave it out")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"enum": list(self.values)}


def whole_characters(text: str) -> str:
    """``text``, or the error for half of a surrogate pair, which JSON can carry and no text can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        message = "holds half of a surrogate pair at character {position}; send whole characters"
        raise PydanticCustomError("bad_text", message, {"position": error.start}) from error
    return text


Text = Annotated[str, AfterValidator(whole_characters)]


class Body(BaseModel):
    """A request's body."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, data: Any) -> Any:
        for name in data if isinstance(data, dict) else ():
            if name not in cls.model_fields:
                hint = did_you_mean(str(name), cls.model_fields)
                raise PydanticCustomError(
                    "unknown_field",
                    "Unknown field {shown}.{hint}",
                    {"shown": ascii(name)[:MAX_SHOWN_CHARS], "hint": hint},
                )
        return data


class GenerateBody(Body):
    """``POST /generate``, as in the specification."""

    prompt: Text
    """Text to continue."""
    max_length: int | None = None
    """Most tokens, prompt included, as in the specification. Absent: 100, or 100 more than a prompt
    that is as long as that."""
    temperature: Annotated[float, Within(0, 2)] = 0.8
    """0 takes the likeliest token every time."""


class StreamOptions(Body):
    """What a stream carries besides text."""

    include_usage: bool = False
    """Send the token counts in a last chunk."""
    include_obfuscation: Annotated[Any, Only(False)] = None


class SamplingBody(Body):
    """What completions and chats have in common."""

    model: str | None = None
    """Id or name of the model, as /v1/models lists it; the one being served when absent."""
    max_tokens: int | None = None
    """Most tokens to make: from 1 to what the context leaves."""
    temperature: Annotated[float, Within(0, 2)] | None = None
    """0 takes the likeliest token every time; 1 when absent."""
    top_p: Annotated[float, Within(0, 1, above=True)] | None = None
    """Sample from the likeliest tokens that hold this share of the probability."""
    top_k: Annotated[int, Within(1, 1_000_000)] | None = None
    """Sample from this many of the likeliest tokens (not in OpenAI's API)."""
    repetition_penalty: Annotated[float, Within(0.1, 10)] | None = None
    """Above 1, tokens that were there before become less likely (not in OpenAI's API)."""
    seed: Annotated[int, Within(-SEED_BOUND, SEED_BOUND - 1)] | None = None
    """The same request with the same seed gets the same answer."""
    stop: Text | list[Text] | None = None
    """Up to 4 texts that end the answer, which does not hold them."""
    stream: bool | None = None
    """Send the answer as server-sent events while it is made."""
    stream_options: StreamOptions | None = None
    """Only with ``stream``."""

    n: Annotated[Any, Only(1)] = None
    frequency_penalty: Annotated[Any, Only(0)] = None
    presence_penalty: Annotated[Any, Only(0)] = None
    logit_bias: Annotated[Any, Only({})] = None

    user: Any = None
    """Not used."""

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop texts."""
        return tuple([self.stop] if isinstance(self.stop, str) else self.stop or ())

    @model_validator(mode="after")
    def _stops_and_stream(self) -> SamplingBody:
        if len(self.stops) > MAX_STOPS or "" in self.stops:
            raise PydanticCustomError(
                "bad_stop", "stop: takes up to {most} texts, none of them empty", {"most": MAX_STOPS}
            )
        if self.stream_options is not None and not self.stream:
            raise PydanticCustomError("bad_stream_options", "stream_options: is for stream = true only")
        return self


class CompletionBody(SamplingBody):
    """``POST /v1/completions``."""

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=1)]
    """Text to continue, or a list of one."""

    best_of: Annotated[Any, Only(1)] = None
    echo: Annotated[Any, Only(False)] = None
    logprobs: Annotated[Any, Only()] = None
    suffix: Annotated[Any, Only("")] = None


class TextPart(Body):
    """A part of a message's content."""

    type: Literal["text"]
    text: Text


class ChatMessage(Body):
    """One turn."""

    role: str
    """system, user or assistant: a role of the model's chat template."""
    content: Text | list[TextPart]
    """The text, or parts of it, which are joined."""

    name: Annotated[Any, Only()] = None
    annotations: Annotated[Any, Only([])] = None
    audio: Annotated[Any, Only()] = None
    function_call: Annotated[Any, Only()] = None
    refusal: Annotated[Any, Only()] = None
    tool_calls: Annotated[Any, Only([])] = None

    @property
    def text(self) -> str:
        """The content as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatBody(SamplingBody):
    """``POST /v1/chat/completions``."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    """The turns so far, oldest first."""
    max_completion_tokens: int | None = None
    """OpenAI's newer name of ``max_tokens``."""

    audio: Annotated[Any, Only()] = None
    functions: Annotated[Any, Only([])] = None
    function_call: Annotated[Any, Only("none", "auto")] = None
    logprobs: Annotated[Any, Only(False)] = None
    modalities: Annotated[Any, Only(["text"])] = None
    parallel_tool_calls: Annotated[Any, Only(False, True)] = None
    prediction: Annotated[Any, Only()] = None
    reasoning_effort: Annotated[Any, Only("none")] = None
    response_format: Annotated[Any, Only({"type": "text"})] = None
    tools: Annotated[Any, Only([])] = None
    tool_choice: Annotated[Any, Only("none", "auto")] = None
    top_logprobs: Annotated[Any, Only(0)] = None
    verbosity: Annotated[Any, Only()] = None
    web_search_options: Annotated[Any, Only()] = None

    metadata: Any = None
    """Not used."""
    prompt_cache_key: Any = None
    """Not used."""
    safety_identifier: Any = None
    """Not used."""
    service_tier: Any = None
    """Not used."""
    store: Any = None
    """Not used."""

    @model_validator(mode="after")
    def _one_limit(self) -> ChatBody:
        if None not in (self.max_tokens, self.max_completion_tokens):
            raise PydanticCustomError(
                "two_limits", "max_tokens: is the same setting as max_completion_tokens; give one of them"
            )
        return self
