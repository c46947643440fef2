"""What reports say of models that know training rows by heart."""

import pytest

from bakeoff.cli.run_page import leaderboard
from bakeoff.report.html import html
from bakeoff.report.markdown import markdown
from bakeoff.report.memorisation import heads, sentences, warnings
from bakeoff.results.candidate import Memorisation, Recalled
from bakeoff.results.data import Contamination, Overlap
from bakeoff.results.outcome import RunOutcome

KNOWN = {"rows": 50, "tokens": 50, "seen": 0.5, "gap": 0.6, "loss_ratio": 0.2, "warning": True}
KNOWN |= {"train": {"verbatim": 0.7, "loss": 0.4}, "held_out": {"verbatim": 0.1, "loss": 2.0}}
SEEN = {"test": 200, "words": 8, "share": 0.8, "texts": {"rows": 4, "exact": 1}, "answers": None}


def remembered(make, found=None, **more):
    data = {"version": "ab" * 32, "rows": 1000, "train": 700, "validation": 100, "test": 200, "split": "random"}
    return make(found={"memorisation": found or KNOWN}, more={"dataset": data | {"contamination": SEEN}}, **more)


def test_numbers_a_plain_sentence_and_a_warning_at_the_top(make):
    report = remembered(make, names=("lora",))
    told = "lora knows training rows by heart: it gives 70% of the labels of training rows and 10% of those of held-out"
    page, text = html(report), markdown(report)
    assert "<h2>Memorisation</h2>" in page
    assert f'<p class="bad">{told}' in page
    assert 'Look at <a href="#memorisation">what lora learned by heart</a> before you serve it' in page
    assert told in text.replace("\\", "")
    assert "| lora | 70% | 10% | 0.4000 | 2.000 | 0.2000 |" in text
    for every in (page, text):
        assert "trained on 50% of the training rows" in every
        assert "Of 200 test rows, 4 (2%, 1 of them whole) have a text that training rows hold" in every


def test_without_language_models_nothing_is_said(make):
    report = make()
    assert "Memorisation" not in html(report)
    assert "Memorisation" not in markdown(report)


@pytest.mark.parametrize("task", ["generation", "classification"])
def test_sentences(task):
    fine = Memorisation(rows=50, tokens=50, train=Recalled(verbatim=0.5, loss=1.0), held_out=Recalled(verbatim=0.5))
    slow = Memorisation(skipped="reading 100 rows would take about 900 s")
    found = [("lora", fine), ("big", slow)]
    contamination = Contamination(test=10, words=8, share=0.8, answers=Overlap(rows=0, exact=0))
    told = " ".join(sentences(found, contamination, task))
    assert "No candidate knows training rows much better" in told
    assert "big was not asked: reading 100 rows would take about 900 s." in told
    assert "Of 10 test rows, 0 (0%) have an answer that training rows hold" in told
    assert ("word for word" in told) == (task == "generation")
    assert warnings(found, task) == []
    assert len(heads(task)) == 6


def test_the_terminal_warns(make):
    interval = {"value": 0.8, "low": 0.7, "high": 0.9}
    candidate = {"name": "lora", "status": "ok", "run_id": "r1-0", "family": "lora", "metrics": {"accuracy": interval}}
    candidate |= {"latency_ms": {"p50": 1.0, "p95": 2.0}, "cost_usd_per_1k": 0.1, "train_s": 1.0, "size_bytes": 10}
    candidate |= {"model_version": None, "memorisation": KNOWN}
    verdict = {"metric": "accuracy", "winner": None, "reason": "", "contest": None, "gates": [], "promoted": False}
    data = {"rows": 200, "version": "ab" * 32, "split": "group", "train": 100, "validation": 0, "test": 100}
    document = {
        "run_id": "r1",
        "project": "films",
        "task": "generation",
        "dataset": data,
        "verdict": verdict,
        "release": None,
    }
    told = leaderboard(RunOutcome.from_json(document | {"candidates": [candidate]}))
    assert "warning: lora knows training rows by heart: it gives 70% of the answers to training rows" in told
