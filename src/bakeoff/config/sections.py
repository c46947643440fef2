"""What a project file may say: its sections, their keys and defaults."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_serializer

from bakeoff.config.duration import FOREVER, budget_seconds, pause_seconds, retention_seconds, seconds
from bakeoff.config.schedule import FreezeWindow, Schedule
from bakeoff.core.errors import UsageError
from bakeoff.core.principals import Permission
from bakeoff.core.types import Json, Task

__all__ = [
    "AlertRule",
    "AlertTarget",
    "AlertsConfig",
    "ApiDialect",
    "AuthConfig",
    "CandidateConfig",
    "CombineConfig",
    "ComputeConfig",
    "Config",
    "CostConfig",
    "DataConfig",
    "DecideConfig",
    "EncryptionConfig",
    "EndpointConfig",
    "FeedbackConfig",
    "Gate",
    "JudgeConfig",
    "LabelRule",
    "LimitConfig",
    "LoopBudget",
    "LoopConfig",
    "ModelPrices",
    "MonitorConfig",
    "PrepareConfig",
    "PrivacyConfig",
    "ProjectConfig",
    "ReviewConfig",
    "RoleConfig",
    "SearchConfig",
    "ServedConfig",
    "SplitConfig",
    "StepCacheConfig",
    "StepConfig",
    "StoreConfig",
    "TlsConfig",
    "TrackingConfig",
    "UpstreamConfig",
]

NEAR = 0.8
"""The similarity from which texts are near-duplicates, unless it is set."""
NAME_PATTERN = r"^[a-z0-9][a-z0-9_.-]*$"

Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=80)]


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _as_label(value: object) -> object:
    """A class as its text, as labels are: true and 1 may stand without quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


ApiDialect: TypeAlias = Literal["auto", "plain", "reasoning", "responses", "anthropic"]
"""How a service is spoken to; "auto" goes by its address, and learns from what it refuses."""

