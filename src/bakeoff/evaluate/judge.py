"""A language model as judge: which of two answers is better, asked in both orders; and how far to believe it.

Every pair is shown twice, with the answers swapped. A judge that favours the place in which an answer stands then
helps and hurts each side alike, and how much it does so can be told.
Answers that are equal are a tie without being asked about. A vote that cannot be read is asked for once more; what is
then still unreadable, or refused, is no opinion: such a pair has no score, and how many there are is told.
Source: Zheng et al., "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", NeurIPS 2023, section 3.4.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.chat.client import Refusal, Reply, ServiceClient
from bakeoff.chat.meter import Meter
from bakeoff.chat.reading import AnswerChoices, without_reasoning
from bakeoff.core import narrow
from bakeoff.core.types import Json
from bakeoff.metrics.intervals import wilson
from bakeoff.results.judge import JudgeAgreement, JudgeBias

__all__ = ["Pair", "Referee", "Votes", "agreement", "bias"]

Floats: TypeAlias = NDArray[np.float64]

FIRST, TIE, SECOND = 1.0, 0.5, 0.0
COMPARE = (
    "You compare two answers, A and B, to the same question. {criteria}\n"
    "Do not let the order or the length of the answers influence you. Reply with exactly one of: A, B, tie."
)
ACCEPT = "You judge an answer to a question. {criteria}\nReply with exactly one of: good, bad."
SUPPORTED = (
    "You check an answer against the context that it must rest on. Is every statement of the answer borne out by the "
    "context? What the answer does not say does not matter; neither does what you know beside the context.\n"
    "Reply with exactly one of: supported, unsupported."
)
AGAIN = "Reply with exactly one of: {among}. Nothing else."
MORE_TOKENS = 4
"""How many times longer the answer to what is asked again may be: reasoning may have been cut off."""
SIDES = ("Answer", "Response", "Assistant", "Option", "Candidate", "Model")
TIES = ("tie", "a tie", "it's a tie", "draw", "a draw", "equal", "both", "neither", "C")
"""C is what judges of the well-known prompts say for a tie."""
PREFERENCES = AnswerChoices(
    (
        ("A", *(f"{side} A" for side in SIDES)),
        ("B", *(f"{side} B" for side in SIDES)),
        (*TIES, *(tie.capitalize() for tie in TIES), "TIE"),
    ),
    cased=True,
)
VOTES = (FIRST, SECOND, TIE)
QUALITIES = AnswerChoices.of(("good", "bad"))
SUPPORT = AnswerChoices(
    (
        ("supported", "fully supported"),
        ("unsupported", *(f"{how} supported" for how in ("not", "not fully", "partially", "partly", "only partially"))),
    )
)
_SIDE = rf"(?:(?:{'|'.join(SIDES)})\s+)?(A|B)\b"
_FAULT = (
    r"\s+(?:\w+\s+)?(?:errors?|mistakes?|issues?|problems?|flaws?|bad|wrong|verbose|wordy|redundant|repetitive|vague|generic"
    r"|superficial|irrelevant|incomplete|incorrect|inaccura\w+|confus\w+|hallucinat\w+)\b"
)
_WORD = r"\s+(?!not\b|no\b|never\b|hardly\b)\w+"
LEADING = re.compile(rf"^\W*{_SIDE}\W*(?:[,.:;(–—\n]|-\s)")
_VERB = "is|was|seems|appears|does|has|contains|makes|provides|gives|offers"
BETTER = re.compile(
    rf"{_SIDE}(?:['’]s|\s+(?:{_VERB}))(?:{_WORD}){{0,3}}?"
    rf"\s+(?:better|best|more(?!{_FAULT})|less(?={_FAULT})|fewer(?={_FAULT})|stronger|superior|preferable|preferred|winner)\b"
    rf"|\b(?:prefer|choose|pick|vote for|go with)\s+{_SIDE}|{_SIDE}\s+wins\b"
)
WORSE = re.compile(
    rf"{_SIDE}\s+(?:{_VERB})(?:{_WORD}){{0,2}}?"
    rf"\s+(?:worse|less(?!{_FAULT})|fewer(?!{_FAULT})|more(?={_FAULT})|weaker|inferior|wrong)\b"
)
TIED = re.compile(r"\b(?:tie|draw|tied|equally|equivalent|identical|the same|same quality)\b", re.IGNORECASE)
RANKED = re.compile(r"(?<!\w)(A|B)\s*(>{1,3}|<{1,3}|={1,2}|≈)\s*(A|B)(?!\w)")
"""A > B, [[B>>A]], A = B."""
SCORED = re.compile(rf"{_SIDE}\W{{0,5}}\d+(?:\.\d+)?(?:\s*/\s*\d+)?")
"""A side with points of its own, which are no verdict."""
HEADED = re.compile(rf"{_SIDE}\W*:")
SUPPORTED_OR_NOT = re.compile(r"([^.;!?\n]*?)\b(supported|unsupported)\b")
DENIED = re.compile(
    r"\b(?:not|no|none|nothing|never|neither|nor|cannot|hardly|without)\b(?!\s+(?:doubt|question|only)\b)|n['’]t\b"
)
REST = re.compile(r"\bexcept\b|(?:\b(?:is|are|was|were) not|n['’]t)\s*(?:[.;,!]|$)")
"""What is left out of what was said to be supported: "the second is not"."""
PARTLY = re.compile(r"\b(?:partially|partly|largely|mostly|somewhat|only)\b")
LETTER = re.compile(r"(?<![\w'])(A|B)(?![\w'])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two answers to a question: the one that is judged, and the one that it is held against."""

    question: str
    answer: str
    other: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """What the judge says of n pairs: 1 for the answer, 0 for the other, 0.5 for neither, NaN when unreadable.

    `shown_first_n`: when the answer stood first; `shown_second_n`: when it stood second.
    """

    shown_first_n: Floats
    shown_second_n: Floats

    @property
    def score_n(self) -> Floats:
        """The mean of both orders; NaN where either could not be read."""
        return (self.shown_first_n + self.shown_second_n) / 2

    @property
    def unreadable(self) -> int:
        """Votes that could not be read."""
        return int(np.isnan(self.shown_first_n).sum() + np.isnan(self.shown_second_n).sum())


