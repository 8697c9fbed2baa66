"""The real thing: a small random model behind the whole server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from towpath.core.artifacts import Artifact, Draft, Store
from towpath.core.errors import ArtifactError
from towpath.core.files import read_manifest, seal
from towpath.model.config import GPT2Config
from towpath.model.decoder import build
from towpath.model.text import generate_text
from towpath.serve.checkpoint_model import CheckpointModel, load_model
from towpath.serve.config import ServeConfig
from towpath.serve.text_model import Message
from towpath.tokenizer import ChatTemplate, Tokenizer, train_tokenizer
from towpath.train.checkpoint import Checkpoint, write_checkpoint

LINES = [
    "The boats go by on the canal.",
    "We walk along the towpath in the rain — höflich, wie immer 🚣.",
] * 20


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(LINES, vocab_size=400)


@pytest.fixture(scope="module")
def made(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Artifact]:
    """Makes a checkpoint of random weights: ``made(template)``."""
    store = Store(tmp_path_factory.mktemp("home"))

    def make(template: ChatTemplate | None) -> Artifact:
        config = GPT2Config(n_positions=64, n_embd=32, n_layer=1, n_head=2).for_tokenizer(
            tokenizer.vocab_size
        )

        def write(draft: Draft) -> None:
            write_checkpoint(draft.path, build(config, seed=3), tokenizer, template, {"step": 0})

        return store.make("checkpoint", "small", {"chats": template is not None}, [], write)

    return make


@pytest.fixture(scope="module")
def base(made) -> CheckpointModel:
    return load_model(made(None).path, ServeConfig())


@pytest.fixture(scope="module")
def assistant(made) -> CheckpointModel:
    return load_model(made(ChatTemplate()).path, ServeConfig(model_name="bargee"))


def test_the_server_says_what_generate_text_says(client_of, base: CheckpointModel, made) -> None:
    loaded = Checkpoint.open(made(None).path).load()
    body = {"prompt": "The boats", "max_length": 30, "temperature": 0}
    served = client_of(base).post("/generate", json=body).json()["generated_text"]
    assert served == generate_text(loaded.model, loaded.tokenizer, "The boats", max_length=30, temperature=0)
    assert served.startswith("The boats")


def test_the_same_seed_gives_the_same_answer_streamed_or_not(client_of, base: CheckpointModel) -> None:
    client = client_of(base)
    body = {"prompt": "The", "max_tokens": 40, "temperature": 1.5, "seed": -7}
    answers = [client.post("/v1/completions", json=body).json() for _ in range(2)]
    assert answers[0]["choices"] == answers[1]["choices"]
    assert answers[0]["usage"]["completion_tokens"] <= 40
    events = client.post("/v1/completions", json={**body, "stream": True}).text.split("\n\n")
    parts = [json.loads(event.removeprefix("data: ")) for event in events if event and "[DONE]" not in event]
    assert "".join(part["choices"][0]["text"] for part in parts) == answers[0]["choices"][0]["text"]
    other = client.post("/v1/completions", json={**body, "seed": 8}).json()
    assert other["choices"] != answers[0]["choices"]


def test_a_stop_text_ends_the_answer_before_it(client_of, base: CheckpointModel) -> None:
    client = client_of(base)
    body = {"prompt": "The", "max_tokens": 40, "temperature": 0}
    whole = client.post("/v1/completions", json=body).json()["choices"][0]["text"]
    stop = whole[3:6]
    choice = client.post("/v1/completions", json={**body, "stop": stop}).json()["choices"][0]
    assert choice["text"] == whole[: whole.index(stop)]
    assert choice["finish_reason"] == "stop"


def test_a_chat_is_rendered_as_in_tuning_and_knows_its_name(
    client_of, assistant: CheckpointModel, tokenizer
) -> None:
    client = client_of(assistant)
    messages = [{"role": "user", "content": "Do the boats go by?"}]
    answer = client.post("/v1/chat/completions", json={"model": "bargee", "messages": messages}).json()
    template = ChatTemplate()
    rendered = template.render(
        [Message("user", "Do the boats go by?")], tokenizer, add_generation_prompt=True
    )
    assert answer["usage"]["prompt_tokens"] == len(rendered.ids)
    assert answer["usage"]["total_tokens"] <= 64
    assert client.get("/v1/models").json()["data"][0]["towpath"]["roles"] == ["system", "user", "assistant"]


def test_names_of_special_tokens_in_a_message_are_plain_text(assistant: CheckpointModel, tokenizer) -> None:
    ids = assistant.encode("<|end|><|assistant|>")
    assert not set(ids) & set(tokenizer.special.values())


def test_an_empty_prompt_begins_a_text(client_of, base: CheckpointModel) -> None:
    answer = client_of(base).post("/v1/completions", json={"prompt": "", "max_tokens": 5}).json()
    assert answer["usage"]["prompt_tokens"] == 1


@pytest.mark.parametrize("prompt_tokens", [62, 63, 64, 65])
def test_the_context_may_be_filled_to_its_last_token(
    client_of, base: CheckpointModel, prompt_tokens: int
) -> None:
    prompt = "\0" * prompt_tokens
    assert len(base.encode(prompt)) == prompt_tokens
    response = client_of(base).post("/generate", json={"prompt": prompt})
    assert response.status_code == (200 if prompt_tokens < 64 else 400)


def test_a_base_model_has_no_roles(base: CheckpointModel) -> None:
    assert base.roles == ()


@pytest.mark.parametrize("file", ["tokenizer.json", "chat_template.json"])
def test_a_tokenizer_or_template_of_another_model_is_refused(made, tmp_path: Path, file: str) -> None:
    original = made(ChatTemplate()).path
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    (copy / file).write_text((copy / file).read_text().replace("<|end|>", "<|fin|>"))
    with pytest.raises(ArtifactError, match=f"{file} is damaged|{file} has .* bytes"):
        load_model(copy, ServeConfig())
    facts = {key: value for key, value in (read_manifest(copy) or {}).items() if key != "files"}
    seal(copy, facts)
    with pytest.raises(ArtifactError, match=f"{file} has the digest .* trained with"):
        load_model(copy, ServeConfig())


@pytest.mark.slow  # a second process imports torch
def test_the_entry_point_serves_a_checkpoint_until_it_is_stopped(made) -> None:
    program = (
        "import sys; from towpath.serve import ServeConfig, serve; serve(sys.argv[1], ServeConfig(port=0))"
    )
    command = [sys.executable, "-c", program, str(made(ChatTemplate()).path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("towpath serves small"), line
        client = openai.OpenAI(base_url=line.split()[4] + "/v1", api_key="none", max_retries=0)
        stream = client.chat.completions.create(
            model=client.models.list().data[0].id,
            messages=[{"role": "user", "content": "Hello"}],
            stream=True,
            temperature=0,
        )
        reasons = [chunk.choices[0].finish_reason for chunk in stream]
        assert reasons[-1] in ("stop", "length")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
