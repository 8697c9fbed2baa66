"""A run small enough for a test: a made-up corpus with chats, a few thousand weights, seconds of work."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

WORDS = """
river boat lock gate water path walk green old stone bridge morning rain quiet bird horse rope pull slow
the a and of to in it is was for on with as at by from they we you this that which who when near under
""".split()


def sentence(rng: random.Random) -> str:
    words = [rng.choice(WORDS) for _ in range(rng.randint(6, 14))]
    return " ".join(words).capitalize() + "."


def write_corpus(folder: Path) -> None:
    rng = random.Random(5)
    (folder / "prose").mkdir(parents=True)
    for number in range(60):
        text = "\n".join(sentence(rng) for _ in range(rng.randint(8, 16)))
        (folder / "prose" / f"{number:03d}.txt").write_text(text)
    rows = []
    for _ in range(60):
        turns = [
            {"role": role, "content": sentence(rng)} for role in ("user", "assistant", "user", "assistant")
        ]
        rows.append({"text": "\n".join(turn["content"] for turn in turns), "messages": turns})
    (folder / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def run_file(corpus: Path) -> str:
    return f"""
name = "micro"
seed = 3
[data]
validation_share = 0.1
filters = [{{ type = "length", min_chars = 40 }}]
near_duplicates = {{ enabled = true }}
[[data.sources]]
type = "files"
name = "prose"
path = "{corpus / "prose"}"
[[data.sources]]
type = "files"
name = "chats"
path = "{corpus / "chats.jsonl"}"
domain = "chat"
[tokenizer]
vocab_size = 400
shard_tokens = 4000
[model]
type = "modern"
n_positions = 96
n_embd = 32
n_layer = 2
n_head = 2
[train]
learning_rate = 3e-3
optimizer = {{ type = "muon" }}
schedule = {{ type = "wsd" }}
batch_size = 4
gradient_accumulation_steps = 2
max_steps = 30
warmup_steps = 3
save_steps = 3
eval_steps = 10
log_steps = 1
threads = 1
[tune.sft]
learning_rate = 1e-3
batch_size = 4
max_steps = 12
save_steps = 3
eval_steps = 6
"""


@pytest.fixture(scope="session")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of a run file with its corpus beside it."""
    folder = tmp_path_factory.mktemp("micro")
    write_corpus(folder)
    (folder / "micro.toml").write_text(run_file(folder))
    return folder / "micro.toml"
