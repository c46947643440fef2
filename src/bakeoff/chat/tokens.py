# pyright: basic
# tokenizers comes without types
"""Conversations as token ids: the one way from turns to what a model reads, in training, evaluation and serving.

Control tokens are those that the tokenizer marks as special. They come from the chat template alone: where the content
of a turn spells one, the spelling is broken before the template runs, put together again after, and read as letters.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from bakeoff.chat.template import ChatTemplate
from bakeoff.core.conversation import calls_text
from bakeoff.core.errors import CandidateError, ContextLengthError, CorruptError, MissingExtraError, OptionError
from bakeoff.core.generation import Message, Messages
from bakeoff.core.types import Json

__all__ = ["ChatTokens", "TokenSequence", "exchanges"]

MARKS = range(0xE000, 0xF8FF)
"""Characters of private use: one that a conversation does not have breaks the spellings in it."""
PROBE = "probe7"
LONGEST_TOKEN = 40
"""Characters; hardly a tokenizer has longer tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSequence:
    """Token ids of a prompt, and what was cut so that they are few enough.

    Attributes:
        ids: The tokens.
        turns: The conversation that they are of, without what a candidate puts around it.
        exchanges_cut: How many of the oldest exchanges (a user's turn and what followed it) were left out.
        text_cut: Whether a text of the last exchange, or the system turn before it, lost its end.
    """

    ids: tuple[int, ...]
    turns: tuple[Message, ...] = ()
    exchanges_cut: int = 0
    text_cut: bool = False

    @property
    def cut(self) -> bool:
        """Whether anything is missing."""
        return self.text_cut or self.exchanges_cut > 0


