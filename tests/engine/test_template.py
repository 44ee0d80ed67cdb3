"""Chat templates: rendered as ``transformers`` does, refused clearly, kept in the sandbox."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import pytest

from banyan.core.errors import InputError, UnsupportedModel
from banyan.core.types import Message
from banyan.engine.template import ChatTemplate

TALK = [
    Message(role="system", content="Be brief."),
    Message(role="user", content="你好 <b>"),
    Message(role="assistant", content="Hello."),
    Message(role="user", content="Why?"),
]
CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
STRICT = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set system = messages[0]['content'] -%}
    {%- set turns = messages[1:] -%}
{%- else -%}
    {%- set turns = messages -%}
{%- endif -%}
{%- for message in turns -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Roles must alternate user/assistant/user/...") }}
    {%- endif -%}
    {%- if loop.index0 > 99 -%}{% break %}{%- endif -%}
    {% generation %}[{{ message['role'] }}] {{ message['content'] | trim }}{% endgeneration %}
{%- endfor -%}
{{ {"text": "é"} | tojson }}{{ eos_token }}"""


def folder_with(folder: Path, template: object, **extra: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    config = {"chat_template": template, **extra}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def rendered_by_transformers(template: str, **tokens: str) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    turns = [{"role": turn.role, "content": turn.content} for turn in TALK]
    texts, _ = render_jinja_template(
        [turns], chat_template=template, add_generation_prompt=True, **tokens
    )
    return texts[0]


@pytest.mark.parametrize("template", [CHATML, STRICT])
def test_a_conversation_reads_as_transformers_writes_it(tmp_path, template):
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    folder = folder_with(tmp_path, template, bos_token="<s>", eos_token={"content": "</s>"})
    expected = rendered_by_transformers(template, **tokens)
    assert ChatTemplate.load(folder).render(TALK) == expected
    assert "<b>" in expected


def test_a_template_file_of_its_own_wins_over_the_config(tmp_path):
    folder = folder_with(tmp_path, "from config")
    (folder / "chat_template.jinja").write_text("from file")
    assert ChatTemplate.load(folder).render(TALK) == "from file"


def test_of_several_named_templates_the_default_is_used(tmp_path):
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]
    assert ChatTemplate.load(folder_with(tmp_path, named)).render(TALK) == "plain"


def test_the_template_of_a_gguf_file_knows_its_tokens(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    writer.add_token_list(["<unk>", "<s>", "</s>"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    template = ChatTemplate.load(tmp_path / "x.gguf")
    assert template.render(TALK) == "<s>Be brief.</s>"


def test_a_model_without_a_template_is_said_to_know_no_turns(tmp_path):
    folder = folder_with(tmp_path, None)
    with pytest.raises(UnsupportedModel, match="no chat template"):
        ChatTemplate.load(folder)


def test_a_broken_template_is_the_models_fault():
    with pytest.raises(UnsupportedModel, match="cannot be read"):
        ChatTemplate("{% for %}")


@pytest.mark.parametrize(
    "template", ["{{ raise_exception('Only one turn.') }}", "{{ 1 / 0 }}", "{{ nothing.at.all }}"]
)
def test_a_conversation_the_template_refuses_is_the_callers_to_mend(template):
    with pytest.raises(InputError, match="refuses") as failure:
        ChatTemplate(template).render(TALK)
    assert failure.value.remedy


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{% for i in range(10**9) %}x{% endfor %}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(template):
    with pytest.raises(InputError):
        ChatTemplate(template).render(TALK)


@pytest.mark.models
def test_the_packaged_model_introduces_itself(models_home):
    template = ChatTemplate.load(models_home / "models" / "smollm2-135m-instruct")
    text = template.render([Message(role="user", content="Hi")])
    assert text.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert text.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
