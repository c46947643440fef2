"""The chain of the data benchmark in datatrove, as its example for FineWeb has it: stages that hand over by files.

Runs in an environment of its own. What is in datatrove's favour: text is taken from HTML by resiliparse (its own
extractor, trafilatura, is for whole pages, and slower), the cheapest filter comes first, files are not packed, and
tokens are counted, not kept.
"""

import re
import sys
from pathlib import Path

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.pipeline.filters import C4QualityFilter, GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.formatters import FTFYFormatter
from datatrove.pipeline.formatters.base import BaseFormatter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import TokensCounter
from datatrove.pipeline.writers.jsonl import JsonlWriter
from resiliparse.extract.html2text import extract_plain_text

MARKUP = re.compile(r"<[a-zA-Z/!?]|&[a-zA-Z#]")
HIDDEN = ["script", "style", "template", "noscript", "head"]


class Html(BaseFormatter):
    name = "html"

    def format(self, text: str) -> str:
        if not MARKUP.search(text):
            return text
        return extract_plain_text(
            text, preserve_formatting=True, list_bullets=False, alt_texts=False, skip_elements=HIDDEN
        ).strip()


class Whitespace(BaseFormatter):
    name = "whitespace"

    def format(self, text: str) -> str:
        lines = re.sub(" ?\n ?", "\n", re.sub(r"[^\S\n]+", " ", text))
        return re.sub(r"\n{3,}", "\n\n", lines).strip()


def main(corpus: str, folder: str, tokenizer: str, workers: int) -> None:
    tasks, config = (
        len(list(Path(corpus).glob("*.jsonl"))),
        MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8),
    )

    def run(name: str, pipeline: list, tasks: int) -> None:
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=workers, logging_dir=f"{folder}/logs/{name}").run()

    c4 = C4QualityFilter(
        remove_citations=False,
        filter_no_terminal_punct=False,
        min_num_sentences=3,
        min_words_per_line=-1,
        max_word_length=-1,
        filter_javascript=False,
        filter_policy=False,
    )
    filters = [c4, GopherQualityFilter(), GopherRepetitionFilter()]
    clean = [FTFYFormatter(normalization="NFC"), Html(), Whitespace()]
    filtered = JsonlWriter(f"{folder}/filtered", compression=None)
    run("filter", [JsonlReader(corpus), *clean, *filters, filtered], tasks)
    run("signatures", [JsonlReader(f"{folder}/filtered"), MinhashDedupSignature(f"{folder}/signatures", config)], tasks)
    buckets = MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets", config=config)
    run("buckets", [buckets], config.num_buckets)
    run("clusters", [MinhashDedupCluster(f"{folder}/buckets", f"{folder}/remove", config=config)], 1)
    kept = [
        MinhashDedupFilter(f"{folder}/remove"),
        TokensCounter(tokenizer),
        JsonlWriter(f"{folder}/out", compression=None),
    ]
    run("kept", [JsonlReader(f"{folder}/filtered"), *kept], tasks)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
