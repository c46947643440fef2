"""What a short text shows of its language beside its runs of letters: its script and its alphabet.

Source: Unicode CLDR, exemplar characters of each language (the letters beyond a–z).
"""

import re
from collections import Counter

__all__ = ["LATIN", "RARE", "SCRIPTS", "evidence", "only_language", "words_in"]

# Languages of scripts other than Latin, by their codes.
SCRIPTS: dict[str, frozenset[str]] = {
    script: frozenset(codes.split())
    for script, codes in {
        "Han": "zh ja yue wuu",
        "Hiragana": "ja",
        "Katakana": "ja",
        "Hangul": "ko",
        "Cyrillic": "ru uk be bg mk sr kk ky tg mn tt ba cv sah os ce av ab",
        "Greek": "el",
        "Arabic": "ar fa ur ps sd ug ckb arz azb pnb ks",
        "Hebrew": "he yi",
        "Devanagari": "hi mr ne sa bh gom mai new",
        "Bengali": "bn as bpy",
        "Gurmukhi": "pa",
        "Gujarati": "gu",
        "Tamil": "ta",
        "Telugu": "te",
        "Kannada": "kn",
        "Malayalam": "ml",
        "Sinhala": "si",
        "Thai": "th",
        "Lao": "lo",
        "Khmer": "km",
        "Myanmar": "my",
        "Tibetan": "bo dz",
        "Georgian": "ka xmf",
        "Armenian": "hy",
        "Ethiopic": "am ti",
    }.items()
}
# Letters beyond a–z of languages in Latin letters, then the letters of those in Cyrillic that not all have.
LETTERS: dict[str, str] = {
    "en": "é", "de": "äöüß", "fr": "àâæçéèêëîïôœùûüÿ", "es": "áéíñóúü", "it": "àèéìíîòóùú", "pt": "ãáàâçéêíõóôúü",
    "nl": "áäéèëíïóöúü", "sv": "åäöéà", "da": "åæøé", "no": "åæøéóòô", "nn": "åæøéóòô", "fi": "äöåšž",
    "pl": "ąćęłńóśźż",    "cs": "áčďéěíňóřšťúůýž", "sk": "áäčďéíĺľňóôŕšťúýž",
    "hu": "áéíóöőúüű", "tr": "çğıi̇öşüâîû", "ro": "ăâîșşțţ",
    "hr": "čćđšž", "sl": "čšž", "lt": "ąčęėįšųūž", "lv": "āčēģīķļņšūž", "et": "äõöüšž", "ca": "àçèéíïòóúü·",
    "gl": "áéíñóúü", "is": "áðéíóúýþæö", "az": "çəğıöşü", "sq": "çë", "mt": "ċġħż", "cy": "âêîôûŵŷï", "ga": "áéíóú",
    "eu": "ñç", "eo": "ĉĝĥĵŝŭ", "af": "áéèêëíîïóôöúû", "lb": "äéë", "la": "", "id": "é", "ms": "", "tl": "ñ", "sw": "",
    "uz": "ʻʼ", "vi": "ăâđêôơưàảãáạằẳẵắặầẩẫấậèẻẽéẹềểễếệìỉĩíịòỏõóọồổỗốộờởỡớợùủũúụừửữứựỳỷỹýỵ",
    "ru": "ёыэъщ", "uk": "іїєґщ", "be": "ўіёыэ", "bg": "ъщ", "mk": "ѓѕјљњќџ", "sr": "ђјљњћџ", "kk": "әғқңөұүһіёъыэщ",
    "ky": "ңөүёъыэщ", "mn": "өүёъыэщ", "tg": "ғӣқӯҳҷёъэ", "tt": "әөүҗңһёъыэщ", "ba": "ҙҡңҫәөүғһёъыэщ",
}  # fmt: skip
LATIN = frozenset(code for code, letters in LETTERS.items() if not re.search(r"[\u0400-\u04ff]", letters))
CYRILLIC = frozenset(LETTERS) - LATIN
SHARED_CYRILLIC = frozenset("абвгдежзиклмнопрстуфхцчшйьюя")
RANGES = {
    "ja": r"[\u3041-\u30ff]", "ko": r"[\uac00-\ud7a3\u1100-\u11ff\u3130-\u318f]", "el": r"[\u0370-\u03ff\u1f00-\u1fff]",
    "pa": r"[\u0a00-\u0a7f]", "gu": r"[\u0a80-\u0aff]", "ta": r"[\u0b80-\u0bff]", "te": r"[\u0c00-\u0c7f]",
    "kn": r"[\u0c80-\u0cff]", "ml": r"[\u0d00-\u0d7f]", "si": r"[\u0d80-\u0dff]", "th": r"[\u0e00-\u0e7f]",
    "lo": r"[\u0e80-\u0eff]", "km": r"[\u1780-\u17ff]", "my": r"[\u1000-\u109f]", "hy": r"[\u0530-\u058f]",
    "zh": r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]",
}  # fmt: skip
PATTERNS = {code: re.compile(pattern) for code, pattern in RANGES.items()}
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
MOSTLY, WORD_LETTERS = 0.5, 3
STRANGE, KNOWN = -2.5, 0.6
"""Of a letter that a language does not write, and of one that few others do: in logarithms of odds."""
MOST_WORDS = 60
RARE, SELDOM = -3.0, -1.0
"""Of a language that is in no list, and of one that is seldom met: often guessed of short texts."""
OFTEN = {"en", "de", "fr", "es", "it", "pt", "nl", "sv", "pl", "cs", "fi", "hu", "tr", "ro", "vi", "id"} | {
    *("ru", "uk", "ar", "fa", "ur", "hi", "he")
}
DEVANAGARI = re.compile(r"[\u0900-\u097f]")
MARATHI = re.compile(r"ळ|\u0906\u0939\u0947\b")


def only_language(text: str) -> str | None:
    """The language that the script alone tells; Han letters without kana are Chinese.

    A letter of a script with thousands of them stands for a word, so that a few outweigh many Latin ones.
    """
    letters = sum(character.isalpha() for character in text)
    count = {code: len(pattern.findall(text)) for code, pattern in PATTERNS.items()}
    ideographs = WORD_LETTERS * (count["ja"] + count["zh"])
    if ideographs > max(MOSTLY * letters, count["ko"]):
        return "ja" if count["ja"] else "zh"
    return next((code for code in PATTERNS if code not in {"ja", "zh"} and count[code] > MOSTLY * letters), None)


def words_in(text: str) -> list[str]:
    """The first words of a text, in lower case."""
    return WORD.findall(text.lower().replace("i\u0307", "i").replace("’", "'"))[:MOST_WORDS]


def evidence(text: str) -> dict[str, float]:
    """What its letters say for each language, in logarithms of odds."""
    lowered = text.lower()
    if DEVANAGARI.search(text):
        return {"hi": -SELDOM, "mr": -2 * SELDOM if MARATHI.search(text) else 2 * SELDOM, "ne": SELDOM}
    special = Counter(character for character in lowered if character.isalpha() and not character.isascii())
    is_cyrillic = any("\u0400" <= character <= "\u04ff" for character in special)
    scores: dict[str, float] = {}
    writers = {letter: sum(letter in letters for letters in LETTERS.values()) for letter in special}
    for code in CYRILLIC if is_cyrillic else LATIN:
        letters = LETTERS[code]
        score = 0.0
        for letter in special:
            if letter in letters:
                score += KNOWN * (3 / writers[letter]) ** 0.5
            elif not (is_cyrillic and letter in SHARED_CYRILLIC):
                score += STRANGE
        scores[code] = score + (0 if code in OFTEN else SELDOM)
    return scores
