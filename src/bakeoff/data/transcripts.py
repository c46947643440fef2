"""Texts that hold a whole conversation, in the marks with which fine-tuning files write them."""

import re
from dataclasses import dataclass

__all__ = ["TRANSCRIPTS", "Transcript", "transcript_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A way to write turns in a text.

    Attributes:
        name: As people call it.
        mark: What a turn begins with; its group is the role.
        end: What a turn ends with; where nothing does, it ends where the next one begins.
        around: What may stand around the turns.
    """

    name: str
    mark: re.Pattern[str]
    end: str = ""
    around: tuple[str, ...] = ()

    def turns(self, text: str) -> list[dict[str, str]]:
        r"""Role and content of each turn.

        >>> TRANSCRIPTS[0].turns("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>")[1]
        {'role': 'assistant', 'content': 'Yes?'}

        Raises:
            TypeError: something stands outside the turns, or one of them has no end.
        """
        for token in self.around:
            text = text.replace(token, "")
        marks = list(self.mark.finditer(text))
        stops = [*(mark.start() for mark in marks[1:]), len(text)]
        self._check(text[: marks[0].start()] if marks else text)
        turns: list[dict[str, str]] = []
        for mark, stop in zip(marks, stops, strict=True):
            content = text[mark.end() : stop]
            if self.end:
                content, ended, rest = content.partition(self.end)
                if not ended:
                    raise TypeError(f"expected a turn that ends with {self.end}, received {content[-80:]!r}")
                self._check(rest)
            turns.append({"role": mark.group(1).lower(), "content": content if self.end else content.strip()})
        return turns

    def _check(self, outside: str) -> None:
        if outside.strip():
            raise TypeError(
                f"expected turns of the form {self.name}, received {outside.strip()[:80]!r} outside of them"
            )


TRANSCRIPTS = (
    Transcript(
        name="ChatML", mark=re.compile(r"<\|im_start\|>\s*(\w+)\n"), end="<|im_end|>", around=("<|endoftext|>",)
    ),
    Transcript(
        name="Llama 3",
        mark=re.compile(r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\n*"),
        end="<|eot_id|>",
        around=("<|begin_of_text|>", "<|end_of_text|>"),
    ),
    Transcript(
        name="Gemma", mark=re.compile(r"<start_of_turn>(\w+)\n"), end="<end_of_turn>", around=("<bos>", "<eos>")
    ),
    Transcript(name="Zephyr", mark=re.compile(r"<\|(system|user|assistant)\|>\n"), end="</s>"),
    Transcript(name="### Human", mark=re.compile(r"###\s*(System|Human|Assistant):[ \t]*")),
    Transcript(name="Human and Assistant", mark=re.compile(r"(?:^|\n\n)(Human|Assistant):[ \t]*")),
)


def transcript_of(text: object) -> Transcript | None:
    r"""The form of a text that holds turns; None when it holds none, by how it begins.

    >>> [made and made.name for made in map(transcript_of, ["\n\nHuman: Hi", "Human rights: a text", None])]
    ['Human and Assistant', None, None]
    """
    if not isinstance(text, str):
        return None
    for each in TRANSCRIPTS:
        bare = text
        for token in each.around:
            bare = bare.replace(token, "")
        if each.mark.match(bare) or each.mark.match(bare.lstrip()):
            return each
    return None
