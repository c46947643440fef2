"""What a project file may say: its sections, their keys and defaults."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_serializer

from bakeoff.config.duration import budget_seconds
from bakeoff.core.errors import UsageError
from bakeoff.core.principals import Permission
from bakeoff.core.types import Json, Task

__all__ = [
    "ApiDialect",
    "AuthConfig",
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
    "LabelRule",
    "LoopConfig",
    "ModelPrices",
    "MonitorConfig",
    "PrepareConfig",
    "PrivacyConfig",
    "ProjectConfig",
    "RoleConfig",
    "SearchConfig",
    "ServedConfig",
    "SplitConfig",
    "StepConfig",
    "StoreConfig",
    "TlsConfig",
    "TrackingConfig",
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

    Rows whose texts are near-duplicates, of this Jaccard similarity of word runs, stay on one side; `near_duplicates`
    = 0 (or false) does not look for them.
    """

    by: Literal["auto", "random", "stratified", "group", "time"] = "auto"
    test: float | str = 0.2
    validation: float | str = 0.15
    folds: Literal["auto"] | Annotated[int, Field(ge=0, le=100)] = "auto"
    near_duplicates: Annotated[float, BeforeValidator(_as_similarity)] = Field(default=NEAR, ge=0, le=1)

    @property
    def asks_folds(self) -> bool:
        """Whether the project names a number of folds."""
        return self.folds not in {0, "auto"}


def _as_budget(text: str) -> str:
    try:
        budget_seconds(text)
    except UsageError as error:
        raise ValueError(str(error)) from None
    return text


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
    """`[combine]`: whether blends and cascades of the candidates are tried, and of how many at most.

    With blends goes a stack: a blend of as many as are needed, where these are more than `max_members`.

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
    with the leader's, in both orders; equal ones are a tie unasked. `labels` is a table of what people think, to
    correct the judge by. `max_tokens` is the longest answer, reasoning included; what cannot be read is asked for once
    more.

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
    dialect: ApiDialect = "auto"
    reasoning_effort: str | None = None
    key_header: str = "Authorization"
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    body: dict[str, Any] = {}


class ServedConfig(_Section):
    """`[endpoints.NAME]`: a further endpoint, a stable name that serves, and how.

    `log`: whether an answer waits for its log record, or nothing is logged ("off"). `sample`: the share of calls
    that are logged (of a canary and a shadow, all are). `contract`: a request with a row that violates the released
    data contract is refused, or served and counted ("log"), or not looked at ("off"). `unknown`: a request with a row
    that lacks inputs while it has keys that no column of the training data has is refused with the nearest names, or
    answered as if they were missing ("warn"). `deadline_ms`: a call that waits for others is answered within it, or
    refused at once; one that takes long by itself may wait as long again. `batch_rows`: the most rows that are computed
    together for several calls, where that is seen to pay (1: never); `batch_wait_ms`: how long a call waits for others
    to be computed with. `cache`: how many answers are kept for rows that come again, of models that would answer the
    same again (each is logged, with an id of its own); small models of numbers answer faster without. `rollout`: a new
    winner answers everything at once ("direct"), or first a share of the calls ("canary", `canary_share` of them), or
    first copies of them whose answers nobody gets, and then a share ("shadow"); it answers everything when
    `canary_calls` at least have shown it to be no worse.
    """

    log: Literal["required", "best_effort", "off"] = "required"
    sample: float = Field(default=1.0, ge=0, le=1)
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


class AuthConfig(_Section):
    """`[auth]`: whether callers of servers need a token ("bakeoff tokens create"), and the project's own roles.

    Without `required`, a server listens on loopback alone, and whoever can call it may do everything.
    """

    required: bool = False
    roles: dict[Name, RoleConfig] = {}


class TlsConfig(_Section):
    """`[tls]`: files in PEM, relative to the project; a server reads them anew when they change.

    `client_authority`: certificates of the authorities that clients must have one of (mutual TLS).
    """

    certificate: str | None = None
    key: str | None = None
    client_authority: str | None = None


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
    feedback_rows: int = Field(default=1000, ge=1)
    schedule_hours: float = Field(default=24 * 7, gt=0)
    use_feedback: bool = True
    refit: bool = True
    refit_max_s: float = Field(default=300.0, gt=0)
    accept_changed_inputs: bool = False


class StoreConfig(_Section):
    """`[store]`: URLs of records and blobs, and the folder of events; relative paths start at the project."""

    records: str = "sqlite:///.bakeoff/records.db"
    blobs: str = "file://.bakeoff/blobs"
    events: str = "file://.bakeoff/events"


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
    auth: AuthConfig = AuthConfig()
    tls: TlsConfig = TlsConfig()
    monitor: MonitorConfig = MonitorConfig()
    loop: LoopConfig = LoopConfig()
    store: StoreConfig = StoreConfig()
    compute: ComputeConfig = ComputeConfig()
    tracking: TrackingConfig = TrackingConfig()
    card: CardConfig = CardConfig()
