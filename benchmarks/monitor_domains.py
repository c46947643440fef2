"""A sentiment model of tweets is served movie, product and news snippets: is the shift seen, and is quality foreseen?

`make bench-monitor-domains`. The texts are those of the VADER study (PyPI vaderSentiment 0.5): four domains, rated by
people. The model learns positive and negative from half of the tweets; the reference are the others. Then up to 1,500
snippets of each domain come, without labels; what is estimated is compared with what the labels say, before and after
200 labels.
"""

import io
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from bakeoff.config.sections import MonitorConfig
from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.data.packages import PackagePath, archive_of
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import find
from bakeoff.monitor import quality, shift
from bakeoff.monitor.look import LabelledRows, MonitorLook
from bakeoff.monitor.reference import make
from bakeoff.monitor.sums import PredictionSums
from bakeoff.testing.events import prediction

CACHE = Path("build/monitor-domains")
LOCATION = "additional_resources/hutto_ICWSM_2014.tar.gz"
DOMAINS = ("tweets", "amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets")
ROWS = 1500
INPUTS = (Column(name="text", kind="text", dtype="String"),)
CLASSES = ("negative", "positive")


def rated(domain: str) -> list[tuple[str, str]]:
    """Texts and what people rated them, clear ones."""
    with zipfile.ZipFile(
        archive_of(PackagePath.parse(f"pypi://vaderSentiment==0.5/{LOCATION}"), CACHE, print)
    ) as source:
        inner = source.read(f"vaderSentiment-0.5/{LOCATION}")
    with tarfile.open(fileobj=io.BytesIO(inner), mode="r:gz") as resources:
        content = resources.extractfile(f"hutto_ICWSM_2014/{domain}_GroundTruth.txt")
        assert content is not None
        lines = [line.split("\t", 2) for line in content.read().decode("utf-8", "replace").splitlines()]
    return [(text, CLASSES[float(rating) > 0]) for _, rating, text in lines if abs(float(rating)) >= 0.5]


def main() -> int:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    rng = np.random.default_rng(0)
    tweets = [tuple(each) for each in rng.permutation(np.asarray(rated("tweets"), dtype=object))]
    train, held = tweets[: len(tweets) // 2], tweets[len(tweets) // 2 :]
    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)), LogisticRegression(C=10, max_iter=500)
    )
    model.fit([text for text, _ in train], [label for _, label in train])
    measure = find("f1_macro", "classification")

    def answers(rows: list[tuple[str, str]]) -> tuple[list[str], Predictions]:
        shares = model.predict_proba([text for text, _ in rows])
        return [label for _, label in rows], Predictions.of_probabilities(shares, CLASSES)

    truth, said = answers(held)
    value = measure(outcome(truth, said, "classification"))
    table = pl.DataFrame({"text": [text for text, _ in held]})
    reference = make(table, INPUTS, said, task="classification", metric="f1_macro", value=value, truth=truth)
    signature = Signature(task="classification", inputs=INPUTS, classes=CLASSES)
    look = MonitorLook(signature=signature, reference=reference, config=MonitorConfig(), since_ms=0, until_ms=1, seed=0)
    print(f"tweets: {len(train)} learned, {len(held)} are the reference: f1_macro {value:.3f}")
    print(
        "| served | drift | PSI | joint AUC | f1_macro estimated | with 200 labels | true | apart |\n|---"
        + "|---" * 7
        + "|"
    )
    worst = 0.0
    for domain in DOMAINS:
        rows = held if domain == "tweets" else rated(domain)
        rows = [rows[at] for at in rng.permutation(len(rows))[:ROWS]]
        truth, said = answers(rows)
        events = [
            prediction(f"{at}", row={"text": text}, label=label, probabilities=dict(zip(CLASSES, share, strict=True)))
            for at, ((text, _), label, share) in enumerate(
                zip(rows, said.values_n.tolist(), np.asarray(said.probabilities_nk).tolist(), strict=True)
            )
        ]
        sums = [
            PredictionSums.of(events[start : start + 50], signature, reference) for start in range(0, len(events), 50)
        ]
        whole = sum(sums[1:], start=sums[0])
        drift = shift.drift([shift.Window(hours=None, sums=whole)], look)
        joint = shift.joint(whole, look)
        shifted, separation = drift.alert or joint.alert, joint.value if joint.alert else None
        estimated = quality.estimated(whole, look, is_shifted=shifted, separation=separation)
        true = measure(outcome(truth, said, "classification"))
        few = LabelledRows(truth=truth[:200], predicted=said.take(np.arange(200)))
        seen = quality.estimated(whole, replace(look, labels=few), is_shifted=shifted, separation=separation)
        after = seen.detail["corrected"]
        apart = (estimated.value or np.nan) - true
        worst = max(worst, abs(apart))
        low, high = (estimated.detail[end] for end in ("low", "high"))
        print(
            f"| {domain} | {'alert' if drift.alert else '-'} | {drift.value:.2f} | {joint.value:.3f} "
            f"| {estimated.value:.3f} [{low:.3f}, {high:.3f}] | {after:.3f} | {true:.3f} | {apart:+.3f} |"
        )
    return int(worst > 0.05)


if __name__ == "__main__":
    sys.exit(main())
