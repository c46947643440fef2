"""Chat templates in a sandbox, as transformers renders them."""

import pytest

pytest.importorskip("jinja2")

from bakeoff.chat.template import ChatTemplate
from bakeoff.core.errors import DataError

CHATML = """{% for message in messages %}{% if message.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}
<|im_start|>{{ message['role'] }}
{{ message['content'] | trim }}<|im_end|>
{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}"""


def test_templates_render_in_a_sandbox() -> None:
    template = ChatTemplate(CHATML, tokens={"bos_token": "<s>"})
    turns = [{"role": "user", "content": " hi <b>{{ 7 }}</b> "}, {"role": "assistant", "content": "yes"}]
    assert template.render(turns) == (
        "<|im_start|>user\nhi <b>{{ 7 }}</b><|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n"
    )
    assert template.render(turns[:1], answer=True).endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert (
        ChatTemplate("{{ bos_token }}{{ messages | tojson }}", tokens={"bos_token": "<s>"}).render(
            [{"role": "user", "content": 'é"<'}]
        )
        == '<s>[{"role": "user", "content": "é\\"<"}]'
    )
    with pytest.raises(DataError, match="no tools"):
        template.render([{"role": "tool", "content": "x"}])
    with pytest.raises(DataError, match="Jinja"):
        ChatTemplate("{% for %}")
    with pytest.raises(DataError, match="unsafe"):
        ChatTemplate("{{ messages.__class__.__mro__ }}").render([])


def test_marks_for_trainers_write_nothing() -> None:
    marked = "{% for m in messages %}{%- generation -%} {{ m.content }} {%- endgeneration -%}\n {% endfor %}"
    assert ChatTemplate(marked).render([{"role": "assistant", "content": "yes"}]) == "yes"


@pytest.mark.parametrize(
    "source", [CHATML, "{{- bos_token }}{% generation %}\n{{ messages[0].content }}\n{% endgeneration %}\nx"]
)
def test_what_transformers_renders_is_rendered_here(source) -> None:
    utilities = pytest.importorskip("transformers.utils.chat_template_utils")
    turns = [{"role": "user", "content": " hi\n"}, {"role": "assistant", "content": "yes"}]
    theirs, _ = utilities.render_jinja_template(
        [turns], chat_template=source, add_generation_prompt=True, bos_token="<s>"
    )
    assert ChatTemplate(source, tokens={"bos_token": "<s>"}).render(turns, answer=True) == theirs[0]
