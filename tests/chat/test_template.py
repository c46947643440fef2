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


@pytest.mark.parametrize(
    "word",
    [
        "'a' | indent(20000000, true)",
        "('a\n' * 1000) | indent(9000)",
        "'a' | indent('ab' * 400000 ~ 'c' * 400000, true)",
        "('a' * 10000) | replace('a', 'b' * 10000)",
        "('a' * 10000).replace('a', 'b' * 10000)",
        "('a' * 10000).replace('', 'b' * 10000)",
        "range(10000) | join('b' * 10000)",
        "('b' * 10000).join('a' * 10000)",
        "([('b' * 10000)] * 10000) | join",
        "messages | map(attribute='role') | list | join('b' * 600000)",
        "('\t' * 10000).expandtabs(10000)",
        "('\t' * 10000).expandtabs(tabsize=10000)",
        "'a'.expandtabs(tabsize=20000000)",
        "('a' * 10000).translate({97: 'b' * 10000})",
        "'{:{w}}'.format('x', w=20000000)",
        "'{:{w}}'.format('x', w=999999)",
        "('{0}' * 10000).format('b' * 10000)",
        "('%s' * 100) % (('b' * 50000,) * 100)",
        "[1] | tojson(indent=9000000)",
        "range(9) | list | tojson(separators=('b' * 100, ':'))",
        "'a' | wordwrap(1, wrapstring='b' * 10000)",
        "lipsum(n=10000)",
    ],
)
def test_no_short_word_makes_a_long_value(word) -> None:
    turns = [{"role": "user", "content": "hi"}] * 3
    with pytest.raises(DataError):
        ChatTemplate("{{ (" + word + ") | length }}").render(turns)


def test_what_templates_of_models_do_with_texts_goes_on() -> None:
    long = "x" * 3_000_000
    turns = [{"role": "user", "content": long}, {"role": "assistant", "content": "a\nb"}]
    written = {
        "messages[0].content | replace('x', 'y') | length": "3000000",
        "messages | map(attribute='content') | join('; ') | length": "3000005",
        "messages | join(', ', attribute='role')": "user, assistant",
        "', '.join(['a', 'b'])": "a, b",
        "messages[1].content | indent(2, true)": "  a\n  b",
        "messages[1].content.replace('a', 'c')": "c\nb",
        "'aaa' | replace('a', 'b', 2)": "bba",
        "[{'a': 1}] | tojson(indent=4)": '[\n    {\n        "a": 1\n    }\n]',
        "'{} and {:>4}'.format('a', 'b')": "a and    b",
        "'%s-%d' % ('a', 3)": "a-3",
        "nothing | join(', ')": "",
    }
    for word, text in written.items():
        assert ChatTemplate("{{ " + word + " }}").render(turns) == text
