"""A Modelfile: how Ollama runs an exported model with the prompt, the template and the settings that were measured.

Ollama's templates are Go's. The pieces between turns are found by asking the model's own template for marked turns, and
what the new template makes is held against the old one before it is written.
Source: the Modelfile reference, github.com/ollama/ollama/blob/main/docs/modelfile.mdx.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.chat.template import ChatTemplate
from bakeoff.core.errors import DataError
from bakeoff.core.generation import Messages

__all__ = ["Pieces", "modelfile", "pieces_of"]

SYSTEM, USER, ASSISTANT = "Sxqsystem", "Uxquser", "Axqassistant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """What stands around the turns of a conversation.

    Attributes:
        system: Before and after what the system says.
        user: Before what the user says.
        answer: Between user and assistant.
        after: Behind what the assistant says.
        default: What the system says where nobody says it, if the template has such a text.
    """

    system: tuple[str, str]
    user: str
    answer: str
    after: str
    default: str | None = None

    def render(self, messages: Messages) -> str:
        """What the Go template makes of a conversation, up to where the assistant speaks next."""
        text = ""
        for turn in messages:
            said = str(turn["content"])
            around = {
                "system": (self.system[0], self.system[1]),
                "user": (self.user, ""),
                "assistant": (self.answer, self.after),
            }[str(turn["role"])]
            text += f"{around[0]}{said}{around[1]}"
        return text + self.answer

    @property
    def template(self) -> str:
        """The same in Go's language."""
        return (
            "{{- range .Messages }}"
            f'{{{{ if eq .Role "system" }}}}{self.system[0]}{{{{ .Content }}}}{self.system[1]}'
            f'{{{{ else if eq .Role "user" }}}}{self.user}{{{{ .Content }}}}'
            f'{{{{ else if eq .Role "assistant" }}}}{self.answer}{{{{ .Content }}}}{self.after}'
            f"{{{{ end }}}}{{{{ end }}}}{self.answer}"
        )


def pieces_of(template: ChatTemplate, *, bos: str = "") -> Pieces:
    """The pieces of a model's template; `bos` is what the tokenizer puts before a text by itself.

    Raises:
        DataError: the template does more than put pieces around turns.
    """
    turns = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": USER},
        {"role": "assistant", "content": ASSISTANT},
        {"role": "user", "content": USER},
    ]
    whole = template.render(turns, answer=True).removeprefix(bos)
    alone = template.render([turns[1]], answer=True).removeprefix(bos)
    parts = _split(whole, (SYSTEM, USER, ASSISTANT, USER))
    first, last = _split(alone, (USER,))
    opening, to_user, answer, again, _ = parts
    user = _ending(first, to_user, again)
    default = first[len(opening) : -len(to_user)] if first.startswith(opening) and first.endswith(to_user) else None
    made = Pieces(
        system=(opening, to_user.removesuffix(user)),
        user=user,
        answer=answer,
        after=again.removesuffix(user),
        default=default if opening and to_user and default else None,
    )
    spoken = turns if made.default is None else [{"role": "system", "content": made.default}, *turns[1:]]
    checks = [spoken, turns[:2], turns] + ([turns[1:], turns[1:2]] if made.default is None else [])
    texts = f"{opening}{to_user}{answer}{again}{last}"
    if (
        any(made.render(each) != template.render(each, answer=True).removeprefix(bos) for each in checks)
        or "{{" in texts
    ):
        raise DataError(
            "expected a chat template that puts the same pieces around each turn, received one that does more: "
            "Ollama's templates cannot say it; run the exported files with llama.cpp's server"
        )
    return made


def _ending(*texts: str) -> str:
    """The longest text that all of them end with."""
    shortest = min(texts, key=len)
    return next(end for at in range(len(shortest) + 1) if all(t.endswith(end := shortest[at:]) for t in texts))


def _split(text: str, marks: Sequence[str]) -> list[str]:
    """The text between marks that stand in it in this order."""
    parts: list[str] = []
    for mark in marks:
        before, found, text = text.partition(mark)
        if not found:
            raise DataError(f"expected a chat template that shows each turn, received one that leaves out {mark[3:]!r}")
        parts.append(before)
    return [*parts, text]


def modelfile(
    pieces: Pieces,
    *,
    weights: str,
    adapter: str | None,
    before: Messages,
    stop: str | None,
    context: int,
    max_new_tokens: int,
) -> str:
    """The Modelfile of weights (and an adapter) beside it; `before` are the turns that stand before all others."""
    system = next((str(turn["content"]) for turn in before if turn["role"] == "system"), pieces.default)
    lines = [
        f"FROM ./{weights}",
        *([f"ADAPTER ./{adapter}"] if adapter else []),
        f"TEMPLATE {_quoted(pieces.template)}",
    ]
    lines += [f"SYSTEM {_quoted(system)}"] if system else []
    lines += [f"MESSAGE {turn['role']} {_quoted(str(turn['content']))}" for turn in before if turn["role"] != "system"]
    lines += [f"PARAMETER stop {_quoted(stop)}"] if stop else []
    lines += [f"PARAMETER num_ctx {context}", f"PARAMETER num_predict {max_new_tokens}", "PARAMETER temperature 0"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    if '"""' in text or text.endswith('"'):
        raise DataError(f"expected texts without three quotes, and with none at their end, received {text[-40:]!r}")
    return f'"""{text}"""'
