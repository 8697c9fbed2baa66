"""What a run will take, counted before anything is spent."""

from __future__ import annotations

from towpath.recipes.run_config import RunConfig

_BYTES_A_PARAMETER = 16
"""fp32 weights, gradients and AdamW's two moments: 4 bytes each."""


def sizes(config: RunConfig) -> dict[str, int]:
    """Parameters, tokens, floating-point operations and bytes of the pre-training of ``config``."""
    from towpath.model.size import count_parameters, flops_per_token

    train = config.train
    model = config.model.for_tokenizer(config.tokenizer.vocab_size + len(train.objective.special_tokens))
    samples = train.batch_size * train.gradient_accumulation_steps
    tokens = samples * model.n_positions * train.max_steps
    parameters = count_parameters(model)
    flops = tokens * flops_per_token(model)
    return {
        "parameters": parameters,
        "steps": train.max_steps,
        "tokens_a_step": samples * model.n_positions,
        "tokens": tokens,
        "floating_point_operations": int(flops),
        "bytes_of_weights_and_optimizer": parameters * _BYTES_A_PARAMETER,
        "bytes_of_a_checkpoint": parameters * (_BYTES_A_PARAMETER - 4),
    }