LabelRule: TypeAlias = Literal["exact", "trim", "fold"]

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
    How they are written is seen in their values, too; where those leave it open, `decimal` is the decimal mark and
    `date_order` tells whether days or months come first. `missing` are further words for "no value", in every column;
    in the target, words are classes unless `target_missing` lists them. `encoding` "auto" looks at the bytes.
    `contract` is a file with rules that rows must keep to (see `bakeoff.data.contract`). `rejected` is a column of
    answers that were turned down, beside the target that is better (task generation); by default `TARGET_rejected`
    (`rejected` beside a target `chosen`),
    where corrected answers of the endpoint go, too.

    `labels` is what makes one class of several spellings (see `bakeoff.data.labels`): sign for sign ("exact"), with
    what is not seen around them left out ("trim"), or also whatever the case, spacing and form ("fold").

    `time` is when a row came about. Rows are split by it, and unless there are texts it is an input, too, of which
    models learn trends and calendars (see docs/features.md); list it in `ignore` and it only splits. `horizon` is how
    long after its time the truth of a row is known ("1h", "7d", "1mo"): with it, models may learn from earlier values
    of the target, by `group` if that is listed among the inputs, and baselines that look back (the last value, the
    same time last week) look back at least so far; without it those must be beaten that look back a day or more.
    `history` is how far back the rows reach that come in one call with those to be answered ("1d", "7d"): with it,
    models may learn from earlier values of numeric inputs, by `group` likewise (see docs/features.md).
    `holidays` is the country whose public holidays count
    ("US", or with a part "DE-BY"; needs `pip install 'bakeoff[holidays]'`).

    `max_lost` is the largest share of rows that may be lost on the way to the models, whatever the reason (steps of
    `[prepare]` among them); more is an error before anything is fitted.
    """

    source: Names = ()
    sources: dict[Name, Names] = {}
    query: str | None = None
    target: str
    labels: LabelRule = "trim"
    text: Names = ()
    categorical: Names = ()
    numeric: Names = ()
    datetime: Names = ()
    boolean: Names = ()
    ignore: Names = ()
    time: str | None = None
    group: str | None = None
    horizon: Annotated[str, Field(pattern=r"^\s*[1-9][0-9]{0,3}\s*(h|d|w|mo|y)\s*$")] | None = None
    history: Annotated[str, Field(pattern=r"^\s*[1-9][0-9]{0,3}\s*(h|d|w|mo|y)\s*$")] | None = None
    holidays: Annotated[str, Field(pattern=r"^[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?$")] | None = None
    rejected: str | None = None
    encoding: str = "auto"
    missing: Names = ()
    target_missing: Names = ()
    decimal: Literal[".", ","] | None = None
    date_order: Literal["ymd", "dmy", "mdy"] | None = None
    max_bad_share: float = Field(default=0.05, ge=0, le=1)
    max_lost: float | None = Field(default=None, ge=0, le=1)
    contract: str | None = None

    @property
    def rejected_column(self) -> str:
        """Where answers that were turned down stand, if there are any."""
        return self.rejected or ("rejected" if self.target == "chosen" else f"{self.target}_rejected")


def _as_similarity(value: object) -> object:
    return (NEAR if value else 0.0) if isinstance(value, bool) else value


class SplitConfig(_Section):
    """`[split]`: how rows become train, validation and test.

    `test` and `validation` are shares of rows; with `by = "time"` they may be durations ("1mo", "14d").
    `auto` means time when `[data] time` is set, group when `[data] group` is, else stratified for
    classification and random for the rest.

    `folds` makes every row a test row once, of a model fitted on the other folds; the released model is fitted
    on all rows. 0: one test part of the size of `test`. `auto` means 5 folds below 2,000 rows, where one test part
    would say little, and one test part else, and wherever folds would cost money or long fits (language models,
    services), cannot be (a split by time, generation, `[decide] calibrate`), or `test` is given.

    `repeats` deals the rows into folds so many times, each time otherwise, and tests each row as often: intervals are
    narrower, and chance has less part in who wins. `auto` means 3 below 2,000 rows where all fits are quick (`linear`
    and `boosting`, no texts, up to 5,000 cells: rows times inputs), and once else. A run that searches (`--budget`)
    tests each row once.

    Rows whose texts are near-duplicates, of this Jaccard similarity of word runs, stay on one side; `near_duplicates`
    = 0 (or false) does not look for them.
    """

    by: Literal["auto", "random", "stratified", "group", "time"] = "auto"
    test: float | str = 0.2
    validation: float | str = 0.15
    folds: Literal["auto"] | Annotated[int, Field(ge=0, le=100)] = "auto"
    repeats: Literal["auto"] | Annotated[int, Field(ge=1, le=20)] = "auto"
    near_duplicates: Annotated[float, BeforeValidator(_as_similarity)] = Field(default=NEAR, ge=0, le=1)

    @property
    def asks_folds(self) -> bool:
        """Whether the project names a number of folds."""
        return self.folds not in {0, "auto"}


def _read_by(reader: Callable[[str], object]) -> Callable[[str], str]:
    """A check that a text can be read so; the text itself stays the setting."""

    def check(text: str) -> str:
        try:
            reader(text)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return text

    return check


_as_budget, _as_duration, _as_retention = _read_by(budget_seconds), _read_by(seconds), _read_by(retention_seconds)
_as_pause, _as_schedule, _as_freeze = _read_by(pause_seconds), _read_by(Schedule.parsed), _read_by(FreezeWindow.parsed)


def _as_table(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class StepConfig(BaseModel):
    """A step of `[prepare] steps`: a name, or a table of `name` and the step's parameters."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @model_serializer
    def spec(self) -> Any:
        """As JSON: the name alone when no parameters are given; the parameters are still unchecked."""
        params = dict(self.__pydantic_extra__ or {})
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
        return dict(self.__pydantic_extra__ or {})


class Gate(_Section):
    """Limits (inclusive) that a metric must keep to pass; with this `confidence` (0.9), or else by its value alone.

    Of several candidates, the chance that any passes which should not is at most 1 - confidence.
    """

    min: float | None = None
    max: float | None = None
    confidence: float | None = Field(default=None, ge=0.5, lt=1)


