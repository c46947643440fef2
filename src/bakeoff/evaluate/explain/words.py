"""Words of texts: which there are, and a text without one of them."""

import re

__all__ = ["removed", "tokens"]

WORD = re.compile(r"\w+(?:['’]\w+)*")


def tokens(text: str) -> list[str]:
    """The words of a text, in lower case.

    >>> tokens("Don't stop: it's GOOD")
    ["don't", 'stop', "it's", 'good']
    """
    return [word.lower() for word in WORD.findall(text)]


def removed(text: str, word: str) -> str:
    """The text without a word, wherever it stands by itself.

    >>> removed("A good film, so good.", "good")
    'A  film, so .'
    """
    return WORD.sub(lambda match: "" if match.group().lower() == word else match.group(), text)
