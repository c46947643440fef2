"""What MLflow's server lets keys, values and names be: its limits and the words in which it refuses.

Facts: MLflow 3.18, `mlflow/utils/validation.py`, as its clients meet them.
"""

import logging
import posixpath
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, TypeAlias

import msgspec

from bakeoff.core.records import Metric, Series
from bakeoff.web.tracking.messages import KeyValue
from bakeoff.web.tracking.wire import MISSING, SEE, TrackingError, float_of, int_of, invalid, invalid_value, missing

__all__ = [
    "LoggedBatch",
    "LoggedMetric",
    "check_alias",
    "check_batch",
    "check_key",
    "check_location",
    "check_model_name",
    "check_params",
    "check_run_tags",
    "check_tags",
    "experiment_name",
    "is_key",
    "metric_of",
    "metrics_of",
    "version_number",
]

logger = logging.getLogger(__name__)

MOST_METRICS, MOST_PAIRS, MOST_ENTITIES = 1000, 100, 1000
KEY, PARAM, TAG, EXPERIMENT_TAG, REGISTRY_TAG = 250, 6000, 8000, 5000, 100_000
NAMES = re.compile(r"[/\w.\- :]*")
ALIAS, RESERVED = re.compile(r"[\w\-]*"), re.compile(r"[vV]\d+")
WHICH = (
    "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) "
    "and slashes (/)."
)
CHANGED = (
    "The cause of this error is typically due to repeated calls to an individual run_id event logging: a param of a "
    "run cannot change; log it once, or in a run of its own (start_run(nested=True))."
)


def check_key(name: str, *, path: str = "name", most: int = KEY, what: str | None = None) -> None:
    """A key that may be a file's path, and is the only way to write it."""
    if NAMES.fullmatch(name) is None:
        raise invalid_value(path, name, WHICH)
    normal = posixpath.normpath(name)
    if normal != name or normal == "." or normal.startswith(("..", "/")):
        why = (
            "Names may be treated as files in certain cases, and must not resolve to other names when treated as such."
        )
        raise invalid_value(path, name, f"{why} This name would resolve to {normal!r}")
    _length(what or path, most, name)


def is_key(name: str) -> bool:
    """Whether `check_key` takes it: of the keys of metrics, which come again and again."""
    return len(name) <= KEY and _is_path(name)


@lru_cache(maxsize=5000)
def _is_path(name: str) -> bool:
    try:
        check_key(name)
    except TrackingError:
        return False
    return True


def _length(what: str, most: int, value: str) -> None:
    if len(value) > most:
        raise invalid(f"'{what}' exceeds the maximum length of {most} characters")


def check_params(values: Mapping[str, str], *, paths: bool = False) -> dict[str, str]:
    """Params of a run; what is too long is cut, as MLflow cuts it by default, and the server's log says so."""
    for at, key in enumerate(values):
        check_key(key, path=f"params[{at}].key" if paths else "key", what="Param key")
    return {key: _cut("param", key, value, PARAM) for key, value in values.items()}


def check_run_tags(values: Mapping[str, str], *, paths: bool = False) -> dict[str, str]:
    """Tags of a run, cut as params are."""
    for at, key in enumerate(values):
        check_key(key, path=f"tags[{at}].key" if paths else "key")
    return {key: _cut("tag", key, value, TAG) for key, value in values.items()}


def _cut(what: str, key: str, value: str, most: int) -> str:
    if len(value) > most:
        logger.warning("%s %r has %d characters: cut to the first %d", what, key, len(value), most)
    return value[:most]


def check_tags(values: Mapping[str, str], *, most: int = REGISTRY_TAG) -> Mapping[str, str]:
    """Tags of experiments (`most` = 5,000) and of models."""
    for key, value in values.items():
        check_key(key, path="key")
        _length("value", most, value)
    return values


def check_batch(metrics: Sequence[Any], params: Sequence[Any], tags: Sequence[Any]) -> None:
    """How much one request may bring, and each param once."""
    total = len(metrics) + len(params) + len(tags)
    for what, most, count in (
        ("metrics", MOST_METRICS, len(metrics)),
        ("params", MOST_PAIRS, len(params)),
        ("tags", MOST_PAIRS, len(tags)),
        ("metrics, params, and tags", MOST_ENTITIES, total),
    ):
        if count > most:
            raise invalid(
                f"A batch logging request can contain at most {most} {what}. Got {count} {what}. "
                f"Please split up {what} across multiple requests and try again."
            )
    keys = [each.get("key") for each in params]
    twice = [key for at, key in enumerate(keys) if key in keys[:at]]
    if twice:
        raise invalid(
            f"Duplicate parameter keys have been submitted: {twice}. Please ensure the request contains only one "
            "param value per param key."
        )


_Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]
_Int64: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Moment: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Logged(msgspec.Struct, kw_only=True, gc=False):
    """A metric as nearly all clients write it."""

    key: _Text
    value: float
    timestamp: _Moment
    step: _Int64 = 0
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None


class _Plain(Metric, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A metric of a run alone, read as it is kept."""

    key: _Text
    time_ms: _Moment = msgspec.field(name="timestamp")
    step: _Int64 = 0
    series: None = None


class LoggedMetric(_Logged, kw_only=True):
    """The body of one value as nearly all clients write it."""

    run_id: _Text


class LoggedBatch(msgspec.Struct, kw_only=True):
    """The body of a batch as nearly all clients write it."""

    run_id: _Text
    metrics: list[_Plain] = []
    params: list[KeyValue] = []
    tags: list[KeyValue] = []


def metrics_of(given: Sequence[Any]) -> Sequence[Metric]:
    """The metrics of a batch as a client writes them, or as they were read with it."""
    if given and isinstance(given[0], _Plain):
        return given
    try:
        known = msgspec.convert(given, list[_Logged])
    except msgspec.ValidationError:  # texts for NaN and whole numbers, or what must be refused
        return [metric_of(each, at) for at, each in enumerate(given)]
    return [
        Metric(
            key=each.key,
            value=each.value,
            step=each.step,
            time_ms=each.timestamp,
            series=_of(each.model_id, each.dataset_name, each.dataset_digest),
        )
        for each in known
    ]


def _of(model_id: str | None, name: str | None, digest: str | None) -> Series | None:
    if not (model_id or name or digest):
        return None
    return Series(model_id=model_id or None, dataset_name=name or None, dataset_digest=digest or None)


def metric_of(given: Mapping[str, Any], at: int | None = None) -> Metric:
    """A metric as a client writes it; `at` is its place in a batch."""
    path = "" if at is None else f"metrics[{at}]."
    key, value, time_ms = given.get("key"), given.get("value"), given.get("timestamp")
    for name, each in (("key", key), ("value", value), ("timestamp", time_ms)):
        if each is None or each == "":
            raise invalid(MISSING.format(path + name) + SEE)
    if not isinstance(key, str):
        raise invalid_value(path + "key", key)
    if type(value) is not float:
        value = float_of(path + "value", value)
    if type(time_ms) is not int:
        time_ms = int_of(path + "timestamp", time_ms)
    step = given.get("step") or 0
    if type(step) is not int:
        step = int_of(path + "step", step)
    if time_ms < 0:
        why = f"metric '{key}' (value={value}). Timestamp must be a nonnegative long (64-bit integer) "
        raise invalid_value(path + "timestamp", time_ms, why)
    series = _of(given.get("model_id"), given.get("dataset_name"), given.get("dataset_digest"))
    return Metric(key=key, value=value, step=step, time_ms=time_ms, series=series)


def experiment_name(name: str) -> str:
    """A name that an experiment may have."""
    if not name:
        raise invalid(f"Invalid experiment name: '{name}'")
    _length("name", 500, name)
    return name


def check_location(location: str | None) -> str:
    """Where artifacts of an experiment may be; nothing with a query, a fragment, or a way out."""
    if location and location.startswith("runs:"):
        raise invalid(f"Artifact location cannot be a runs:/ URI. Given: '{location}'")
    if location and (
        "#" in location or (":" in location and "?" in location and not location.startswith("databricks"))
    ):
        raise invalid(f"'artifact_location' URL can't include fragments or params. Given: '{location}'")
    if location and (".." in location.split("/") or "\0" in location):
        raise invalid(f"Invalid artifact location: {location}")
    return location or ""


def check_model_name(name: str, *, path: str = "name") -> str:
    """A name that a registered model may have."""
    if not name.strip():
        raise missing(path)
    if "/" in name or ":" in name:
        raise invalid(f"Invalid model name '{name}'. Names cannot contain '/' or ':'.")
    normal = posixpath.normpath(name)
    if normal != name or normal == "." or normal.startswith(".."):
        raise invalid_value("name", name, f"This name would resolve to {normal!r}")
    return name


def version_number(version: str) -> int:
    """The number of a model version."""
    try:
        return int(version)
    except ValueError:
        raise invalid(f"Parameter 'version' must be an integer, got '{version}'.") from None


def check_alias(alias: str) -> str:
    """A name that an alias may have."""
    if not alias:
        raise invalid("Registered model alias name cannot be empty.")
    if ALIAS.fullmatch(alias) is None:
        allowed = "Aliases may only contain alphanumerics, underscores (_), and dashes (-)."
        raise invalid(f"Invalid alias name: '{alias}'. {allowed}")
    _length("Registered model alias name", 255, alias)
    if alias.lower() == "latest":
        raise invalid("'latest' alias name (case insensitive) is reserved.")
    if RESERVED.fullmatch(alias):
        raise invalid(f"Version alias name '{alias}' is reserved.")
    return alias