class DecideConfig(_Section):
    """`[decide]`: the metric to maximise (or minimise, by its nature), gates, and how sure to be.

    `metrics_file` is a Python file of the project with metrics of its own (see `bakeoff.metrics.custom`). `test`
    is how two candidates are told apart: by the bootstrap (with exact McNemar for accuracy), or by swapping
    their answers (used without a `margin`). `json_schema` is a file with the JSON schema that `json_valid` asks for
    and `encoder` the sentence encoder of the embedding family by which `embedding_similarity` compares texts (task
    generation). `findings` are weak slices, robustness and calibration of every candidate: they decide nothing, and
    take seconds on tens of thousands of test rows. `explain` is of whom it is told after the verdict why it answers as
    it does (importance of columns and words, learning curve): of "all" that predict fast, of the "winner" alone, or of
    none; a service that is paid for is not asked for it. `memorisation`: of how many training and as many held-out rows
    a language model is asked what it knows by heart (0: none). `own_turns`: of how many test conversations with earlier
    answers the model's own ones are put in their place, as in use (0: none).

    `context` are columns that hold what an answer may say (passages that were retrieved): `k_precision` is then the
    share of its words that stand there and, with a [judge], `faithful` the share of answers that are borne out by them
    (task generation). `safety` is a file of prompts that are meant to lead models astray: rows with the inputs of the
    data and `forbidden` (texts that no answer may hold) or `refuse` (whether it must be refused; true where nothing is
    forbidden) and, if you like, `kind`. `safe` is the share of safe answers, for gates (task generation).

    `utility` is an expression over metrics and measurements ("f1_macro - 0.01 * latency_p95_ms"); of the best
    set the highest wins instead of the cheapest. With a `confidence` nobody wins unless it is shown, with this
    confidence, that the winner is worse than no other by more than `margin`: of few rows, hardly anything is. Without
    one somebody always wins, and the reason says how probable it is that the choice is wrong. `champion` is when the
    winner takes the champion's place: "non_inferior" (it is shown to be worse by less than `margin`, if at all),
    "superior" (it is shown to be better), or "unless_worse" (it is not shown to be worse by more than `margin`: of few
    rows, hardly anything is). With `calibrate`, candidates and combinations are judged and served with probabilities
    that are rescaled so on validation rows.

    `positive` is the class that metrics of one class ask about unless they name one (`recall[fraud]`): by default the
    rarer of two among training rows, of equals the later by name. `metrics` are shown beside the built-in ones and
    decide nothing. `costs` are those of errors, by true class, then predicted class, in the unit of your choice; "*"
    is every class that is not named in its place; with them `expected_cost` is a metric. `decide_by` is what a model
    answers: the most probable class, or the one whose expected cost is least (judged and served so, whatever the
    family; what gives no probabilities stays as it is). See docs/metrics.md.
    """

    metric: str | None = None
    metrics: Names = ()
    positive: Annotated[str | None, BeforeValidator(_as_label)] = None
    costs: dict[str, dict[str, float]] = {}
    decide_by: Literal["probability", "cost"] = "probability"
    utility: str | None = None
    champion: Literal["unless_worse", "non_inferior", "superior"] = "non_inferior"
    gates: dict[str, Gate] = {}
    margin: float | None = Field(default=None, ge=0)
    confidence: float | None = Field(default=None, gt=0.5, lt=1)
    resamples: int = Field(default=2000, ge=100, le=100_000)
    test: Literal["bootstrap", "permutation"] = "bootstrap"
    metrics_file: str | None = None
    json_schema: str | None = None
    context: Names = ()
    safety: str | None = None
    encoder: str | None = None
    findings: bool = True
    explain: Literal["all", "winner", "none"] = "all"
    memorisation: int = Field(default=50, ge=0, le=10_000)
    own_turns: int = Field(default=20, ge=0, le=10_000)
    calibrate: Literal["none", "temperature", "isotonic"] = "none"


class CostConfig(_Section):
    """`[cost]`: what the machine that serves costs; predictions are priced by the time that they take on it.

    `utilisation` is the share of its time in which it answers: what idles is paid for, too. With `requests_per_day`, a
    run tells what each candidate would cost a month when rows are asked for one by one. `budget_usd` is what all
    services together (remote candidates, the judge) may be paid in one run: what then is not answered fails, and the
    run goes on with the rest. Answers are kept, so that the next run goes on where this one stopped.
    """

    price_per_hour_usd: float = Field(default=0.10, gt=0)
    utilisation: float = Field(default=1.0, gt=0, le=1)
    requests_per_day: float | None = Field(default=None, gt=0)
    budget_usd: float | None = Field(default=None, gt=0)


class CombineConfig(_Section):
    """`[combine]`: whether blends and cascades (with routers) of the candidates are tried, and of how many at most.

    With blends goes a stack: a blend of as many as are needed, where these are more than `max_members`.

    A candidate that took longer than `max_train_s` to fit is left out, since combining it means fitting it again.
    """

    blends: bool = True
    cascades: bool = True
    max_members: int = Field(default=3, ge=2, le=5)
    max_train_s: float = Field(default=600.0, gt=0)


class PrivacyConfig(_Section):
    """`[privacy]`: whether rows may be sent to services on other machines (`remote` candidates, judges, upstreams)."""

    remote: bool = False


