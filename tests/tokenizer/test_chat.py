from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from towpath.core.errors import TokenizerError
from towpath.data import Message
from towpath.tokenizer import ByteTokenizer, ChatTemplate, RoleTemplate, save_for_transformers

from .doubles import SENTENCES, texts

CHATML = ChatTemplate(
    begin="",
    end_of_turn="<|im_end|>",
    roles={
        role: RoleTemplate(prefix=f"<|im_start|>{role}\n", suffix="<|im_end|>\n")
        for role in ("system", "user", "assistant")
    },
)
CHAT = [
    Message("system", "Be brief."),
    Message("user", "Where is the lock?"),
    Message("assistant", "By the mill."),
    Message("user", "Thanks!"),
    Message("assistant", "Safe journey."),
]


def conversations() -> st.SearchStrategy[list[Message]]:
    roles = st.sampled_from(["system", "user", "assistant"])
    return st.lists(st.builds(Message, role=roles, content=texts()), max_size=5)


def rendered_by_jinja(template: ChatTemplate, messages: list[Message], add_generation_prompt: bool) -> str:
    def raise_exception(text: str) -> None:
        raise ValueError(text)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = raise_exception
    turns = [{"role": message.role, "content": message.content} for message in messages]
    return environment.from_string(template.to_jinja()).render(
        messages=turns, add_generation_prompt=add_generation_prompt
    )


@pytest.mark.parametrize("template", [ChatTemplate(), CHATML], ids=["own", "chatml"])
def test_a_model_learns_what_the_assistant_says_and_to_end_its_turn_and_nothing_else(template):
    tokenizer = ByteTokenizer().with_special_tokens(["<|im_start|>", "<|im_end|>"])
    rendered = template.render(CHAT, tokenizer)
    learned = [number for number, trained in zip(rendered.ids, rendered.trained, strict=True) if trained]
    assert (
        tokenizer.decode(learned) == f"By the mill.{template.end_of_turn}Safe journey.{template.end_of_turn}"
    )
    assert tokenizer.decode(rendered.ids) == template.render_text(CHAT)


def test_the_default_template_reads_as_expected(tokenizer):
    text = "<|endoftext|><|user|>Hi<|end|><|assistant|>"
    messages = [Message("user", "Hi")]
    assert ChatTemplate().render_text(messages, add_generation_prompt=True) == text
    rendered = ChatTemplate().render(messages, tokenizer, add_generation_prompt=True)
    assert tokenizer.decode(rendered.ids) == text
    assert rendered.ids[-1] == tokenizer.special["<|assistant|>"]
    assert not any(rendered.trained)


@given(messages=conversations())
@settings(max_examples=40, deadline=None)
def test_nothing_that_anyone_says_becomes_a_special_token(tokenizer, messages):
    rendered = ChatTemplate().render(messages, tokenizer)
    special = [number for number in rendered.ids if number in tokenizer.special.values()]
    end = tokenizer.special["<|end|>"]
    expected = [tokenizer.end_of_text]
    for message in messages:
        expected += [tokenizer.special[f"<|{message.role}|>"], end]
    assert special == expected
    assert tokenizer.decode(rendered.ids) == ChatTemplate().render_text(messages)


@given(messages=conversations(), add_generation_prompt=st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_jinja_export_renders_the_same_text(messages, add_generation_prompt):
    for template in (ChatTemplate(), CHATML):
        expected = template.render_text(messages, add_generation_prompt)
        assert rendered_by_jinja(template, messages, add_generation_prompt) == expected


@given(prefix=texts(), suffix=texts(), begin=texts())
@settings(max_examples=40, deadline=None)
def test_the_jinja_export_holds_whatever_a_template_says(prefix, suffix, begin):
    role = RoleTemplate(prefix=prefix + "'\\{{}} {% if %} 🚢", suffix="<|end|>" + suffix)
    template = ChatTemplate(begin=begin, roles={"assistant": role})
    messages = [Message("assistant", "So be it.")]
    assert rendered_by_jinja(template, messages, True) == template.render_text(messages, True)


def test_transformers_renders_and_encodes_a_chat_alike(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    template = ChatTemplate()
    save_for_transformers(tmp_path, tokenizer, template)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    turns = [{"role": message.role, "content": message.content} for message in CHAT]
    for messages, plain in ((CHAT, turns), (CHAT[:2], turns[:2])):
        for prompt in (False, True):
            ids = theirs.apply_chat_template(plain, add_generation_prompt=prompt, return_dict=False)
            assert ids == template.render(messages, tokenizer, prompt).ids
    assert (theirs.eos_token_id, theirs.pad_token_id) == (tokenizer.special["<|end|>"], tokenizer.pad)
    assert theirs.decode(tokenizer.encode(SENTENCES[3])) == SENTENCES[3]


def test_a_base_model_is_saved_for_transformers_without_a_template(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    save_for_transformers(tmp_path, tokenizer)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs.eos_token_id == tokenizer.end_of_text
    assert theirs.chat_template is None


def test_a_saved_template_loads_as_the_same_one(tmp_path):
    CHATML.save(tmp_path)
    assert ChatTemplate.load(tmp_path) == CHATML
    assert ChatTemplate.load(tmp_path / "chat_template.json").sha256 == CHATML.sha256
    assert ChatTemplate().sha256 != CHATML.sha256


def test_a_missing_or_broken_template_is_named(tmp_path):
    with pytest.raises(TokenizerError, match=r"There is no chat template at .*chat_template\.json"):
        ChatTemplate.load(tmp_path)
    (tmp_path / "chat_template.json").write_text('{"rolls": {}}')
    with pytest.raises(TokenizerError, match=r"chat_template\.json is not a chat template"):
        ChatTemplate.load(tmp_path)


def test_an_unknown_role_is_named_with_its_place_and_the_nearest(tokenizer):
    messages = [Message("user", "Hi"), Message("asistant", "Hello")]  # type: ignore[arg-type]
    with pytest.raises(TokenizerError, match="Message 1 has the role 'asistant'. Did you mean 'assistant'?"):
        ChatTemplate().render(messages, tokenizer)
    with pytest.raises(ValueError, match="unknown role: asistant"):
        rendered_by_jinja(ChatTemplate(), messages, False)


def test_a_template_whose_end_of_turn_the_tokenizer_lacks_is_refused(tokenizer):
    with pytest.raises(TokenizerError, match=r"<\|im_end\|>, which is no special token of the tokenizer"):
        CHATML.render(CHAT, tokenizer)


def test_a_template_from_which_no_model_would_learn_to_stop_is_refused():
    roles = {"assistant": RoleTemplate(prefix="<|assistant|>", suffix="\n")}
    with pytest.raises(ValueError, match="so a model would never learn to stop"):
        ChatTemplate(roles=roles)
    with pytest.raises(ValueError, match="roles has no 'assistant'"):
        ChatTemplate(roles={})
