"""The chain of the data benchmark as a script of a hundred lines: ftfy, resiliparse, nltk, datasketch, tokenizers."""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path

import ftfy
from datasketch import MinHash, MinHashLSH
from nltk.tokenize import NLTKWordTokenizer
from resiliparse.extract.html2text import extract_plain_text

STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}
MARKUP = re.compile(r"<[a-zA-Z/!?]|&[a-zA-Z#]")
HIDDEN = ["script", "style", "template", "noscript", "head"]
WORDS = NLTKWordTokenizer()
BANDS, ROWS, GRAM, CHUNK = 14, 8, 5, 256


def clean(text: str) -> str:
    text = ftfy.fix_text(text, uncurl_quotes=False, fix_line_breaks=False, unescape_html=False)
    if MARKUP.search(text):
        text = extract_plain_text(
            text, preserve_formatting=True, list_bullets=False, alt_texts=False, skip_elements=HIDDEN
        )
    text = re.sub(" ?\n ?", "\n", re.sub(r"[^\S\n]+", " ", text))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def c4(text: str) -> bool:
    low = text.lower()
    return "{" not in text and "lorem ipsum" not in low and len(re.findall(r"[.!?](?:\s|$)", text)) >= 3


def gopher(text: str, words: list[str]) -> bool:
    lines = text.split("\n")
    plain = [word for word in words if any(c.isalnum() for c in word)]
    if not 50 <= len(plain) <= 100_000 or not 3 <= sum(map(len, plain)) / len(plain) <= 10:
        return False
    if text.count("#") > 0.1 * len(words) or text.count("...") + text.count("…") > 0.1 * len(words):
        return False
    if sum(line.lstrip().startswith(("•", "-", "*")) for line in lines) > 0.9 * len(lines):
        return False
    if sum(line.rstrip().endswith(("...", "…")) for line in lines) > 0.3 * len(lines):
        return False
    if sum(any(c.isalpha() for c in word) for word in words) < 0.8 * len(words):
        return False
    return len(STOP_WORDS & set(words)) >= 2


def repeats(text: str, words: list[str]) -> bool:
    for separator in ("\n", "\n\n"):
        parts = [part.strip() for part in text.split(separator) if part.strip()]
        again = sum(parts.count(part) - 1 for part in set(parts))
        if parts and again > 0.3 * len(parts):
            return True
    total = max(sum(map(len, words)), 1)
    for n, most in {2: 0.20, 3: 0.18, 4: 0.16}.items():
        top = Counter(zip(*(words[i:] for i in range(n)), strict=False)).most_common(1)
        if top and top[0][1] > 1 and top[0][1] * sum(map(len, top[0][0])) > most * total:
            return True
    for n, most in {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}.items():
        counts, covered = Counter(zip(*(words[i:] for i in range(n)), strict=False)), set()
        for i in range(len(words) - n + 1):
            if counts[tuple(words[i : i + n])] > 1:
                covered.update(range(i, i + n))
        if sum(len(words[i]) for i in covered) > most * total:
            return True
    return False


def work(lines: list[str]) -> list[tuple[dict, MinHash]]:
    found = []
    for line in lines:
        row = json.loads(line)
        row["text"] = clean(row["text"])
        if not c4(row["text"]):
            continue
        words = row["text"].split()
        if not gopher(row["text"], words) or repeats(row["text"], words):
            continue
        low = [word for word in WORDS.tokenize(row["text"].lower()) if any(c.isalnum() for c in word)]
        sketch = MinHash(num_perm=BANDS * ROWS)
        sketch.update_batch([" ".join(low[i : i + GRAM]).encode() for i in range(max(len(low) - GRAM + 1, 1))])
        found.append((row, sketch))
    return found


def chunks(corpus: str) -> Iterator[list[str]]:
    for file in sorted(Path(corpus).glob("*.jsonl")):
        with file.open() as lines:
            while chunk := [line for _, line in zip(range(CHUNK), lines, strict=False)]:
                yield chunk


def main(corpus: str, folder: str, tokenizer: str, workers: int) -> None:
    from tokenizers import Tokenizer

    index, kept = MinHashLSH(params=(BANDS, ROWS), num_perm=BANDS * ROWS), []
    with Pool(workers) as pool:
        for found in pool.imap(work, chunks(corpus)):
            for row, sketch in found:
                if not index.query(sketch):
                    kept.append(row)
                index.insert(f"{len(index.keys)}", sketch)
    tokens = Tokenizer.from_file(tokenizer)
    with (Path(folder) / "out.jsonl").open("w") as out:
        for start in range(0, len(kept), 1000):
            rows = kept[start : start + 1000]
            for row, encoded in zip(rows, tokens.encode_batch([row["text"] for row in rows]), strict=True):
                out.write(json.dumps(row | {"tokens": len(encoded.ids)}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
