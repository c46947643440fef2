"""Tests for `bakeoff.chat.prompt_file`: what a prompt file says, and what is refused in it."""

import pytest

from bakeoff.chat.prompt_file import parsed
from bakeoff.chat.prompts import filled
from bakeoff.core.errors import ConfigError

BOTH = """system:
Answer with JSON like {"page": "billing"}.

user:
Subject: {{ subject }}
Keep {braces} and {{body}}.
"""


def test_a_prompt_says_what_system_and_user_say() -> None:
    prompt = parsed("p.md", BOTH)
    assert prompt.system == 'Answer with JSON like {"page": "billing"}.'
    assert prompt.variables == (("subject", 5), ("body", 6))
    assert prompt.template is not None
    said = filled(prompt.template, {"subject": "{x}", "body": "{{subject}}"})
    assert said == "Subject: {x}\nKeep {braces} and {{subject}}."


def test_a_text_without_roles_is_what_the_user_says() -> None:
    prompt = parsed("p.md", "Ticket: {{text}}\n")
    assert (prompt.system, prompt.template) == (None, "Ticket: {text}")
    assert parsed("p.md", "system:\nBe brief.").template is None


def test_the_version_of_a_prompt_is_its_content() -> None:
    assert parsed("p.md", BOTH).digest == parsed("q.md", BOTH).digest != parsed("p.md", BOTH + " ").digest


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("", 1, "nothing"),
        ("You are a kind agent.", 1, "none"),
        ("---\nmodel: x\n---\nuser:\n{{text}}", 1, "'---'"),
        ("Hello\nuser:\n{{text}}", 1, "'Hello'"),
        ("system:\nYou know {{text}}.\nuser:\n{{text}}", 2, "{{text}} in the system turn"),
        ("user:\n{{text}}\nassistant:\nYes.", 3, "'assistant:'"),
        ("user:\n{{text}}\n\nuser:\n{{text}}", 4, "a second one (examples: shots_file)"),
        ("system:\n\nuser:\n{{text}}", 1, "nothing"),
    ],
)
def test_what_cannot_be_used_is_named_by_its_line(text: str, line: int, found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed("prompts/p.md", text)
    (problem,) = caught.value.problems
    assert (problem.file, problem.key, problem.found) == ("prompts/p.md", f"line {line}", found)


def test_variables_are_columns() -> None:
    prompt = parsed("p.md", "user:\nOf {{ticket}}: {text}, {{#if text}}")
    found = {problem.key: problem.found for problem in prompt.problems(["text", "title"])}
    assert [problem.found for problem in prompt.problems(["text", "title"])] == ["{{ticket}}", "{{#if text}}", "{text}"]
    assert set(found) == {"line 2"}
    assert not list(parsed("p.md", "{{text}} {title}").problems(["text"]))
