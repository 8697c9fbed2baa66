"""One dial: the depth of a model in; size, tokens, batch, learning rate and weight decay out.

- Width: 64 channels a layer, up to the next multiple of 128, heads of 128 channels, 32,768 ids, 2,048
  tokens of context: nanochat (github.com/karpathy/nanochat, scripts/base_train.py). Its layout has
  other details; here it is ``modern``.
- Tokens: 20 for each weight, those of the embedding counted (Hoffmann et al. 2022, arXiv:2203.15556,
  table 3).
- Batch and learning rate: powers of the compute C (DeepSeek LLM 2024, arXiv:2401.02954, equation 1),
  with C = tokens * (72 n_layer n_embd**2 + 12 n_layer n_embd n_positions), its equation 2. Fitted with
  AdamW from 10**17 to 2 * 10**19 operations and tried at 10**20; outside, it is an extrapolation.
- Weight decay: the span of steps over which AdamW averages its updates, 1 / (learning rate * weight
  decay), is the same share of the training at every depth (Wang and Aitchison 2024, arXiv:2405.13698);
  that share is the one that DeepSeek's weight decay of 0.1 has at depth 12 and 20 tokens a weight.

Deviations: the schedule is the cosine, where DeepSeek takes steps and finds no difference at the end;
warmup is its 2,000 steps, or a tenth of a shorter training.
"""

from __future__ import annotations

from dataclasses import dataclass

from towpath.core.errors import ConfigError
from towpath.data.config import DataConfig
from towpath.data.sources.files import FilesSource
from towpath.model.config import ModernConfig, round_up
from towpath.recipes.run_config import RunConfig
from towpath.tokenizer.config import TokenizerConfig
from towpath.train.config import TrainConfig

TOKENS_PER_PARAMETER = 20.0
MOST_LAYERS = 100
"""A deeper model is 6,400 wide and has 60 thousand million weights: no longer a matter of one dial."""

_WIDTH_PER_LAYER = 64
_HEAD_WIDTH = 128
_VOCABULARY = 32_768
_CONTEXT_TOKENS = 2048
_SEQUENCES_A_PASS = 4
_WARMUP_STEPS = 2000
_REFERENCE_DEPTH = 12
_REFERENCE_WEIGHT_DECAY = 0.1


@dataclass(frozen=True)
class Setting:
    """What one depth comes to."""

    depth: int
    model: ModernConfig
    parameters: int
    flops: float
    """Floating-point operations of the training, the embedding and the head left out."""
    batch_tokens: int
    """Tokens a step."""
    steps: int
    learning_rate: float
    weight_decay: float

    @property
    def tokens(self) -> int:
        """Tokens of the training."""
        return self.steps * self.batch_tokens


def setting(depth: int, tokens_per_parameter: float = TOKENS_PER_PARAMETER) -> Setting:
    """All numbers of a model of ``depth`` layers that sees so many tokens for each weight.

    Raises:
        ConfigError: ``depth`` or ``tokens_per_parameter`` is out of bounds.
    """
    if not 1 <= depth <= MOST_LAYERS:
        raise ConfigError(f"depth = {depth} is not between 1 and {MOST_LAYERS} layers. Try 12.")
    if not 0 < tokens_per_parameter <= 10_000:
        raise ConfigError(
            f"tokens per parameter = {tokens_per_parameter:g} is not above 0 and up to 10,000. Try 20."
        )
    found = _without_decay(depth, tokens_per_parameter)
    reference = _without_decay(_REFERENCE_DEPTH, TOKENS_PER_PARAMETER)
    share = found.learning_rate * found.steps / (reference.learning_rate * reference.steps)
    return Setting(**{**vars(found), "weight_decay": _rounded(_REFERENCE_WEIGHT_DECAY / share)})


def dialled(depth: int, tokens_per_parameter: float = TOKENS_PER_PARAMETER) -> RunConfig:
    """A run of one number, on your own text; see the module.

    Raises:
        ConfigError: see ``setting``.
    """
    found = setting(depth, tokens_per_parameter)
    return RunConfig(
        name=f"depth-{depth}",
        data=DataConfig(sources=(FilesSource(name="text", path="text"),)),
        tokenizer=TokenizerConfig(vocab_size=_VOCABULARY),
        model=found.model,
        train=TrainConfig(
            learning_rate=found.learning_rate,
            weight_decay=found.weight_decay,
            batch_size=_SEQUENCES_A_PASS,
            gradient_accumulation_steps=found.batch_tokens // (_SEQUENCES_A_PASS * _CONTEXT_TOKENS),
            max_steps=found.steps,
            warmup_steps=min(_WARMUP_STEPS, found.steps // 10),
        ),
    )


def model_of(depth: int) -> ModernConfig:
    """The model of ``depth`` layers."""
    width = round_up(_WIDTH_PER_LAYER * depth, _HEAD_WIDTH)
    return ModernConfig(n_positions=_CONTEXT_TOKENS, n_embd=width, n_layer=depth, n_head=width // _HEAD_WIDTH)


def _without_decay(depth: int, tokens_per_parameter: float) -> Setting:
    from towpath.model.size import count_parameters

    model = model_of(depth)
    parameters = count_parameters(model.for_tokenizer(_VOCABULARY))
    tokens = tokens_per_parameter * parameters
    width, layers = model.n_embd, model.n_layer
    flops = tokens * (72 * layers * width**2 + 12 * layers * width * _CONTEXT_TOKENS)
    a_pass = _SEQUENCES_A_PASS * _CONTEXT_TOKENS
    batch_tokens = max(1, round(0.2920 * flops**0.3271 / a_pass)) * a_pass
    return Setting(
        depth=depth,
        model=model,
        parameters=parameters,
        flops=flops,
        batch_tokens=batch_tokens,
        steps=max(1, round(tokens / batch_tokens)),
        learning_rate=_rounded(0.3118 * flops**-0.1250),
        weight_decay=_REFERENCE_WEIGHT_DECAY,
    )


def _rounded(number: float) -> float:
    """To three digits: more would pretend to know."""
    return float(f"{number:.3g}")