class Referee:
    """Asks a judge; counts what it costs.

    Args:
        client: calls the judge.
        meter: counts what it uses.
        criteria: what a good answer is.
        max_tokens: the longest answer of the judge, its reasoning included.
        options: more of what is asked (`temperature`, `reasoning_effort`).
    """

    def __init__(
        self,
        client: ServiceClient,
        meter: Meter,
        *,
        criteria: str,
        max_tokens: int,
        options: Mapping[str, Json] | None = None,
    ) -> None:
        self._client, self._meter = client, meter
        self._criteria, self._max_tokens = criteria, max_tokens
        self._options = {"temperature": 0} if options is None else dict(options)

    def compare(self, pairs: Sequence[Pair]) -> Votes:
        """Votes on pairs, each shown in both orders.

        Raises:
            ServiceError: the judge cannot be asked.
        """
        differ = [at for at, pair in enumerate(pairs) if pair.answer.strip() != pair.other.strip()]
        asked = [self._comparison(pairs[at].question, pairs[at].answer, pairs[at].other) for at in differ]
        asked += [self._comparison(pairs[at].question, pairs[at].other, pairs[at].answer) for at in differ]
        vote_m = self._ask(asked, vote_said, "A, B, tie")
        first_n, second_n = np.full(len(pairs), TIE), np.full(len(pairs), TIE)
        first_n[differ], second_n[differ] = vote_m[: len(differ)], 1.0 - vote_m[len(differ) :]
        return Votes(shown_first_n=first_n, shown_second_n=second_n)

    def accept(self, answers: Sequence[tuple[str, str]]) -> Floats:
        """1 for answers (each with its question before it) that the judge calls good, 0 for bad, NaN if unreadable."""
        system = ACCEPT.format(criteria=self._criteria)
        asked = [self._request(system, f"Question:\n{q}\n\nAnswer:\n{a}") for q, a in answers]
        return self._ask(asked, quality_said, "good, bad")

    def supported(self, answers: Sequence[tuple[str, str, str]]) -> Floats:
        """1 for answers (behind context and question) that the context bears out, 0 for others, NaN if unreadable."""
        asked = [
            self._request(SUPPORTED, f"Context:\n{context}\n\nQuestion:\n{question}\n\nAnswer:\n{answer}")
            for context, question, answer in answers
        ]
        return self._ask(asked, support_said, "supported, unsupported")

    def _ask(self, requests: Sequence[dict[str, Json]], read: Callable[[str], float], among: str) -> Floats:
        """What is read of each reply; NaN for what is refused, or unreadable twice."""
        replies = self._replies(requests)
        vote_n = np.asarray([read(r.text) if isinstance(r, Reply) else np.nan for r in replies], dtype=np.float64)
        unread = [(at, reply) for at, reply in enumerate(replies) if np.isnan(vote_n[at]) and isinstance(reply, Reply)]
        again = self._replies([self._again(requests[at], reply, among) for at, reply in unread])
        for (at, _), reply in zip(unread, again, strict=True):
            vote_n[at] = read(reply.text) if isinstance(reply, Reply) else np.nan
        return vote_n

    def _replies(self, requests: Sequence[dict[str, Json]]) -> list[Reply | Refusal]:
        replies = self._client.chat(requests)
        self._meter.count(replies, rows=len(replies))
        return replies

    def _again(self, request: dict[str, Json], reply: Reply, among: str) -> dict[str, Json]:
        turns: list[Json] = list(narrow.json_array(request["messages"]))
        if without_reasoning(reply.text):
            turns.append({"role": "assistant", "content": reply.text})
            turns.append({"role": "user", "content": AGAIN.format(among=among)})
        return {**request, "messages": turns, "max_tokens": self._max_tokens * MORE_TOKENS}

    def _comparison(self, question: str, first: str, second: str) -> dict[str, Json]:
        shown = f"Question:\n{question}\n\nAnswer A:\n{first}\n\nAnswer B:\n{second}"
        return self._request(COMPARE.format(criteria=self._criteria), shown)

    def _request(self, system: str, shown: str) -> dict[str, Json]:
        messages: list[Json] = [{"role": "system", "content": system}, {"role": "user", "content": shown}]
        return {"messages": messages, "max_tokens": self._max_tokens, **self._options}


