"""What may be wrong with a generated answer, whatever the question: signs that are counted and compared.

They are signs: a share of answers has them by right. What matters is that more have them than before.
"""

import json
import re
from typing import Literal, TypeAlias, get_args

__all__ = ["SIGNS", "Sign", "signs"]

Sign: TypeAlias = Literal["empty", "refusal", "truncated", "repetitive", "malformed"]
SIGNS: tuple[Sign, ...] = get_args(Sign)

_REFUSAL = re.compile(
    r"\b(i['’]?m sorry,? but"
    r"|i ((can['’]?t|cannot|won['’]t) |am unable to )(help|assist|do|provide|comply|answer|fulfil)"
    r"|as an ai\b|i['’]m not able to|es tut mir leid|ich kann (dabei |dir |ihnen )?nicht"
    r"|je ne peux pas|lo siento, (pero )?no)",
    re.IGNORECASE,
)
_ENDS = tuple(".!?…。！？\"'”’)]}`>|:;*")
LONG, BEGINNING, WORDS, REPEATED = 200, 200, 30, 0.5


def signs(text: str | None, *, json_expected: bool = False) -> tuple[Sign, ...]:
    """The signs of an answer.

    `refusal`: its beginning says that it will not answer. `truncated`: a long answer that ends within a sentence.
    `repetitive`: more than half of its runs of three words came before. `malformed`: no JSON where that is expected.

    >>> signs(" "), signs("I'm sorry, but I can't help with that."), signs("yes"), signs("{", json_expected=True)
    (('empty',), ('refusal',), (), ('malformed',))
    """
    if text is None or not (stripped := text.strip()):
        return ("empty",)
    there: list[Sign] = []
    if _REFUSAL.search(stripped[:BEGINNING]):
        there.append("refusal")
    if len(stripped) >= LONG and not stripped.endswith(_ENDS):
        there.append("truncated")
    words = stripped.split()
    if len(words) >= WORDS:
        runs = list(zip(words, words[1:], words[2:], strict=False))
        if 1 - len(set(runs)) / len(runs) > REPEATED:
            there.append("repetitive")
    if json_expected:
        try:
            json.loads(stripped)
        except (ValueError, RecursionError):
            there.append("malformed")
    return tuple(there)
