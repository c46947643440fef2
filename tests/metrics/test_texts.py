"""Measures of texts equal sacrebleu's and rouge-score's on random texts."""

import numpy as np
import pytest
import sacrebleu
from hypothesis import example, given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from bakeoff.core.types import Predictions
from bakeoff.metrics.bootstrap import replicate
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import bind, default, find, measures
from bakeoff.metrics.texts import exact_match, json_valid, normalised, token_f1

WORDS = ["the", "a", "Cat", "cat's", "1,000.50", "3-4", "über", "猫", "&quot;x&amp;", "end.", "(so)", "e-\nf", "\t", ""]
SENTENCES = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)
TEXTS = st.one_of(SENTENCES, st.text(alphabet=st.characters(codec="utf-8"), max_size=30))
CORPORA = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8)


def scored(name, pairs):
    truth, predicted = zip(*pairs, strict=True)
    said = Predictions(values_n=np.asarray(predicted, dtype=object))
    return find(name, "generation")(outcome(np.asarray(truth, dtype=object), said, "generation"))


@given(CORPORA)
@example([("", "")])
@example([("the cat sat on the mat", "the cat sat on a mat")])
@example([("a", "the cat sat on a mat")])
def test_corpus_scores_equal_sacrebleu(pairs):
    truth, predicted = zip(*pairs, strict=True)
    bleu = sacrebleu.BLEU().corpus_score(predicted, [truth]).score
    chrf = sacrebleu.CHRF().corpus_score(predicted, [truth]).score
    assert 100 * scored("bleu", pairs) == pytest.approx(bleu, abs=1e-9)
    assert 100 * scored("chrf", pairs) == pytest.approx(chrf, abs=1e-9)


@given(CORPORA)
def test_rouge_equals_rouge_score(pairs):
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    found = [scorer.score(truth, predicted) for truth, predicted in pairs]
    for ours, theirs in (("rouge1", "rouge1"), ("rouge2", "rouge2"), ("rouge_l", "rougeL")):
        expected = np.mean([each[theirs].fmeasure for each in found])
        assert scored(ours, pairs) == pytest.approx(expected, abs=1e-9)


def test_words_are_compared_without_case_punctuation_and_articles():
    assert token_f1("The red cat!", "red CAT") == 1.0
    assert token_f1("", "the") == 1.0
    assert token_f1("cat", "") == 0.0
    assert exact_match("«Der Hund»", "der hund") == 1.0
    assert exact_match("cat", "dog") == 0.0
    assert json_valid("[1, NaN]") == json_valid("") == json_valid("[" * 100_000) == 0.0
    assert json_valid(' {"é": null} ') == 1.0


def test_texts_are_resampled_like_everything_else():
    assert default("generation") == "token_f1"
    rng = np.random.default_rng(0)
    pairs = [(" ".join(rng.choice(WORDS, 8)), " ".join(rng.choice(WORDS, 8))) for _ in range(40)]
    truth, predicted = (np.asarray(each, dtype=object) for each in zip(*pairs, strict=True))
    said = Predictions(
        values_n=predicted,
        log_likelihood_n=-rng.exponential(10, 40),
        tokens_n=rng.integers(1, 9, 40),
        scores={
            name: rng.random(40)
            for name in ("embedding_similarity", "tool_name", "tool_call", "citation_f1", "k_precision", "faithful")
        }
        | {"judge": np.where(rng.random(40) < 0.5, np.nan, 0.5)},
    )
    result = outcome(truth, said, "generation")
    rows = np.random.default_rng(1).integers(0, 40, 40)
    weights = np.bincount(rows, minlength=40)[None, :]
    for name, statistic in bind(list(measures("generation").values()), result).items():
        again = find(name, "generation")(result.take(rows))
        assert statistic.finish(statistic.sums(weights))[0] == pytest.approx(again, abs=1e-12), name
        (found,) = replicate([statistic], 40, resamples=50, seed=0)
        assert np.isfinite(found.draws_rm).all()


def by_characters(truth, predicted):
    """F1 of characters, worked out apart."""
    ours, theirs = list(predicted), list(truth)
    common = sum(min(ours.count(c), theirs.count(c)) for c in set(ours))
    return 2 * common / (len(ours) + len(theirs)) if common else 0.0


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [
        ("东京大学的学生", "东京大学的老师"),
        ("ひらがなとカタカナ", "ひらがなやカタカナ"),
        ("กกขคง", "กกขคจ"),
        ("ພາສາລາວ", "ພາສາລາງ"),
    ],
)
def test_one_character_off_is_not_all_wrong_where_words_have_no_spaces(truth, predicted):
    assert 0.5 < token_f1(truth, predicted) < 1
    assert token_f1(truth, predicted) == pytest.approx(by_characters(truth, predicted), abs=1e-12)
    assert exact_match(truth, predicted) == 0.0


@given(
    st.lists(st.sampled_from(["东", "京", "大", "学", "tower", " tower ", "2020年", "，", "。"]), max_size=10).map(
        "".join
    )
)
def test_chinese_is_cut_as_mlqa_cuts_it(text):
    """The published rule for Chinese: each Chinese character apart, punctuation out, other words at spaces."""
    apart = "".join(f" {c} " if "\u4e00" <= c <= "\u9fa5" else c for c in text if c not in "，。")
    assert normalised(text) == apart.split()


def test_marks_stay_on_their_characters_and_spaced_scripts_are_cut_at_spaces():
    assert normalised("ที่นี่") == ["ที่", "นี่"]
    assert normalised("서울 대학교") == ["서울", "대학교"]
    assert normalised("в Москве") == ["в", "москве"]
    assert normalised("東京Tower2020") == ["東", "京", "tower2020"]
    assert token_f1("caf\u00e9", "cafe\u0301") == exact_match("caf\u00e9", "cafe\u0301") == 1.0
    assert exact_match("東京 大学。", "東京大学") == 1.0
    assert token_f1("東京", "") == 0.0
