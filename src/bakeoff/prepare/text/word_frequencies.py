"""How frequent words are in 34 languages: the strongest sign of a language that two or three words give.

The lists are those of the package wordfreq, of all words that come at least once in a million. They are held as hashes
(1.4 million of 11 bytes), since so many strings would take half a gigabyte in each worker.

Source: Speer 2022, "rspeer/wordfreq: v3.0", Zenodo; its data are under CC BY-SA 4.0.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from bakeoff.core.errors import MissingExtraError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LISTED", "word_frequencies"]

CODES = "ar bg ca cs da de en es fa fi fr hr hu id is it lt lv mk ms nl no pl pt ro ru sk sl sv tl tr uk ur vi"
LISTED: Mapping[str, str] = {code: {"no": "nb", "hr": "sh", "tl": "fil"}.get(code, code) for code in CODES.split()}
"""Our codes, and those of the lists. Languages that their script tells need none."""
LOG_CENTIBEL = math.log(10) / 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lists:
    """All words of all lists by the hash of the word, ascending: of which language, how many centibels below 1."""

    hash_w: "NDArray[np.uint64]"
    language_w: "NDArray[np.uint8]"
    centibel_w: "NDArray[np.uint16]"


@lru_cache(maxsize=1)
def _lists() -> _Lists:
    import polars as pl

    try:
        from wordfreq import available_languages, read_cBpack
    except ModuleNotFoundError:
        raise MissingExtraError.of("Language identification", "text", "wordfreq") from None
    files = available_languages("small")
    hashes: list[NDArray[np.uint64]] = []
    centibels: list[NDArray[np.uint16]] = []
    for name in LISTED.values():
        by_centibel = read_cBpack(files[name])
        hashes.append(pl.Series([word for words in by_centibel for word in words]).hash().to_numpy())
        centibels.append(np.repeat(np.arange(len(by_centibel), dtype=np.uint16), [len(words) for words in by_centibel]))
    hash_w = np.concatenate(hashes)
    order = np.argsort(hash_w, kind="stable")
    language_w = np.repeat(np.arange(len(LISTED), dtype=np.uint8), [len(each) for each in hashes])
    return _Lists(hash_w=hash_w[order], language_w=language_w[order], centibel_w=np.concatenate(centibels)[order])


def word_frequencies(words: Collection[str]) -> dict[str, dict[str, float]]:
    """Of each word (in lower case) that is on a list: the logarithm of its share of all words of the language.

    Raises:
        MissingExtraError: the extra `text` is not installed.
    """
    import polars as pl

    lists, distinct, codes = _lists(), list(dict.fromkeys(words)), list(LISTED)
    hash_n = pl.Series(distinct, dtype=pl.String).hash().to_numpy()
    starts = np.searchsorted(lists.hash_w, hash_n, side="left").tolist()
    ends = np.searchsorted(lists.hash_w, hash_n, side="right").tolist()
    return {
        word: {
            codes[language]: -LOG_CENTIBEL * centibel
            for language, centibel in zip(
                lists.language_w[start:end].tolist(), lists.centibel_w[start:end].tolist(), strict=True
            )
        }
        for word, start, end in zip(distinct, starts, ends, strict=True)
        if end > start
    }
