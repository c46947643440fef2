"""Prompts as files: what the system and the user say, with `{{column}}` for the values of a row.

A line `system:` or `user:` begins a turn; without such lines the whole file is what the user says. Braces that do not
stand double are braces, so that JSON can be shown as it is.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from bakeoff.core.errors import ConfigError, Problem
from bakeoff.core.hashing import digest

__all__ = ["PromptFile", "parsed"]

ROLE = re.compile(r"(?P<role>system|developer|user|assistant|tool):\s*")
VARIABLE = re.compile(r"\{\{\s*(.*?)\s*\}\}")
FRONT_MATTER = "---"
SYSTEM, USER = "system", "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFile:
    """A prompt that stands in a file of the project.

    Attributes:
        path: Where it stands, as the project file names it.
        text: Its content.
        system: What the system says, if it says something.
        template: What the user says, with `{column}` for a row's values and other braces doubled; None: the row alone.
        variables: The columns that it names, each with its line.
    """

    path: str
    text: str
    system: str | None = None
    template: str | None = None
    variables: tuple[tuple[str, int], ...] = ()

    @property
    def digest(self) -> str:
        """The version of the prompt: the hash of its content."""
        return digest(self.text.encode())

    def problems(self, columns: Collection[str]) -> Iterator[Problem]:
        """What is wrong with the variables, once the columns of the data are known."""
        named = {name for name, _ in self.variables}
        for name, line in self.variables:
            if name not in columns:
                yield _problem(self.path, line, f"an input column ({', '.join(columns)})", f"{{{{{name}}}}}")
        for line, text in enumerate(self.text.splitlines(), start=1):
            for name in columns:  # the project file's `template` writes them so: here they would be sent as they stand
                if name not in named and f"{{{name}}}" in VARIABLE.sub("", text):
                    yield _problem(self.path, line, f"{{{{{name}}}}} for the value of the column", f"{{{name}}}")


def parsed(path: str, text: str) -> PromptFile:
    r"""Read a prompt.

    >>> parsed("p.md", "system:\nAnswer as {\"a\": 1}.\nuser:\nTicket: {{text}}").template
    'Ticket: {text}'

    Raises:
        ConfigError: it has no turn that can be used, or one too many.
    """
    parts = _parts(path, text)
    system, user = parts.get(SYSTEM), parts.get(USER)
    if system is not None and (found := _variables(*system)):
        name, line = found[0]
        raise _wrong(path, line, "variables in what the user says alone", f"{{{{{name}}}}} in the system turn")
    variables = () if user is None else _variables(*user)
    if user is not None and not variables:
        why = "at least one {{column}} in what the user says, as nothing else shows the row (or a line 'system:' first)"
        raise _wrong(path, user[0], why, "none")
    return PromptFile(
        path=path,
        text=text,
        system=None if system is None else system[1],
        template=None if user is None else _template(user[1]),
        variables=variables,
    )


def _problem(path: str, line: int, expected: str, found: str) -> Problem:
    return Problem(file=path, key=f"line {line}", expected=expected, found=found)


def _wrong(path: str, line: int, expected: str, found: str) -> ConfigError:
    return ConfigError((_problem(path, line, expected, found),))


def _parts(path: str, text: str) -> dict[str, tuple[int, str]]:
    """The text of each role with the number of its first line."""
    lines = text.splitlines()
    if lines and lines[0].strip() == FRONT_MATTER:
        raise _wrong(path, 1, "a prompt without settings before it (they belong into the project file)", "'---'")
    starts = [(at, match["role"]) for at, line in enumerate(lines) if (match := ROLE.fullmatch(line))]
    if not starts:
        starts = [(-1, USER)]
    elif "".join(lines[: starts[0][0]]).strip():
        raise _wrong(path, 1, "a line 'system:' or 'user:' before all text", repr(lines[0][:40]))
    parts: dict[str, tuple[int, str]] = {}
    for (at, role), end in zip(starts, [*(at for at, _ in starts[1:]), len(lines)], strict=True):
        if role not in {SYSTEM, USER}:
            raise _wrong(path, at + 1, "turns of system and user alone (examples: shots_file)", f"'{role}:'")
        if role in parts:
            raise _wrong(path, at + 1, f"one turn of the {role}", "a second one (examples: shots_file)")
        body = lines[at + 1 : end]
        blank = next((count for count, line in enumerate(body) if line.strip()), None)
        if blank is None:
            raise _wrong(path, max(1, at + 1), f"a text for the {role}", "nothing")
        parts[role] = (at + 2 + blank, "\n".join(body).strip())
    return parts


def _variables(first: int, text: str) -> tuple[tuple[str, int], ...]:
    lines = enumerate(text.splitlines(), start=first)
    return tuple((match[1], at) for at, line in lines for match in VARIABLE.finditer(line))


def _template(text: str) -> str:
    """The text with `{column}` for variables and other braces doubled."""
    pieces: list[str] = []
    end = 0
    for match in VARIABLE.finditer(text):
        pieces += [_doubled(text[end : match.start()]), f"{{{match[1]}}}"]
        end = match.end()
    return "".join([*pieces, _doubled(text[end:])])


def _doubled(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
