"""The project file: its schema, its errors (all together), and where each value came from.

The only module that reads `bakeoff.toml` and the environment. A value is taken from the environment
(`BAKEOFF_STORE__RECORDS` for `[store] records`), else from the file, else it is the default.
"""

import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_serializer

from bakeoff.core.errors import ConfigError, Problem
from bakeoff.core.plugins import suggestion
from bakeoff.core.types import Json, Task

__all__ = [
    "FILE_NAME",
    "CandidateConfig",
    "CombineConfig",
    "ComputeConfig",
    "Config",
    "CostConfig",
    "DataConfig",
    "DecideConfig",
    "EndpointConfig",
    "Gate",
    "JudgeConfig",
    "Loaded",
    "LoopConfig",
    "MonitorConfig",
    "PrepareConfig",
    "PrivacyConfig",
    "ProjectConfig",
    "SearchConfig",
    "SplitConfig",
    "StepConfig",
    "StoreConfig",
    "Value",
    "load",
    "loads",
    "secret",
]

FILE_NAME = "bakeoff.toml"
ENVIRONMENT_PREFIX = "BAKEOFF_"
SHOWN_CHARACTERS = 80
NEAR = 0.8
"""The similarity from which texts are near-duplicates, unless it is set."""
NAME_PATTERN = r"^[a-z0-9][a-z0-9_.-]*$"

Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=80)]


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


class ProjectConfig(_Section):
    """`[project]`: what it is called, what it predicts, the seed of everything random."""

    name: Name
    task: Task = "classification"
    seed: int = Field(default=0, ge=0, lt=2**31)


class DataConfig(_Section):
    """`[data]`: where rows come from and what the columns mean.

    `source` is one location (or several to be appended); `sources` names tables for `query` (DuckDB SQL;
    a lone `source` is the table `source`). Columns that are not listed get a kind from their values.
    `contract` is a file with rules that rows must keep to (see `bakeoff.data.contract`). `rejected` is a column of
    answers that were turned down, beside the target that is better (task generation); by default `TARGET_rejected`,
    where corrected answers of the endpoint go, too.
    """

    source: Names = ()
    sources: dict[Name, Names] = {}
    query: str | None = None
    target: str
    text: Names = ()
    categorical: Names = ()
    numeric: Names = ()
    datetime: Names = ()
    boolean: Names = ()
    ignore: Names = ()
    time: str | None = None
    group: str | None = None
    rejected: str | None = None
    encoding: str = "utf-8"
    max_bad_share: float = Field(default=0.05, ge=0, le=1)
    contract: str | None = None

    @property
    def rejected_column(self) -> str:
        """Where answers that were turned down stand, if there are any."""
        return self.rejected or f"{self.target}_rejected"


def _as_similarity(value: object) -> object:
    return (NEAR if value else 0.0) if isinstance(value, bool) else value


class SplitConfig(_Section):
    """`[split]`: how rows become train, validation and test.

    `test` and `validation` are shares of rows; with `by = "time"` they may be durations ("1mo", "14d").
    `auto` means time when `[data] time` is set, group when `[data] group` is, else stratified for
    classification and random for the rest.

    `folds` makes every row a test row once, of a model fitted on the other folds; the released model is fitted
    on all rows. 0: one test part of the size of `test`. Rows whose texts are near-duplicates, of this Jaccard
    similarity of word runs, stay on one side; `near_duplicates` = 0 (or false) does not look for them.
    """

    by: Literal["auto", "random", "stratified", "group", "time"] = "auto"
    test: float | str = 0.2
    validation: float | str = 0.15
    folds: int = Field(default=0, ge=0, le=100)
    near_duplicates: Annotated[float, BeforeValidator(_as_similarity)] = Field(default=NEAR, ge=0, le=1)