@dataclass(frozen=True, kw_only=True)
class ChatTokens:
    """A model's tokenizer (of the package `tokenizers`), its chat template, and its control tokens by their text."""

    tokenizer: Any
    template: ChatTemplate | None
    control: Mapping[str, int]
    bos: int | None
    eos: int | None
    source: str

    @classmethod
    def read(cls, folder: Path) -> "ChatTokens":
        """The tokenizer in a model's folder, as Hugging Face writes it.

        Raises:
            CorruptError: a file cannot be read. CandidateError: there is no tokenizer.json. MissingExtraError.
        """
        try:
            from tokenizers import Tokenizer
        except ModuleNotFoundError as error:
            raise MissingExtraError.of("Language models", "llm", error.name or "tokenizers") from error
        file = folder / "tokenizer.json"
        if not file.is_file():
            raise CandidateError(f"expected {str(file)!r}, the tokenizer of a language model, found no such file")
        try:
            source = file.read_text(encoding="utf-8")
            added = json.loads(source).get("added_tokens") or []
            settings: dict[str, Any] = {}
            for name in ("special_tokens_map.json", "tokenizer_config.json"):
                if (folder / name).is_file():
                    settings |= json.loads((folder / name).read_text(encoding="utf-8"))
            tokenizer = Tokenizer.from_str(source)
        except Exception as error:  # the tokenizer's reader raises bare exceptions
            raise CorruptError(f"{folder}: expected the files of a tokenizer, found: {error}") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        named = {key: _content(value) for key, value in settings.items() if key.endswith("_token")}
        named = {key: value for key, value in named.items() if value}
        control = {each["content"]: each["id"] for each in added if each["special"]}
        text = _template(folder, settings)
        return cls(
            tokenizer=tokenizer,
            template=None if text is None else ChatTemplate(text, tokens=named),
            control=control,
            bos=_id(tokenizer, named, "bos_token"),
            eos=_id(tokenizer, named, "eos_token"),
            source=source,
        )

    def require(self, tokens: Iterable[int]) -> None:
        """Pass where there are such tokens; else an `OptionError` names the first that a call biases and is none."""
        size = self.tokenizer.get_vocab_size()
        unknown = next((token for token in tokens if not 0 <= token < size), None)
        if unknown is not None:
            raise OptionError("logit_bias", f"expected tokens of this model, 0 to {size - 1}; received {unknown}")

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of tokens; control tokens are not in it."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)

    def text(self, text: str) -> list[int]:
        """The token ids of a text, with nothing around it; spellings of control tokens are letters."""
        return self._plain(text).encode(text, add_special_tokens=False).ids

    def texts(self, texts: Sequence[str], *, special: bool = False) -> list[list[int]]:
        """The token ids of texts; `special`: with the tokens that the tokenizer puts around a text."""
        if any(self._spells(text) for text in texts):
            return [self._plain(text).encode(text, add_special_tokens=special).ids for text in texts]
        return [each.ids for each in self.tokenizer.encode_batch(list(texts), add_special_tokens=special)]

    def prompt(self, messages: Messages, *, answer: bool = True, tools: Sequence[Json] = ()) -> list[int]:
        """The token ids of a conversation, up to where the assistant speaks next (without `answer`: to its end).

        Raises:
            CandidateError: there is no chat template. DataError: the template refuses the conversation.
        """
        return self.prompts([messages], answer=answer, tools=tools)[0]

    def prompts(
        self, conversations: Sequence[Messages], *, answer: bool = True, tools: Sequence[Json] = ()
    ) -> list[list[int]]:
        """As `prompt`, for several conversations."""
        rendered = [self.rendered(messages, answer=answer, tools=tools) for messages in conversations]
        whole = [text for text, mark in rendered if mark is None]
        plain = iter(self.tokenizer.encode_batch(whole, add_special_tokens=False) if whole else ())
        return [next(plain).ids if mark is None else self._pieces(text, mark) for text, mark in rendered]

    def rendered(
        self, messages: Messages, *, answer: bool = True, tools: Sequence[Json] = ()
    ) -> tuple[str, str | None]:
        """What the template makes of a conversation, and the mark that breaks spellings of control tokens in it.

        Raises:
            CandidateError: there is no chat template. DataError: the template refuses the conversation.
        """
        if self.template is None:
            raise CandidateError("expected a tokenizer with a chat template, found none; add chat_template.jinja")
        turns: list[Any] = [dict(turn) for turn in messages]
        if not self.template.takes_tools:
            turns = [_with_calls_as_text(turn) for turn in turns]
        mark = None
        if _anywhere(turns, self._spells):
            whole = json.dumps([turns, list(tools)], ensure_ascii=False)
            mark = next(chr(code) for code in MARKS if chr(code) not in whole)
            turns = _each_text(turns, lambda text: self._spelling.sub(partial(_broken, mark, self.control), text))
        return self.template.render(turns, answer=answer, tools=tools), mark

    @cached_property
    def end(self) -> int | None:
        """The token with which the assistant's turn ends: what the template writes there, else the end of a text."""
        if self.template is None:
            return self.eos
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": PROBE}]
        text, _ = self.rendered(turns, answer=False)
        rest = text.rpartition(PROBE)[2].lstrip()
        ends = [token for spelling, token in self.control.items() if rest.startswith(spelling)]
        return ends[0] if ends else self.eos

    @cached_property
    def around(self) -> int:
        """How many tokens the tokenizer puts around a text."""
        return self.tokenizer.num_special_tokens_to_add(is_pair=False)

    @property
    def nothing(self) -> int:
        """The token that stands for an empty text."""
        return next((token for token in (self.bos, self.eos) if token is not None), 0)

    def answer(self, text: str) -> list[int]:
        """The token ids of what the assistant says, with the end of its turn."""
        ids = self.text(text)
        return ids if self.end is None else [*ids, self.end]

    def fitted(
        self, asked: Messages, most: int, encode: Callable[[Messages], list[int]] | None = None
    ) -> TokenSequence:
        """A conversation in at most so many tokens: without its oldest exchanges, if need be.

        Args:
            asked: The conversation, without what a candidate puts around it.
            most: Tokens that the whole may have.
            encode: The token ids of turns with what stands around them, which is never cut; `prompt` unless given.

        Raises:
            ContextLengthError: what may not be cut is too long.
        """
        encode = encode or self.prompt
        ids = encode(asked)
        if len(ids) <= most:
            return TokenSequence(ids=tuple(ids), turns=tuple(asked))
        opening, parts = exchanges(asked)
        low, high = min(1, len(parts) - 1), len(parts) - 1  # how many exchanges to leave out; the last one stays
        while low < high:
            middle = (low + high) // 2
            if len(encode(_joined(opening, parts[middle:]))) <= most:
                high = middle
            else:
                low = middle + 1
        turns = _joined(opening, parts[low:])
        ids, text_cut = encode(turns), False
        if len(ids) > most:
            turns, ids = self._shortened([*opening, *parts[-1]], most, encode)
            text_cut = True
        return TokenSequence(ids=tuple(ids), turns=tuple(turns), exchanges_cut=low, text_cut=text_cut)

    def _shortened(
        self, turns: list[Message], most: int, encode: Callable[[Messages], list[int]]
    ) -> tuple[list[Message], list[int]]:
        """An exchange with its system turn, whose longest texts lose their ends, and its ids."""
        # A huge text is not encoded whole again and again.
        turns = [{**turn, "content": _text_in(turn)[: most * LONGEST_TOKEN]} for turn in turns]
        while True:
            ids = encode(turns)
            if len(ids) <= most:
                return turns, ids
            place = max(range(len(turns)), key=lambda at: len(_text_in(turns[at])), default=0)
            text = _text_in(turns[place]) if turns else ""
            if not text:
                raise ContextLengthError(
                    f"expected a prompt of at most {most} tokens, received {len(ids)} without any text of the "
                    "conversation: shorten the system turn or the instruction, show fewer examples, or raise max_tokens"
                )
            ends = [end for _, end in self._plain(text).encode(text, add_special_tokens=False).offsets]
            room = max(len(ends) - (len(ids) - most), len(ends) // 2)  # the next longest text may give some, too
            end = min(ends[room - 1], len(text) - 1) if room else 0  # a character may be several tokens
            turns[place] = {**turns[place], "content": text[:end]}

    @cached_property
    def _spelling(self) -> re.Pattern[str]:
        longest = sorted(self.control, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest)) or r"(?!)")

    def _spells(self, text: str) -> bool:
        return self._spelling.search(text) is not None

    def _plain(self, text: str) -> Any:
        """The tokenizer that reads a text as letters."""
        return self._letters if self._spells(text) else self.tokenizer

    @cached_property
    def _letters(self) -> Any:
        """The tokenizer that knows no control tokens."""
        from tokenizers import Tokenizer

        made = Tokenizer.from_str(self.source)
        made.no_truncation()
        made.no_padding()
        made.encode_special_tokens = True
        return made

    def _pieces(self, rendered: str, mark: str) -> list[int]:
        """The ids of a rendered conversation: control tokens of the template, and letters between them."""
        spelling = {str(token): text for text, token in self.control.items()}
        broken = re.compile(f"{mark}(\\d+){mark}")
        ids: list[int] = []
        at = 0
        for place in (*self._spelling.finditer(rendered), None):
            letters = rendered[at : None if place is None else place.start()]
            letters = broken.sub(lambda it: spelling[it[1]], letters)
            ids += self._letters.encode(letters, add_special_tokens=False).ids
            if place is not None:
                ids.append(self.control[place[0]])
                at = place.end()
        return ids