class JudgeConfig(_Section):
    """`[judge]`: a language model behind an OpenAI-compatible API that compares answers (task generation).

    `url` ends where `/chat/completions` would be added; `key_env` names the environment variable with the key.
    Answers to `rows` test rows (drawn by the seed) are compared with the true ones (`against = "reference"`) or
    with the leader's, in both orders; equal ones are a tie unasked. `labels` is a table of what people think, to
    correct the judge by. `max_tokens` is the longest answer, reasoning included; what cannot be read is asked for once
    more.

    `live_share` of the answers that are served is judged, too (good or bad): at most `live_rows` a day, for at most
    `live_usd` dollars a day (docs/monitoring.md).

    Prices are in dollars for a million tokens; `budget_usd` is what the judge may cost in all. `dialect`,
    `reasoning_effort`, `headers`, `query`, `body` and `key_header` are those of the family `remote`.
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
    attempts: int = Field(default=6, ge=1, le=20)
    temperature: float = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=512, ge=1)
    price_in: float | None = Field(default=None, ge=0)
    price_out: float | None = Field(default=None, ge=0)
    price_cached: float | None = Field(default=None, ge=0)
    budget_usd: float | None = Field(default=None, gt=0)
    live_share: float = Field(default=0.0, ge=0, le=1)
    live_rows: int = Field(default=50, ge=1, le=10_000)
    live_usd: float | None = Field(default=None, gt=0)
    dialect: ApiDialect = "auto"
    reasoning_effort: str | None = None
    key_header: str = "Authorization"
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    body: dict[str, Any] = {}


LIVE_JUDGE = frozenset({"live_share", "live_rows", "live_usd"})
"""Settings of `[judge]` that only monitoring reads: no run depends on them."""


class UpstreamConfig(_Section):
    """One of `[endpoints.NAME] upstreams`: a service with an OpenAI-compatible (or Anthropic's) API that answers.

    `url`, `model`, `key_env`, `key_header`, `headers`, `dialect` and prices (dollars for a million tokens) are those of
    the family `remote`; `model` may be left out, and the caller's word for it goes on. `name` is what the log and the
    metrics call it (the model by default). `retries`: so often a call is tried again before the next upstream is asked.
    `connect_timeout_s`: for a connection; `first_byte_timeout_s`: how long the service may be silent, before its answer
    and within it; `timeout_s`: for the whole answer. After `failures` in a row it is left alone for `rest_s`.
    """

    url: Annotated[str, Field(pattern=r"^https?://")]
    model: str | None = None
    name: Name | None = None
    key_env: str | None = None
    key_header: str = "Authorization"
    headers: dict[str, str] = {}
    dialect: Literal["auto", "plain", "responses", "anthropic"] = "auto"
    retries: int = Field(default=2, ge=0, le=20)
    connect_timeout_s: float = Field(default=5.0, gt=0)
    first_byte_timeout_s: float = Field(default=60.0, gt=0)
    timeout_s: float = Field(default=600.0, gt=0)
    failures: int = Field(default=5, ge=1)
    rest_s: float = Field(default=30.0, gt=0)
    price_in: float | None = Field(default=None, ge=0)
    price_out: float | None = Field(default=None, ge=0)
    price_cached: float | None = Field(default=None, ge=0)


class LimitConfig(_Section):
    """`[limits.NAME]`: what each caller may use of the endpoints that have upstreams; more is refused with 429.

    `callers` and `endpoints` are names, or patterns of them ("ci-*"); a caller is a token's name, and "anonymous" where
    nobody is asked. Each caller counts by itself, on all of these endpoints together, and every limit that names it
    holds. Minutes and days (UTC) begin with the clock. What is counted: calls, tokens read and written, and dollars by
    the prices of the upstreams. Processes add up what they count once a second.
    """

    callers: Names = ("*",)
    endpoints: Names = ("*",)
    requests_per_minute: int | None = Field(default=None, ge=1)
    requests_per_day: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_day: int | None = Field(default=None, ge=1)
    usd_per_minute: float | None = Field(default=None, gt=0)
    usd_per_day: float | None = Field(default=None, gt=0)


class ServedConfig(_Section):
    """`[endpoints.NAME]`: a further endpoint, a stable name that serves, and how.

    `log`: whether an answer waits for its log record, or nothing is logged ("off"). `sample`: the share of calls that
    are logged (of a canary and a shadow, all are). `keep`: how long predictions stay in the log ("90d", an hour at
    least), but those that people said something of: a server removes older ones now and then, as `bakeoff expire` does.
    `contract`: a request with a row that violates the released data contract is refused, or served and counted ("log"),
    or not looked at ("off"). `unknown`: a request with a row that lacks inputs while it has keys that no column of the
    training data has is refused with the nearest names, or answered as if they were missing ("warn"). `deadline_ms`: a
    call that waits for others is answered within it, or refused at once; one that takes long by itself may wait as long
    again. `batch_rows`: the most rows that are computed together for several calls, where that is seen to pay (1:
    never); `batch_wait_ms`: how long a call waits for others to be computed with. `cache`: how many answers are kept
    for rows that come again, of models that would answer the same again (each is logged, with an id of its own); small
    models of numbers answer faster without. `rollout`: a new winner answers everything at once ("direct"), or first a
    share of the calls ("canary", `canary_share` of them), or first copies of them whose answers nobody gets, and then a
    share ("shadow"); it answers everything when `canary_calls` at least have shown it to be no worse. `upstreams`:
    services that answer instead of releases, the first that can (see docs/gateway.md); of the settings above, `log`,
    `sample`, `keep` and `cache` hold for them.
    """

    log: Literal["required", "best_effort", "off"] = "required"
    sample: float = Field(default=1.0, ge=0, le=1)
    keep: Annotated[str, AfterValidator(_as_retention)] = FOREVER
    max_rows: int = Field(default=10_000, ge=1)
    contract: Literal["reject", "log", "off"] = "reject"
    unknown: Literal["reject", "warn"] = "reject"
    deadline_ms: float = Field(default=2000, gt=0)
    batch_rows: int = Field(default=64, ge=1)
    batch_wait_ms: float = Field(default=0, ge=0, le=1000)
    cache: int = Field(default=0, ge=0)
    rollout: Literal["direct", "canary", "shadow"] = "direct"
    canary_share: float = Field(default=0.1, gt=0, le=1)
    canary_calls: int = Field(default=200, ge=1)
    upstreams: tuple[UpstreamConfig, ...] = ()


class EndpointConfig(ServedConfig):
    """`[endpoint]`: the project's own endpoint, and where all of them are served.

    `log` to `canary_calls`: as in `[endpoints.NAME]`.
    `model_names`: what clients of OpenAI's and Anthropic's API may call the model beside the endpoint's name; "*" for
    whatever they like. `trusted_network`: any address may be listened on without tokens and TLS, as something else says
    who reaches it: in a container behind a network policy or a proxy. Nobody is asked who they are then.
    """

    name: Name | None = None
    model_names: tuple[str, ...] = ()
    trusted_network: bool = False
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)


class RoleConfig(_Section):
    """`[auth.roles.NAME]`: a role of the project's own, by what it may do; `deny` goes before all that is allowed."""

    allow: tuple[Permission, ...] = ()
    deny: tuple[Permission, ...] = ()


class OpenIdConfig(_Section):
    """`[auth.openid]`: a provider of OpenID Connect by which people sign in to pages.

    `secret_env` names the environment variable with the client's secret, if it has one. Of the claim `claim` (a text or
    a list), `roles` says which role each value has; who has none of them gets `default_role`, or is refused where there
    is none.
    """

    issuer: str
    client_id: str
    secret_env: str | None = None
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    claim: str = "groups"
    roles: dict[str, str] = {}
    default_role: str | None = None


class AuthConfig(_Section):
    """`[auth]`: whether callers of servers need a token ("bakeoff tokens create"), and the project's own roles.

    Without `required`, a server listens on loopback alone, and whoever can call it may do everything. People sign in to
    pages with an account ("bakeoff people add") or by `openid`; a session ends after `session_hours`. `public_url` is
    where browsers reach the pages: then no other name is answered.
    """

    required: bool = False
    roles: dict[Name, RoleConfig] = {}
    openid: OpenIdConfig | None = None
    session_hours: float = Field(default=12, gt=0)
    public_url: str | None = None


class TlsConfig(_Section):
    """`[tls]`: files in PEM, relative to the project; a server reads them anew when they change.

    `client_authority`: certificates of the authorities that clients must have one of (mutual TLS).
    """

    certificate: str | None = None
    key: str | None = None
    client_authority: str | None = None


class SecurityConfig(_Section):
    """`[security]`: what a model must be before it is loaded to serve.

    `require_signed`: signed by one of `public_keys` (files in PEM, relative to the project) with "bakeoff models sign".
    """

    require_signed: bool = False
    public_keys: tuple[str, ...] = ()


def _as_baseline(text: str) -> str:
    """A baseline as it is written: a word, or two days with a slash between."""
    from datetime import date

    if text in {"training", "previous", "seasonal"}:
        return text
    try:
        first, last = (date.fromisoformat(day) for day in text.split("/"))
    except ValueError:
        first, last = date.max, date.min
    if first > last:
        raise ValueError('expected "training", "previous", "seasonal" or two days as "2026-01-01/2026-01-31"')
    return text


class MonitorConfig(_Section):
    """`[monitor]`: when a signal becomes an alert, the least rows to say anything, and what is compared with what.

    `false_alarms`: the most share of weeks without any change in which a signal that tests raises an alert, however
    many columns there are and however often one looks. Beyond that, a signal must be over its limit: `drift_psi`,
    `quality_drop`, `latency_p95_ms`, `error_share`, `contract_share`, `joint_auc` (of a classifier that tells rows of
    the window from those of the reference, by all columns or by what texts are about), `answer_share` (how many more
    answers are empty, refusals, …), `language_share` (by how much the share of a language among texts changed),
    `slice_drop` (how many more rows of a part of the data are wrong).

    `windows`: hours that are looked at, up to now; the first is what all signals are of, drift is looked for in each.
    `baseline`: drift is against the "training" data, the window before ("previous"), the same hours of the week in the
    four weeks before ("seasonal"), or the days "2026-01-01/2026-01-31". `calendar`: columns that move on with time,
    whose drift is shown and raises no alert, beside those that are known by name and values (month, weekday, …).
    """

    false_alarms: float = Field(default=0.01, gt=0, lt=1)
    windows: Annotated[tuple[Annotated[int, Field(ge=1, le=840)], ...], Field(min_length=1, max_length=4)] = (168, 24)
    baseline: Annotated[str, AfterValidator(_as_baseline)] = "training"
    calendar: tuple[str, ...] = ()
    drift_psi: float = Field(default=0.2, gt=0)
    joint_auc: float = Field(default=0.65, gt=0.5, lt=1)
    quality_drop: float = Field(default=0.02, ge=0)
    slice_drop: float = Field(default=0.1, ge=0)
    answer_share: float = Field(default=0.05, ge=0, le=1)
    language_share: float = Field(default=0.05, ge=0, le=1)
    latency_p95_ms: float | None = Field(default=None, gt=0)
    error_share: float = Field(default=0.01, ge=0, le=1)
    contract_share: float = Field(default=0.01, ge=0, le=1)
    min_rows: int = Field(default=50, ge=1)
    min_feedback: int = Field(default=100, ge=1)


class LoopBudget(_Section):
    """`[loop.budget]`: what the loop may spend within `per` ("30d") on runs of its own; what is left out has no limit.

    `runs` is their number, `seconds` their time, `usd` what they cost: their time at `[cost] price_per_hour_usd`, and
    what services were paid.
    """

    per: Annotated[str, AfterValidator(_as_duration)] = "30d"
    runs: int | None = Field(default=None, ge=1)
    seconds: float | None = Field(default=None, gt=0)
    usd: float | None = Field(default=None, gt=0)


SignalName: TypeAlias = Literal[
    "volume",
    "latency",
    "errors",
    "contract",
    "inputs",
    "drift",
    "quality",
    "estimated",
    "calibration",
    "slices",
    "joint",
    "outliers",
    "answers",
    "cost",
    "language",
    "meaning",
    "tokens",
    "judged",
]
SIGNAL_NAMES: tuple[SignalName, ...] = get_args(SignalName)
"""Signals of monitoring (docs/monitoring.md)."""
DriftSignal: TypeAlias = Literal["drift", "joint", "meaning", "language"]
DRIFT_SIGNALS: tuple[DriftSignal, ...] = get_args(DriftSignal)
"""Those of inputs and predictions that moved."""


Severity: TypeAlias = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""Of alerts, the least first."""


class AlertRule(_Section):
    """`[alerts.rules.NAME]`: what is an alert beside the signals' own limits, or other than these.

    `signal`: the one that it is about; without `above` and `below`, whether that is over its own limit. It begins when
    that is so for `after` looks, and ends when for `until` looks the value is back by `margin` at least.
    """

    signal: SignalName
    above: float | None = None
    below: float | None = None
    margin: float = Field(default=0.0, ge=0)
    after: int = Field(default=1, ge=1)
    until: int = Field(default=2, ge=1)
    severity: Severity = "warning"


class AlertTarget(_Section):
    """`[alerts.to.NAME]`: who is told, and how.

    `kind`: "log" (the program's own), "webhook" (JSON, signed with the key in the variable `key_env`: header
    `X-Bakeoff-Signature`, HMAC-SHA256 of time, dot and body), "slack" (JSON as Slack's incoming webhooks take it), or
    "email" (by SMTP with TLS at `server`, from `sender` to `recipients`; user and password from the variables
    `user_env` and `key_env`). The URL of a webhook may be secret: `url_env` names a variable that holds it. `least`:
    the least severity that is told.
    """

    kind: Literal["log", "webhook", "slack", "email"]
    url: str | None = None
    url_env: str | None = None
    key_env: str | None = None
    user_env: str | None = None
    server: str | None = None
    sender: str | None = None
    recipients: tuple[str, ...] = ()
    least: Severity = "info"


class AlertsConfig(_Section):
    """`[alerts]`: rules beside the signals' own limits, who is told, and how often.

    `cool_down_h`: an alert that goes on is told again after so many hours, and one that comes back sooner is not told
    anew.
    """

    cool_down_h: float = Field(default=24.0, ge=0)
    rules: dict[Name, AlertRule] = {}
    to: dict[Name, AlertTarget] = {}


class LoopConfig(_Section):
    """`[loop]`: the policy: what starts the loop again, what it may do by itself, and whether feedback joins the data.

    The trigger "quality" is an alert of the signal `quality` or of `slices`: a part of the data may become worse while
    all together hardly does. "drift" is an alert of any signal in `drift_signals`: of columns (`drift`), of what rows
    show jointly (`joint`), of what texts mean (`meaning`) and of their language.

    `schedule` is a trigger beside those listed: "every 7d", or five cron fields in UTC ("0 3 * * 1"). `feedback_rows`
    new labels are a trigger, if that is listed; with fewer than `min_new_labels` no run begins, unless the source
    changed. After a run none begins for `cool_down` ("12h", or "none"). In a window of `freeze` no run begins and
    nothing is released:
    "2026-12-20/2027-01-03" (the last day is in it), "2026-12-24T18:00/2026-12-27T06:00", or every week
    "fri 18:00/mon 06:00", in UTC. With `approval` a winner waits for `bakeoff loop approve`. `screen_labels` sets aside
    feedback rows that repeat, contradict others or look wrong (docs/loop.md).

    `refit`: after the decision, the winner is fitted once more on all rows, with what was chosen; the model that was
    evaluated stays as the evidence. Not where that would take more than `refit_max_s` seconds, as the first fit took. A
    winner with other
    inputs than the live model is released by the loop only with `accept_changed_inputs`; else it waits for a person.
    """

    triggers: tuple[Literal["quality", "drift", "feedback", "data", "schedule"], ...] = (
        "quality",
        "drift",
        "data",
    )
    drift_signals: Annotated[tuple[DriftSignal, ...], Field(min_length=1)] = DRIFT_SIGNALS
    feedback_rows: int = Field(default=1000, ge=1)
    schedule_hours: float = Field(default=24 * 7, gt=0)
    schedule: Annotated[str, AfterValidator(_as_schedule)] | None = None
    min_new_labels: int = Field(default=0, ge=0)
    cool_down: Annotated[str, AfterValidator(_as_pause)] = "1h"
    freeze: tuple[Annotated[str, AfterValidator(_as_freeze)], ...] = ()
    approval: bool = False
    budget: LoopBudget = LoopBudget()
    use_feedback: bool = True
    screen_labels: bool = True
    refit: bool = True
    refit_max_s: float = Field(default=300.0, gt=0)
    accept_changed_inputs: bool = False


class FeedbackConfig(_Section):
    """`[feedback]`: whose word counts most, and what implicit signals mean.

    What one of `experts` (names of sources) says of a prediction goes before what all others say. `implicit` gives
    signals a rating from -1 (bad) to 1 (good): `{ copied = 1, regenerated = -1 }`; others are logged, and mean nothing.
    """

    experts: Names = ()
    implicit: dict[str, Annotated[float, Field(ge=-1, le=1)]] = {}


ReasonKind: TypeAlias = Literal["uncertain", "typical", "disagreement", "drift", "random"]
REASONS: tuple[ReasonKind, ...] = get_args(ReasonKind)
"""Why a row is asked for (docs/feedback.md)."""


class ReviewConfig(_Section):
    """`[review]`: what the review queue asks for.

    `budget` rows are picked at a time from the last `window_rows` predictions without a label, by `shares` of each
    reason: rows that the model is unsure of (`uncertain`), that stand for many alike (`typical`), on which the
    candidates of the last run disagree, that are unlike the training rows (`drift`), and random ones, by which quality
    is estimated without bias. What cannot be had by one reason goes to the others. `annotators` is how many people
    answer each row; who takes one has it for `lease_minutes`.
    """

    budget: int = Field(default=100, ge=1, le=100_000)
    window_rows: int = Field(default=5000, ge=1, le=1_000_000)
    shares: dict[ReasonKind, Annotated[float, Field(ge=0, le=1)]] = {
        "uncertain": 0.3,
        "typical": 0.1,
        "disagreement": 0.1,
        "drift": 0.3,
        "random": 0.2,
    }
    annotators: int = Field(default=1, ge=1, le=20)
    lease_minutes: float = Field(default=15.0, gt=0, le=10_080)


class EncryptionConfig(_Section):
    """`[store.encryption]`: blobs and events are encrypted with a key that stands elsewhere, named by one of these.

    `key_file`: a file, relative to the project and outside of `.bakeoff`. `key_env`: an environment variable.
    `key_command`: a program with its arguments, that prints it (of a key management service). Each holds keys of 32
    bytes in base64 or hexadecimal, one a line, the newest first ("bakeoff keys create | rotate"): with that one is
    written, with all is read. `required`: what is not encrypted is refused; else it is read as before.
    """

    key_file: str | None = None
    key_env: str | None = None
    key_command: Names = ()
    required: bool = False


class StepCacheConfig(_Section):
    """`[store.step_cache]`: where a team shares what the steps of its runs come to.

    `url` is a folder that all reach, or `s3://BUCKET/PREFIX`. `write = false`: read only. `wait` is the most time that
    a step is waited for ("30s"), and at the end of a run what remains to be sent.
    """

    url: str
    write: bool = True
    wait: Annotated[str, AfterValidator(_as_duration)] = "30s"


class StoreConfig(_Section):
    """`[store]`: URLs of records and blobs, and the folder of events; relative paths start at the project."""

    records: str = "sqlite:///.bakeoff/records.db"
    blobs: str = "file://.bakeoff/blobs"
    events: str = "file://.bakeoff/events"
    encryption: EncryptionConfig | None = None
    step_cache: StepCacheConfig | None = None


class ModelPrices(_Section):
    """`[tracking.prices."MODEL"]`: dollars for a million tokens read and written.

    `price_cached` is for tokens that the service had from an earlier call, `price_cache_write` for those that it keeps
    for a later one; without them these cost as the others.
    """

    price_in: float | None = Field(default=None, ge=0)
    price_out: float | None = Field(default=None, ge=0)
    price_cached: float | None = Field(default=None, ge=0)
    price_cache_write: float | None = Field(default=None, ge=0)


class TrackingConfig(_Section):
    """`[tracking]`: what `bakeoff ui` makes of the traces that it gets.

    `prices` are of models by the names that spans say, MODEL or PROVIDER/MODEL. They go before those of the candidates
    (`price_in`, `price_out`) and those that come with bakeoff, and price the calls that come from then on.
    """

    prices: dict[str, ModelPrices] = {}


class ComputeConfig(_Section):
    """`[compute]`: where jobs run. `workers` = 0: as many as fit the candidates and the cores.

    `budget` is the most time that a run may take ("90s", "30m", "2h", or "none"): a fit that would take more than its
    share of what is left ends with the best so far, and this is told. `bakeoff run --budget TIME` sets another for one
    run, and uses it up: what the fits leave goes into a search for better parameters.
    """

    backend: str = "local"
    workers: int = Field(default=0, ge=0)
    threads: int = Field(default=0, ge=0)
    budget: Annotated[str, AfterValidator(_as_budget)] = "60m"


class CardConfig(_Section):
    """`[card]`: what cards of models and data say that no run can know.

    `description` is one sentence, `intended_use` what the model is for and what it is not for, `limits` what is known
    to go wrong, `licence` its name or identifier.
    """

    description: str = ""
    intended_use: str = ""
    limits: Names = ()
    licence: str = ""


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
    endpoints: dict[Name, ServedConfig] = {}
    limits: dict[Name, LimitConfig] = {}
    auth: AuthConfig = AuthConfig()
    tls: TlsConfig = TlsConfig()
    security: SecurityConfig = SecurityConfig()
    monitor: MonitorConfig = MonitorConfig()
    alerts: AlertsConfig = AlertsConfig()
    loop: LoopConfig = LoopConfig()
    feedback: FeedbackConfig = FeedbackConfig()
    review: ReviewConfig = ReviewConfig()
    store: StoreConfig = StoreConfig()
    compute: ComputeConfig = ComputeConfig()
    tracking: TrackingConfig = TrackingConfig()
    card: CardConfig = CardConfig()
