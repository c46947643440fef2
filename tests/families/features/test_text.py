import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from bakeoff.families.features.text import ANALYZERS, Analyzer, TermCounts

TEXTS = ["The cat sat on the mat!", "Was it a CAT? It was.", "Dógs and cats", "", "a mat, a mat, a mat"]


def sklearn_vectorizer(analyzer: Analyzer) -> TfidfVectorizer:
    same = {"sublinear_tf": True, "strip_accents": "unicode", "ngram_range": (analyzer.low, analyzer.high)}
    if analyzer.unit == "char":
        return TfidfVectorizer(analyzer="char_wb", **same)
    return TfidfVectorizer(token_pattern=r"\w+|[!?]", **same)


@pytest.mark.parametrize("analyzer", ANALYZERS)
def test_weights_are_those_of_scikit_learn(analyzer: Analyzer) -> None:
    expected = sklearn_vectorizer(analyzer).fit(TEXTS)
    vectorizer, weights = TermCounts.of(TEXTS, analyzer).vectorizer(np.arange(5), min_rows=1, most=10_000)
    assert vectorizer.terms == tuple(expected.get_feature_names_out())
    np.testing.assert_allclose(weights.toarray(), expected.transform(TEXTS).toarray(), atol=1e-12)
    np.testing.assert_array_equal(vectorizer(TEXTS).toarray(), weights.toarray())


def test_a_vectorizer_of_some_rows_knows_their_terms_alone() -> None:
    counts = TermCounts.of(TEXTS, ANALYZERS[0])
    vectorizer, weights = counts.vectorizer(np.array([0, 1]), min_rows=2, most=100)
    assert vectorizer.terms == ("cat",)
    assert weights.shape == (2, 1)


def test_the_rarest_terms_go_first() -> None:
    vectorizer, _ = TermCounts.of(TEXTS, ANALYZERS[0]).vectorizer(np.arange(5), min_rows=1, most=3)
    assert len(vectorizer.terms) == 3
    assert "a" in vectorizer.terms


def test_a_huge_text_is_read_to_the_limit() -> None:
    analyzer = Analyzer(unit="char", low=3, high=6, max_chars=50)
    assert len(list(analyzer.terms("x" * 1_000_000))) < 250


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), min_size=1, max_size=6))
def test_any_texts_give_rows_of_length_one_or_zero(texts: list[str]) -> None:
    for analyzer in ANALYZERS:
        vectorizer, _ = TermCounts.of(texts, analyzer).vectorizer(np.arange(len(texts)), min_rows=1, most=1000)
        lengths = np.linalg.norm(vectorizer(texts).toarray(), axis=1)
        assert np.all(np.isclose(lengths, 1) | (lengths == 0))