def _broken(mark: str, control: Mapping[str, int], place: re.Match[str]) -> str:
    return f"{mark}{control[place[0]]}{mark}"


def exchanges(asked: Messages) -> tuple[list[Message], list[list[Message]]]:
    """The system turns that open a conversation, and its exchanges: each begins where the user speaks.

    >>> turns = [{"role": role, "content": ""} for role in ("system", "user", "assistant", "user")]
    >>> [len(each) for each in exchanges(turns)[1]]
    [2, 1]
    """
    opening: list[Message] = []
    parts: list[list[Message]] = []
    for turn in asked:
        if not parts and turn["role"] in {"system", "developer"}:
            opening.append(turn)
        elif not parts or (turn["role"] == "user" and parts[-1][-1]["role"] != "user"):
            parts.append([turn])
        else:
            parts[-1].append(turn)
    return opening, parts or [[]]


def _text_in(turn: Message) -> str:
    return str(turn.get("content") or "")


def _joined(opening: Messages, parts: Sequence[Messages]) -> list[Message]:
    return [*opening, *(turn for part in parts for turn in part)]


def _id(tokenizer: Any, named: Mapping[str, str], name: str) -> int | None:
    return tokenizer.token_to_id(named[name]) if name in named else None


def _content(token: object) -> str:
    """The text of a token in the settings of a tokenizer, which may be an object."""
    return str(token.get("content") or "") if isinstance(token, Mapping) else token if isinstance(token, str) else ""


def _template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8") or None
    found = settings.get("chat_template")
    if isinstance(found, list):  # several, by name
        found = next((each["template"] for each in found if each["name"] == "default"), None)
    return found or None


def _with_calls_as_text(turn: dict[str, Any]) -> dict[str, Any]:
    """A turn whose calls of tools stand in its text, for templates that have no place for them."""
    calls = turn.get("tool_calls")
    return {**turn, "content": calls_text(turn.get("content"), calls)} if calls else turn


def _anywhere(value: Any, test: Callable[[str], bool]) -> bool:
    if isinstance(value, str):
        return test(value)
    if isinstance(value, Mapping):
        return any(_anywhere(each, test) for each in value.values())
    return isinstance(value, (list, tuple)) and any(_anywhere(each, test) for each in value)


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _each_text(each, change) for key, each in value.items()}
    return [_each_text(each, change) for each in value] if isinstance(value, (list, tuple)) else value