def vote_said(text: str) -> float:
    """The vote in a text: 1 for the answer shown first, 0 for the second, 0.5 for a tie, NaN for what says neither.

    A letter or "tie" alone, in JSON, declared or leading; else who is said to be better (or the other worse); else that
    they are equal; else the only letter in it.

    >>> [vote_said(text) for text in ("A", "[[B]]", "Tie.", '{"winner": "B"}', "The better one is A", "A or B?")]
    [1.0, 0.0, 0.5, 0.0, 1.0, nan]
    """
    answer = without_reasoning(text) or ""
    running = "{" not in answer
    if running:
        answer = SCORED.sub("", answer)
    ranked = RANKED.findall(answer)
    if running and ranked and ranked[-1][0] != ranked[-1][2]:
        first, sign, _ = ranked[-1]
        return TIE if sign[0] in "=≈" else FIRST if (first == "A") == (sign[0] == ">") else SECOND
    plain = PREFERENCES.read(answer, running=False)
    if plain is not None:
        return VOTES[plain]
    if answer.startswith("{"):
        return np.nan
    leading = LEADING.match(answer)
    if leading is not None and set(HEADED.findall(answer)) != {"A", "B"}:
        return FIRST if leading.group(1) == "A" else SECOND
    better = {side for match in BETTER.finditer(answer) for side in match.groups() if side}
    better |= {"B" if match.group(1) == "A" else "A" for match in WORSE.finditer(answer)}
    silent = TIED.search(answer) or DENIED.search(answer.lower())
    sides = better or (set[str]() if silent else set(LETTER.findall(answer)))
    if len(sides) == 1:
        return FIRST if sides == {"A"} else SECOND
    return TIE if not sides and TIED.search(answer) else np.nan


def quality_said(text: str) -> float:
    """1 for what calls an answer good, 0 for bad, NaN for what says neither."""
    quality = QUALITIES.read(text)
    return np.nan if quality is None else (1.0, 0.0)[quality]


def support_said(text: str) -> float:
    """1 for what calls an answer supported, 0 for unsupported (a part is enough), NaN for what says neither.

    >>> [support_said(text) for text in ("Supported.", "not all is supported", "nothing is unsupported", "hm")]
    [1.0, 0.0, 1.0, nan]
    """
    answer = without_reasoning(text) or ""
    rest = bool(REST.search(answer.partition("\n")[0]))
    support = SUPPORT.read(answer, running=False)
    if support is not None and not rest:
        return (1.0, 0.0)[support]
    borne_out = [
        not PARTLY.search(before) and (word == "supported") != bool(DENIED.search(before))
        for before, word in SUPPORTED_OR_NOT.findall(answer.lower())
    ]
    return float(all(borne_out) and not rest) if borne_out else np.nan


def bias(votes: Sequence[Votes]) -> JudgeBias | None:
    """The judge's liking for the first place over all votes; None when it decided nothing."""
    first_n = np.concatenate([each.shown_first_n for each in votes])
    second_n = np.concatenate([each.shown_second_n for each in votes])
    said_n = np.concatenate([first_n, 1.0 - second_n])  # 1: for whichever stood first
    decided_n = said_n[(said_n == FIRST) | (said_n == SECOND)]
    if not len(decided_n):
        return None
    low, high = wilson(float(decided_n.sum()), len(decided_n))
    both = ~np.isnan(first_n) & ~np.isnan(second_n)
    swapped = float((first_n[both] != second_n[both]).mean()) if both.any() else 0.0
    return JudgeBias(first=float(decided_n.mean()), low=low, high=high, decided=len(decided_n), swapped=swapped)


def agreement(human_n: Floats, judged_n: Floats) -> JudgeAgreement | None:
    """How far a judge (scores from 0 to 1) agrees with people (0, 0.5 or 1); None without labels.

    Source: Cohen, "A Coefficient of Agreement for Nominal Scales", Educational and Psychological Measurement 20 (1960).
    """
    if not len(human_n):
        return None
    readable_n = ~np.isnan(judged_n)
    human_n, judged_n = human_n[readable_n], judged_n[readable_n]
    if not len(human_n):
        return None
    theirs, ours = np.sign(human_n - TIE), np.sign(judged_n - TIE)
    same = theirs == ours
    low, high = wilson(float(same.sum()), len(same))
    chance = sum(float((theirs == side).mean() * (ours == side).mean()) for side in (-1, 0, 1))
    kappa = None if chance == 1 else (float(same.mean()) - chance) / (1 - chance)
    return JudgeAgreement(n=len(same), share=float(same.mean()), low=low, high=high, kappa=kappa)
