"""What generated texts are judged by beside truth and answer: likelihoods, JSON schemas, sentence vectors."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bakeoff.core import plugins
from bakeoff.core.abilities import abilities_of
from bakeoff.core.errors import CandidateError, ConfigError, MissingExtraError, Problem
from bakeoff.core.protocols import Model, Progress
from bakeoff.core.types import Predictions
from bakeoff.evaluate.score.structures import structure_scores
from bakeoff.metrics.texts import k_precision

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ENCODING_FAMILY", "SIMILARITY", "VALID", "annotated", "contexts", "schema_check", "similarity"]

SIMILARITY, VALID, K_PRECISION = "embedding_similarity", "json_valid", "k_precision"
ENCODING_FAMILY = "embedding"


class _Encoding(Protocol):
    """A family that lends its sentence encoder out."""

    def sentence_vectors(
        self, name: str, texts: Sequence[str], *, cache: Path, threads: int, progress: Progress
    ) -> NDArray[np.float64]:
        """Vectors (n, d) of length one."""
        ...


def annotated(
    predictions: Predictions,
    model: Model | None,
    table: "pl.DataFrame",
    truth_n: NDArray[Any],
    *,
    json_schema: Path | None,
    context: Sequence[str] = (),
    encoder: str | None,
    cache: Path,
    threads: int,
    progress: Progress,
) -> Predictions:
    """Predictions with the log-likelihood of the truth (of models that tell it) and the scores that are asked for.

    Without a `model` (a rule has none) nobody tells the log-likelihood.
    """
    truth = ["" if value is None else str(value) for value in truth_n.tolist()]
    said = ["" if value is None else str(value) for value in predictions.values_n.tolist()]
    scores = {**predictions.scores, **structure_scores(truth, said)}
    if json_schema is not None:
        valid = schema_check(json_schema)
        scores[VALID] = np.asarray([valid(text) for text in said])
    if context:
        passages = contexts(table, context)
        scores[K_PRECISION] = np.asarray([k_precision(*pair) for pair in zip(passages, said, strict=True)])
    if encoder is not None:
        scores[SIMILARITY] = similarity(encoder, truth, said, cache=cache, threads=threads, progress=progress)
    predictions = replace(predictions, scores=scores)
    log_likelihood = None if model is None else abilities_of(model).log_likelihood
    if log_likelihood is not None:
        progress("how likely the true texts are")
        log_likelihood_n, tokens_n = log_likelihood(table, truth)
        if log_likelihood_n.shape != (len(truth),) or tokens_n.shape != (len(truth),) or (tokens_n < 1).any():
            raise CandidateError(
                f"expected a log-likelihood and at least one token for each of {len(truth)} rows; "
                f"received shapes {log_likelihood_n.shape} and {tokens_n.shape}"
            )
        predictions = replace(predictions, log_likelihood_n=log_likelihood_n, tokens_n=tokens_n)
    return predictions


def contexts(table: "pl.DataFrame", columns: Sequence[str]) -> list[str]:
    """What the answer to each row may say: the texts of some columns, below each other.

    Raises:
        CandidateError: there is no such column.
    """
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise CandidateError(
            f"expected [decide] context among the columns {', '.join(table.columns)}, received {', '.join(missing)}"
        )
    rows = table.select(columns).iter_rows()
    return ["\n\n".join(str(value) for value in row if value is not None) for row in rows]


def schema_check(file: Path) -> Callable[[str], float]:
    """A function that gives 1 for a text that is JSON of the schema in the file, else 0.

    Raises:
        ConfigError: the file holds no JSON schema. MissingExtraError: jsonschema is not installed.
    """
    try:
        from jsonschema.exceptions import SchemaError
        from jsonschema.validators import validator_for
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("[decide] json_schema", "chat", "jsonschema") from error

    def wrong(found: str) -> ConfigError:
        return ConfigError((Problem(file=str(file), key="", expected="a JSON schema", found=found),))

    try:
        schema = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise wrong(str(error)) from None
    kind = validator_for(schema)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise wrong(error.message) from None
    validator = kind(schema)

    def check(text: str) -> float:
        try:
            return float(validator.is_valid(json.loads(text, parse_constant=_refuse)))
        except (ValueError, RecursionError):
            return 0.0

    return check


def _refuse(name: str) -> None:
    raise ValueError(name)


def similarity(
    encoder: str, truth: Sequence[str], said: Sequence[str], *, cache: Path, threads: int, progress: Progress
) -> NDArray[np.float64]:
    """The cosine (n,) between sentence vectors of each true text and what was said.

    Source: Reimers and Gurevych, "Sentence-BERT", EMNLP 2019.
    """
    family: _Encoding = plugins.load("bakeoff.families", ENCODING_FAMILY)()
    distinct = list(dict.fromkeys([*truth, *said]))
    progress(f"sentence vectors of {len(distinct):,} texts")
    vector_nd = family.sentence_vectors(encoder, distinct, cache=cache, threads=threads, progress=progress)
    at = {text: row for row, text in enumerate(distinct)}
    theirs, ours = (vector_nd[[at[text] for text in texts]] for texts in (truth, said))
    return np.einsum("nd,nd->n", theirs, ours)