def _as_table(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class StepConfig(BaseModel):
    """A step of `[prepare] steps`: a name, or a table of `name` and the step's parameters."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @model_serializer
    def spec(self) -> Any:
        """As JSON: the name alone when no parameters are given; the parameters are still unchecked."""
        params = cast("dict[str, Json]", dict(self.__pydantic_extra__ or {}))
        return {"name": self.name, **params} if params else self.name


class PrepareConfig(_Section):
    """`[prepare]`: steps over columns and rows, in order.

    Steps that learn from training rows come last; they belong to the models of all candidates, or of those that
    the step's key `only` lists.
    """

    steps: tuple[Annotated[StepConfig, BeforeValidator(_as_table)], ...] = ()

    @property
    def specs(self) -> tuple[Json, ...]:
        """The steps as JSON, for keys, records and `bakeoff.prepare`."""
        return tuple(step.spec() for step in self.steps)


class SearchConfig(_Section):
    """`[candidates.NAME.search] PARAMETER`: numbers from `low` to `high` (`log`: by ratio), or one of `choices`.

    Whole numbers when both ends are; read by runs with a budget.
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: tuple[bool | int | float | str, ...] = ()


class CandidateConfig(BaseModel):
    """`[candidates.NAME]`: `family` (the name when left out); every other key is a parameter of the family.

    `search` says what a run with a budget tries for parameters that are not given; the family knows by default.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    family: str | None = None
    search: dict[str, SearchConfig] = {}

    @property
    def params(self) -> dict[str, Json]:
        """The parameters given, still unchecked by the family."""
        return cast("dict[str, Json]", dict(self.__pydantic_extra__ or {}))


class Gate(_Section):
    """Limits (inclusive) that a metric must keep to pass."""

    min: float | None = None
    max: float | None = None


class DecideConfig(_Section):
    """`[decide]`: the metric to maximise (or minimise, by its nature), gates, and how sure to be.

    `metrics_file` is a Python file of the project with metrics of its own (see `bakeoff.metrics.own`). `test`
    is how two candidates are told apart: by the bootstrap (with exact McNemar for accuracy), or by swapping
    their answers (used without a `margin`). `json_schema` is a file with the JSON schema that `json_valid` asks for
    and `encoder` the sentence encoder of the embedding family by which `embedding_similarity` compares texts (task
    generation). `findings` are weak slices, robustness and calibration of every
    candidate: they decide nothing, and take seconds on tens of thousands of test rows. `memorisation`: of how many
    training and as many held-out rows a language model is asked what it knows by heart (0: none).

    `utility` is an expression over metrics and measurements ("f1_macro - 0.01 * latency_p95_ms"); of the best
    set the highest wins instead of the cheapest. `champion` is when the winner takes the champion's place:
    "unless_worse" (it is not shown to be worse by more than `margin`), "non_inferior" (it is shown to be worse
    by less than `margin`) or "superior" (it is shown to be better). With `calibrate`, candidates and combinations
    are judged and served with probabilities that are rescaled so on validation rows.
    """

    metric: str | None = None
    utility: str | None = None
    champion: Literal["unless_worse", "non_inferior", "superior"] = "unless_worse"
    gates: dict[str, Gate] = {}
    margin: float = Field(default=0.0, ge=0)
    resamples: int = Field(default=2000, ge=100, le=100_000)
    test: Literal["bootstrap", "permutation"] = "bootstrap"
    metrics_file: str | None = None
    json_schema: str | None = None
    encoder: str | None = None
    findings: bool = True
    memorisation: int = Field(default=50, ge=0, le=10_000)
    calibrate: Literal["none", "temperature", "isotonic"] = "none"


class CostConfig(_Section):
    """`[cost]`: what the machine that serves costs; predictions are priced by the time that they take on it."""

    price_per_hour_usd: float = Field(default=0.10, gt=0)


class CombineConfig(_Section):
    """`[combine]`: whether blends and cascades of the candidates are tried, and of how many at most.

    A candidate that took longer than `max_train_s` to fit is left out, since combining it means fitting it again.
    """

    blends: bool = True
    cascades: bool = True
    max_members: int = Field(default=3, ge=2, le=5)
    max_train_s: float = Field(default=600.0, gt=0)


class PrivacyConfig(_Section):
    """`[privacy]`: whether rows may be sent to services on other machines (`remote` candidates, judges)."""

    remote: bool = False


class JudgeConfig(_Section):
    """`[judge]`: a language model behind an OpenAI-compatible API that compares answers (task generation).

    `url` ends where `/chat/completions` would be added; `key_env` names the environment variable with the key.
    Answers to `rows` test rows (drawn by the seed) are compared with the true ones (`against = "reference"`) or
    with the leader's, in both orders. `labels` is a table of what people think, to correct the judge by.
    Prices are in dollars for a million tokens.
    """

    url: str
    model: str
    key_env: str | None = None
    criteria: str = "Which answer is more correct, helpful and to the point?"
    against: Literal["reference", "leader"] = "reference"
    rows: int = Field(default=200, ge=2, le=100_000)
    labels: str | None = None
    concurrency: int = Field(default=8, ge=1, le=256)
    timeout_s: float = Field(default=60.0, gt=0)
    max_tokens: int = Field(default=16, ge=1)
    price_in: float | None = Field(default=None, ge=0)
    price_out: float | None = Field(default=None, ge=0)


class EndpointConfig(_Section):
    """`[endpoint]`: the stable name that serves, where, and whether an answer waits for its log record.

    `contract`: a request with a row that violates the released data contract is refused, or served and counted
    ("log"), or not looked at ("off").
    """

    name: Name | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    log: Literal["required", "best_effort"] = "required"
    max_rows: int = Field(default=10_000, ge=1)
    contract: Literal["reject", "log", "off"] = "reject"


class MonitorConfig(_Section):
    """`[monitor]`: limits over which a signal becomes an alert, and the least rows to say anything."""

    drift_psi: float = Field(default=0.2, gt=0)
    quality_drop: float = Field(default=0.02, ge=0)
    latency_p95_ms: float | None = Field(default=None, gt=0)
    error_share: float = Field(default=0.01, ge=0, le=1)
    contract_share: float = Field(default=0.01, ge=0, le=1)
    min_rows: int = Field(default=200, ge=1)
    min_feedback: int = Field(default=100, ge=1)


class LoopConfig(_Section):
    """`[loop]`: what starts the loop again, and whether feedback rows join the data.

    `refit` (time splits only): after the decision, the winner is fitted once more on all rows.
    """

    triggers: tuple[Literal["quality", "drift", "feedback", "data", "schedule"], ...] = (
        "quality",
        "drift",
        "data",
    )
    feedback_rows: int = Field(default=1000, ge=1)
    schedule_hours: float = Field(default=24 * 7, gt=0)
    use_feedback: bool = True
    refit: bool = False


class StoreConfig(_Section):
    """`[store]`: URLs of records and blobs, and the folder of events; relative paths start at the project."""

    records: str = "sqlite:///.bakeoff/records.db"
    blobs: str = "file://.bakeoff/blobs"
    events: str = "file://.bakeoff/events"


class ComputeConfig(_Section):
    """`[compute]`: where jobs run. `workers` = 0: as many as fit the candidates and the cores."""

    backend: str = "local"
    workers: int = Field(default=0, ge=0)
    threads: int = Field(default=0, ge=0)


class Config(_Section):
    """A whole project file."""

    project: ProjectConfig
    data: DataConfig
    split: SplitConfig = SplitConfig()
    prepare: PrepareConfig = PrepareConfig()
    candidates: dict[Name, CandidateConfig] = {"linear": CandidateConfig()}
    combine: CombineConfig = CombineConfig()
    decide: DecideConfig = DecideConfig()
    cost: CostConfig = CostConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    judge: JudgeConfig | None = None
    endpoint: EndpointConfig = EndpointConfig()
    monitor: MonitorConfig = MonitorConfig()
    loop: LoopConfig = LoopConfig()
    store: StoreConfig = StoreConfig()
    compute: ComputeConfig = ComputeConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One setting: its dotted key, its value and its origin ("default", a file's name, or a variable)."""

    key: str
    value: Json
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A checked project file and where it stands."""

    config: Config
    folder: Path
    file: str
    overrides: Mapping[str, str]
    given: frozenset[str]

    def values(self) -> list[Value]:
        """Every setting with its origin, in the order of the schema."""

        def origin(key: str) -> str:
            for overridden, variable in self.overrides.items():
                if key == overridden or key.startswith(overridden + "."):
                    return variable
            inside = any(key == g or key.startswith(g + ".") for g in self.given)
            return self.file if inside else "default"

        return [
            Value(key=key, value=value, origin=origin(key))
            for key, value in _flatten(self.config.model_dump(mode="json"), "")
        ]


def load(path: Path, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read and check a project file (or the one in a folder).

    Raises:
        ConfigError: it is missing, is not TOML, or anything in it is wrong; all problems at once.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        text = file.read_bytes().decode("utf-8-sig")  # some editors put a byte order mark first
    except FileNotFoundError:
        raise ConfigError(
            (
                Problem(
                    file=str(file),
                    key="",
                    expected="a project file",
                    found="nothing",
                    hint="Run 'bakeoff init' to make one, or name a project folder with --project.",
                ),
            )
        ) from None
    except (UnicodeDecodeError, OSError) as error:
        raise ConfigError(
            (Problem(file=str(file), key="", expected="a readable UTF-8 file", found=str(error)),)
        ) from None
    return loads(text, folder=file.parent.resolve(), file=file.name, environ=environ)


def loads(text: str, *, folder: Path, file: str = FILE_NAME, environ: Mapping[str, str] | None = None) -> Loaded:
    """Check a project file given as text; the same errors as `load`."""
    try:
        tree: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also of numbers and nesting that Python cannot take
        raise ConfigError((Problem(file=file, key="", expected="valid TOML", found=str(error)),)) from None
    given = frozenset(key for key, _ in _flatten(tree, ""))
    overrides = _override(tree, os.environ if environ is None else environ)
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(tuple(_problems(error, file, overrides))) from None
    problems = tuple(_semantic_problems(config, file))
    if problems:
        raise ConfigError(problems)
    return Loaded(config=config, folder=folder, file=file, overrides=overrides, given=given)


def secret(variable: str, environ: Mapping[str, str] | None = None) -> str:
    """The secret in an environment variable that a project file names; never in a file, a record or a log.

    Raises:
        ConfigError: the variable is not set.
    """
    found = (os.environ if environ is None else environ).get(variable, "").strip()
    if not found:
        problem = Problem(
            file="environment",
            key=variable,
            expected="a key",
            found="nothing",
            hint=f"Set it where bakeoff runs: export {variable}=…",
        )
        raise ConfigError((problem,))
    return found


def _flatten(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Json]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(cast("Mapping[str, Any]", value), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", cast("Json", value)


def _override(tree: dict[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """Put `BAKEOFF_SECTION__KEY` values into the tree; gives dotted key → variable."""
    overrides: dict[str, str] = {}
    for variable, text in sorted(environ.items()):
        section, _, key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        if not variable.startswith(ENVIRONMENT_PREFIX) or not key:
            continue
        given = tree.setdefault(section, {})
        if isinstance(given, dict):  # else the file is wrong there, and is told so
            given[key] = _environment_value(text)
            overrides[f"{section}.{key}"] = f"${variable}"
    return overrides


def _environment_value(text: str) -> Json:
    """Lists and tables are written as JSON; all else is text, of which the schema makes what it wants."""
    if text.startswith(("[", "{")):
        try:
            return cast("Json", json.loads(text))
        except ValueError:
            pass  # the schema says what it expected
    return text


def _known_keys(location: tuple[str, ...]) -> list[str]:
    """Keys that the schema knows beside the last part of a location."""
    if location[:2] == ("decide", "gates"):
        return list(Gate.model_fields)
    section = Config.model_fields.get(location[0]) if len(location) > 1 else None
    model = section.annotation if section else Config
    model = next(iter(get_args(model)), model)  # of a section that may be left out
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _problems(error: ValidationError, file: str, overrides: Mapping[str, str]) -> Iterator[Problem]:
    variables = {key.partition(".")[0]: variable for key, variable in overrides.items()} | dict(overrides)
    for item in error.errors(include_url=False):
        location = tuple(str(part) for part in item["loc"])
        key = ".".join(location)
        where = variables.get(".".join(location[:2]), file)
        if item["type"] == "extra_forbidden":
            known = _known_keys(location)
            hint = suggestion(location[-1], known) or f"Known here: {', '.join(known)}."
            yield Problem(file=where, key=key, expected="a known key", found=repr(location[-1]), hint=hint)
        elif item["type"] == "missing":
            yield Problem(file=file, key=key, expected="a value", found="nothing")
        else:
            message = item["msg"].removeprefix("Input should be ")
            expected = message[0].lower() + message[1:]
            yield Problem(file=where, key=key, expected=expected, found=_short(item["input"]))


def _short(value: object) -> str:
    found = repr(value)
    return found if len(found) <= SHOWN_CHARACTERS else found[: SHOWN_CHARACTERS - 3] + "..."


def _semantic_problems(config: Config, file: str) -> Iterator[Problem]:
    """What single fields cannot tell."""

    def problem(key: str, expected: str, found: str) -> Problem:
        return Problem(file=file, key=key, expected=expected, found=found)

    data = config.data
    if bool(data.source) == bool(data.sources):
        yield problem("data.source", "either source or [data.sources]", "both" if data.source else "neither")
    if len(data.sources) > 1 and data.query is None:
        yield problem("data.query", "a query over the several [data.sources]", "nothing")
    roles = [*data.text, *data.categorical, *data.numeric, *data.datetime, *data.boolean, *data.ignore]
    for name in sorted({name for name in roles if roles.count(name) > 1}):
        yield problem("data", f"column {name!r} in one list", "it in several")
    if data.target in roles:
        yield problem("data.target", "a column that is no input", f"{data.target!r} listed twice")
    for name, candidate in config.candidates.items():
        for key, value in candidate.params.items():
            if not _is_json(value):
                yield problem(
                    f"candidates.{name}.{key}", "texts, numbers of 64 bits, booleans, lists and tables", _short(value)
                )
        yield from _search_problems(f"candidates.{name}.search", candidate.search, problem)
    for role, column in (("time", data.time), ("group", data.group)):
        if column == data.target:
            yield problem(f"data.{role}", "another column than the target", repr(column))
    yield from _rejected_problems(config, problem)
    if not config.candidates:
        yield problem("candidates", "at least one candidate", "none")
    yield from _decide_problems(config, problem)
    yield from _judge_problems(config, problem)
    yield from _split_problems(config, problem)


def _rejected_problems(config: Config, problem: Callable[[str, str, str], Problem]) -> Iterator[Problem]:
    data, name = config.data, config.data.rejected_column
    if config.project.task != "generation":
        if data.rejected is not None:
            yield problem("data.rejected", 'none unless project.task = "generation"', repr(data.rejected))
        return
    others = [data.target, data.time, data.group]
    others += [*data.text, *data.categorical, *data.numeric, *data.datetime, *data.boolean]
    if name in (others if data.rejected is None else [*others, *data.ignore]):
        expected = "a column of its own for answers that were turned down"
        yield problem("data.rejected", expected, f"{name!r}, which is listed for something else")


def _is_json(value: object) -> bool:
    """Whether JSON can hold it: a TOML date or a number of any size cannot go to a worker."""
    if isinstance(value, dict):
        return all(_is_json(item) for item in cast("dict[str, object]", value).values())
    if isinstance(value, list):
        return all(_is_json(item) for item in cast("list[object]", value))
    return isinstance(value, bool | float | str) or (isinstance(value, int) and abs(value) < 2**63)


def _search_problems(
    where: str, searched: Mapping[str, SearchConfig], problem: Callable[[str, str, str], Problem]
) -> Iterator[Problem]:
    for name, search in searched.items():
        key = f"{where}.{name}"
        if search.choices:
            if search.low is not None or search.high is not None or search.log:
                yield problem(key, "either choices or low and high", "both")
        elif search.low is None or search.high is None:
            yield problem(key, "low and high, or choices", "neither" if search.low is search.high else "one end")
        elif not search.low < search.high:
            yield problem(key, "low < high", f"low = {search.low!r}, high = {search.high!r}")
        elif search.log and search.low <= 0:
            yield problem(f"{key}.low", "a number over 0, because log = true", repr(search.low))


def _decide_problems(config: Config, problem: Callable[[str, str, str], Problem]) -> Iterator[Problem]:
    decide = config.decide
    for name, gate in decide.gates.items():
        if gate.min is None and gate.max is None:
            yield problem(f"decide.gates.{name}", "min or max", "neither")
    if decide.calibrate != "none" and (config.project.task != "classification" or config.split.folds):
        why = '"none", unless it is a classification without [split] folds'
        yield problem("decide.calibrate", why, repr(decide.calibrate))
    if decide.champion == "non_inferior" and not decide.margin:
        why = 'a decide.margin over 0 beside decide.champion = "non_inferior" (without one, say "superior")'
        yield problem("decide.margin", why, repr(decide.margin))
    if decide.test == "permutation" and decide.margin:
        expected = 'no decide.margin beside decide.test = "permutation", which can only tell a difference from none'
        yield problem("decide.margin", expected, repr(decide.margin))


def _judge_problems(config: Config, problem: Callable[[str, str, str], Problem]) -> Iterator[Problem]:
    judge, decide, task = config.judge, config.decide, config.project.task
    if judge is not None and task != "generation":
        yield problem("judge", 'no judge unless project.task = "generation"', repr(task))
    for key, value in (("json_schema", decide.json_schema), ("encoder", decide.encoder)):
        if value is not None and task != "generation":
            yield problem(f"decide.{key}", 'none unless project.task = "generation"', f"{value!r} for {task}")
    if decide.encoder is None and "embedding_similarity" in {decide.metric, *decide.gates}:
        yield problem("decide.encoder", 'an encoder, such as "minilm-l6-int8", to compare meanings by', "nothing")
    if decide.metric == "judge" and judge is None:
        yield problem("decide.metric", "a section [judge] with url and model, or another metric", "no [judge]")
    if decide.metric == "judge" and judge is not None and judge.against == "leader":
        yield problem("judge.against", '"reference", because decide.metric = "judge"', repr(judge.against))


def _split_problems(config: Config, problem: Callable[[str, str, str], Problem]) -> Iterator[Problem]:
    data, split = config.data, config.split
    by_time = split.by == "time" or (split.by == "auto" and data.time is not None)
    if split.by == "time" and data.time is None:
        yield problem("data.time", 'a column, because split.by = "time"', "nothing")
    if split.by == "group" and data.group is None:
        yield problem("data.group", 'a column, because split.by = "group"', "nothing")
    for part, share in (("test", split.test), ("validation", split.validation)):
        if isinstance(share, float) and not 0 < share < 1:
            yield problem(f"split.{part}", "a share between 0 and 1", repr(share))
        if isinstance(share, str) and not by_time:
            yield problem(f"split.{part}", "a share (durations need a time split)", repr(share))
    if split.folds and by_time:
        why = '0 for a split by time: what is early cannot be tested with what is later; say test = "1mo" instead'
        yield problem("split.folds", why, repr(split.folds))
    if split.folds and config.project.task == "generation":
        yield problem("split.folds", '0, because project.task = "generation"', repr(split.folds))
    if split.folds == 1:
        yield problem("split.folds", "at least 2 folds, or 0 for one test part", "1")
    if split.folds and "test" in split.model_fields_set:
        yield problem("split.test", "nothing beside split.folds, which make every row a test row", repr(split.test))
    if config.loop.refit and not by_time:
        why = "false unless the split is by time (else champion and challenger share no unseen rows)"
        yield problem("loop.refit", why, "true")
