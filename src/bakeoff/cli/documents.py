"""The documents that commands print with `--json`, as types; `bakeoff schema COMMAND` gives their JSON schemas.

A document has the fields of all types that its command names here (of a list: of one of them), `format`, and more than
a schema says where a later version adds something. In the place of a document may stand that of an error. Empty fields
can be left out.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NotRequired, TypedDict

import msgspec

from bakeoff.cli.options import FORMAT
from bakeoff.core.ledger import Ledger
from bakeoff.core.types import Json
from bakeoff.results.transfer import LeftOut, Moved

__all__ = ["COMMANDS", "schema_of"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Document = Mapping[str, Any]
Types = tuple[Any, ...] | list[Any]
"""All of a tuple, or one of a list."""


class _Failure(TypedDict):
    type: str
    message: str


class _Error(TypedDict):
    error: _Failure


class _Init(TypedDict):
    file: str
    warnings: list[str]
    notes: list[str]
    ledger: Ledger


class _Unchanged(TypedDict):
    unchanged: bool


class _Written(TypedDict):
    files: NotRequired[list[str]]


class _NewestRun(TypedDict):
    run_id: str
    status: str


class _Endpoint(TypedDict):
    endpoint: str
    url: str


class _Prediction(TypedDict):
    id: str
    label: NotRequired[str | None]
    value: NotRequired[float | str | None]
    probabilities: NotRequired[dict[str, float] | None]
    release_id: NotRequired[str]
    model_version: NotRequired[str]
    absent: NotRequired[list[str]]
    imputed: NotRequired[list[str]]
    unseen: NotRequired[list[str]]
    unknown: NotRequired[list[str]]


class _Predictions(TypedDict):
    predictions: list[_Prediction]
    ledger: NotRequired[Ledger]
    error: NotRequired[_Failure]


class _Problem(TypedDict):
    id: str
    kind: str
    reason: str


class _Feedback(TypedDict):
    accepted: int
    unmatched: NotRequired[int]
    unusable: NotRequired[int]
    problems: NotRequired[list[_Problem]]
    ledger: NotRequired[Ledger]


class _Side(TypedDict):
    run_id: str
    dataset: str
    winner: str | None


class _Setting(TypedDict):
    value: Any
    origin: str


class _Check(TypedDict):
    check: str
    ok: bool
    found: str


class _Checks(TypedDict):
    checks: list[_Check]


class _Contract(TypedDict):
    """Of `contract`, and of `contract --check`."""

    file: str
    contract: NotRequired[str]
    named: NotRequired[bool]
    rows: NotRequired[int]
    rules: NotRequired[int]
    errors: NotRequired[int]
    warnings: NotRequired[int]
    violations: NotRequired[list[dict[str, Any]]]


class _Traffic(TypedDict):
    traffic: NotRequired[dict[str, Any]]
    replay: NotRequired[dict[str, Any]]


class _LineageOfModel(TypedDict, total=False):
    model_version: str
    aliases: list[str]
    content: str
    run_id: str | None
    created_ms: int
    made_from: dict[str, Any]
    dataset: dict[str, Any] | None
    environment: dict[str, Any] | None


class _Answer(TypedDict):
    columns: list[dict[str, str]]
    rows: list[dict[str, Any]]


class _AnswerFile(TypedDict):
    file: str
    rows: int


class _Means(TypedDict):
    means: list[dict[str, Any]]
    over: list[str]
    unfinished: int


class _Transfer(TypedDict):
    counts: list[Moved]
    left_out: list[LeftOut]


class _Ui(TypedDict):
    url: str


class _Explanations(TypedDict):
    explanations: list[dict[str, Any]]


class _Available(TypedDict):
    machine: dict[str, Any]
    models: list[dict[str, Any]]


class _Labels(TypedDict):
    within: float
    pilot_rows: int


def _run() -> Types:
    from bakeoff.results.outcome import RunOutcome

    return (RunOutcome,)


def _typed(name: str, /, **fields: Any) -> Any:
    return TypedDict(name, fields)  # pyright: ignore - the fields are types that are imported late


def _with(noun: Any, *, without: str = "", **others: Any) -> Any:
    """A dataclass as its document: `others` are the types of fields that it has otherwise, or beside its own."""
    own = {each.name: each.type for each in dataclasses.fields(noun) if each.name != without}
    return _typed(noun.__name__, **own | others)


def _report() -> Any:
    from bakeoff.monitor.signals import MonitorReport, Signal

    return _with(MonitorReport, signals=list[_with(Signal, detail=dict[str, Any])])


def _status() -> Types:
    from bakeoff.actions.status import Status

    return (_with(Status, newest_run=_NewestRun | None, signals=list[dict[str, Any]] | None),)


def _loop() -> Types:
    from bakeoff.monitor.triggers import Trigger
    from bakeoff.results.outcome import RunOutcome

    turn = _typed(
        "Turn",
        report=_report() | None,
        triggers=list[Trigger],
        taken_in=int,
        blocked=str | None,
        unwatched=str | None,
        run=RunOutcome | None,
        cycle=NotRequired[_cycle() | None],
    )
    return (turn,)


def _lineage() -> Types:
    from bakeoff.actions.near_rows import TrainingRow
    from bakeoff.core.graph import LineageGraph

    return (LineageGraph, _LineageOfModel, _typed("NearestRows", nearest=list[TrainingRow]))


def _reproduced() -> Types:
    from bakeoff.actions.reproduce import Reproduction

    return (Reproduction,)


def _snapshot() -> Types:
    from bakeoff.core.records import Version

    return (_with(Version, lineage=dict[str, Any]),)


def _files_differ() -> Types:
    from bakeoff.project.snapshots import FilesDifference
    from bakeoff.registry.table_difference import TableDifference

    return (_with(FilesDifference, table=TableDifference | None),)


def _transferred() -> Types:
    from bakeoff.project.snapshots import SnapshotTransfer

    return (SnapshotTransfer,)


def _model_card() -> type[Any]:
    from bakeoff.report.model_card import ModelCard

    return ModelCard


def _model_difference() -> type[Any]:
    from bakeoff.actions.model_card import ModelDifference

    return ModelDifference


def _branch_changes() -> type[Any]:
    from bakeoff.actions.git_changes import BranchChanges

    return BranchChanges


def _cycle() -> Any:
    from bakeoff.loop.cycle import CycleDecision, CycleReason

    return _typed(
        "LoopCycle",
        number=int,
        triggers=list[CycleReason],
        decisions=list[CycleDecision],
        state=str,
        open=bool,
    )


def _loop_status() -> Types:
    from bakeoff.loop.policy import Hold, Spent

    cycle = _cycle()
    status = _typed(
        "LoopStanding",
        cycle=cycle | None,
        holding=Hold | None,
        spent=Spent,
        period=str,
        due_ms=int | None,
        recent=list[cycle],
    )
    return (status,)


def _loop_replay() -> Types:
    from bakeoff.loop.replay import ReplayResult

    return (ReplayResult, _Written)


def _retired() -> Types:
    from bakeoff.loop.retire import Retirement

    return (_typed("RetiredModels", models=list[Retirement], archived=bool),)


def _environment() -> type[Any]:
    from bakeoff.core.lineage import EnvironmentOrigin

    return EnvironmentOrigin


def _environments_differ() -> type[Any]:
    from bakeoff.environment.rebuild import EnvironmentDifference

    return EnvironmentDifference


def _audited() -> Types:
    from bakeoff.environment.vulnerabilities import Audited

    return (Audited,)


def _token() -> type[Any]:
    from bakeoff.security.tokens import AccessToken

    return AccessToken


def _runs() -> Types:
    from bakeoff.core.records import Run

    return [_typed("Runs", runs=list[Run]), _Means]


def _compared() -> Types:
    from bakeoff.actions.compare import ComparedCandidate

    return (
        _typed("Compared", first=_Side, second=_Side, metric=str, same_data=bool, candidates=list[ComparedCandidate]),
    )


def _judged() -> Types:
    from bakeoff.results.judged_runs import JudgedRuns

    return (JudgedRuns, _typed("Passed", passed=bool))


def _versions(key: str) -> Types:
    from bakeoff.core.records import Version

    return (_typed("Versions", **{key: list[_with(Version, lineage=dict[str, Any])]}),)


def _verify() -> Types:
    from bakeoff.core.damage import Damage

    return (_typed("Damages", damages=list[Damage]),)


def _gc() -> Types:
    from bakeoff.actions.gc import Collected

    return (Collected,)


def _expired() -> Types:
    from bakeoff.core.retention import Expiry

    return (Expiry,)


def _check() -> Types:
    from bakeoff.report.checks import ModelCheck

    document = _with(ModelCheck, without="bake_off", passed=bool, failing=list[str], look=dict[str, Any] | None)
    return (document, _Written)


def _advice() -> Types:
    from bakeoff.actions.advice import Advice

    values = dict[str, Any]
    return (_with(Advice, data=values, limits=values, options=list[values], run=values | None),)


def _harness() -> Types:
    from bakeoff.actions.harness import HarnessReport

    return (HarnessReport,)


def _card() -> Types:
    from bakeoff.report.card import DataCard

    return (DataCard, _Written)


def _prepare() -> Types:
    from bakeoff.prepare.corpus.report import CorpusReport

    return (CorpusReport, _typed("Speed", docs_per_s=float, mb_per_s=float, ledger=Ledger))


def _explained() -> Types:
    from bakeoff.prepare.explain import Explained

    return (_typed("Explained", rows=int, bad_lines=int, bad=list[str], steps=list[Explained], warnings=list[str]),)


def _labels() -> Types:
    from bakeoff.metrics.judges import LabelBudget

    return (_Labels, LabelBudget)


def _export() -> Types:
    from bakeoff.actions.export import Exported

    return (Exported,)


def _history() -> Types:
    from bakeoff.actions.feedback import FeedbackHistory

    return (FeedbackHistory,)


def _agreement() -> Types:
    from bakeoff.actions.feedback import AnnotatorAgreement

    return (AnnotatorAgreement,)


def _review_status() -> Types:
    from bakeoff.feedback.review import ReviewBatch

    counts = {"done": int, "open": int, "leased": int, "skipped": int, "elsewhere": int}
    progress = _typed("ReviewStatus", batch=ReviewBatch, **counts, by=dict[str, int])
    return (_typed("ReviewBatches", batches=list[progress]),)


def _review_batch() -> Types:
    from bakeoff.feedback.review import ReviewBatch

    return (_typed("OneReviewBatch", batch=ReviewBatch),)


def _review_row() -> Types:
    return (_typed("OneReviewRow", row=dict[str, Any] | None),)


def _review_estimate() -> Types:
    from bakeoff.actions.review import ReviewEstimate

    return (ReviewEstimate,)


def _endpoint_status() -> Any:
    from bakeoff.core.releases import EndpointChange, Release
    from bakeoff.loop.rollout import Rollout

    return _typed(
        "EndpointStatus",
        name=str,
        paused=bool,
        routes=list[Release],
        rollouts=list[Rollout],
        changes=list[EndpointChange],
    )


def _endpoints() -> Types:
    return (_typed("Endpoints", endpoints=list[_endpoint_status()]),)


def _replay() -> Types:
    from bakeoff.actions.replay import DifferingAnswer, Replay

    return (_with(Replay, differing=list[_with(DifferingAnswer, row=dict[str, Any])]),)


def _package() -> Types:
    from bakeoff.actions.packages.check import PackageCheck
    from bakeoff.actions.packages.package import Package

    return (Package, _typed("CheckedPackage", check=PackageCheck | None))


def _planned() -> Types:
    from bakeoff.results.capacity import CapacityPlan

    return (CapacityPlan,)


def _moved() -> Types:
    from bakeoff.actions.move import Move

    return (Move,)


def _steered() -> Types:
    from bakeoff.loop.rollout import Rollout

    return (_typed("Steered", rollouts=list[Rollout], steered_until_ms=int | None),)


def _explained_run_or_row() -> Types:
    from bakeoff.results.explanation import RowExplanation

    return [_Explanations, RowExplanation]


CHANGES_OF_ENDPOINTS = (
    "show",
    "create",
    "release",
    "canary",
    "shadow",
    "promote",
    "rollback",
    "pause",
    "resume",
    "undo",
)


def _account() -> Any:
    from bakeoff.security.accounts import Account

    return Account


def _encrypted() -> Types:
    from bakeoff.project.encryption_keys import Encrypted

    return (Encrypted,)


def _deps() -> Types:
    from bakeoff.environment.distributions import Installed
    from bakeoff.environment.vulnerabilities import Vulnerability

    return (_typed("InstalledPackages", packages=list[Installed], vulnerabilities=list[Vulnerability]),)


def _forgotten() -> Types:
    from bakeoff.actions.forget import Forgotten

    return [Forgotten, _typed("KeyLeft", remaining=list[str])]


COMMANDS: Mapping[str, Callable[[], Types]] = {
    "init": lambda: (_Init,),
    "run": lambda: (*_run(), _Unchanged),
    "report": lambda: (*_run(), _Written),
    "status": _status,
    "loop": _loop,
    "loop status": _loop_status,
    "loop explain": lambda: (_cycle(),),
    "loop approve": lambda: (_cycle(),),
    "loop reject": lambda: (_cycle(),),
    "loop replay": _loop_replay,
    "models retire": _retired,
    "demo": lambda: (*_run(), _Unchanged, _Traffic),
    "serve": lambda: (_Endpoint,),
    "endpoints": _endpoints,
    "endpoints list": _endpoints,
    **{f"endpoints {name}": lambda: (_endpoint_status(),) for name in CHANGES_OF_ENDPOINTS},
    "endpoints steer": _steered,
    "replay": _replay,
    "package": _package,
    "plan": _planned,
    "move": _moved,
    "predict": lambda: (_Predictions,),
    "feedback give": lambda: (_Feedback,),
    "feedback import": lambda: (_Feedback,),
    "feedback history": _history,
    "feedback agreement": _agreement,
    "review": _review_status,
    "review status": _review_status,
    "review pick": _review_batch,
    "review close": _review_batch,
    "review next": _review_row,
    "review skip": _review_row,
    "review answer": lambda: (_Feedback,),
    "review import": lambda: (_typed("ReviewImport", accepted=int, problems=list[str]),),
    "review estimate": _review_estimate,
    "ui": lambda: (_Ui,),
    "explain": _explained_run_or_row,
    "monitor": lambda: [_report(), _typed("TestedAlerts", targets=dict[str, str | None])],
    "monitor silence": lambda: (_typed("SilencedAlert", rule=str, until_ms=int),),
    "monitor compare": lambda: (_typed("ComparedColumns", columns=dict[str, dict[str, Any]]),),
    "monitor dashboards": lambda: (_typed("DashboardFiles", files=list[str]),),
    "tokens create": lambda: (_typed("MadeToken", token=_token(), text=str),),
    "tokens list": lambda: (_typed("AllTokens", tokens=list[_token()]),),
    "tokens revoke": lambda: (_typed("OneToken", token=_token()),),
    "people add": lambda: (_typed("OnePerson", person=_account()),),
    "people list": lambda: (_typed("AllPeople", people=list[_account()]),),
    "people remove": lambda: (_typed("OnePerson", person=_account()),),
    "keys create": lambda: (_typed("NewKey", id=str), _typed("ShownKey", key=str)),
    "keys list": lambda: (_typed("AllKeys", keys=list[str], source=str | None),),
    "keys rotate": lambda: (_typed("NewKey", id=str),),
    "keys encrypt": _encrypted,
    "audit list": lambda: (_typed("AuditRecords", records=list[dict[str, Any]]),),
    "audit verify": lambda: (_typed("AuditFaults", faults=list[str], head=str | None),),
    "audit deps": _deps,
    "forget": _forgotten,
    "certs dev": lambda: (_typed("CertificateFiles", certificate=str, key=str, authority=str),),
    "fine-tune": lambda: (
        _typed("TunedModel", job=str, status=str, model_version=str | None, verdict=str | None, takes_over=bool | None),
    ),
    "up": lambda: (_typed("FromPart", **{"from": str}),),
    "top": lambda: (_typed("LoopPicture", stages=list[dict[str, str]], next=dict[str, str], rows=list[int]),),
    "ci init": lambda: (_typed("PipelineFiles", files=list[dict[str, str]]),),
    "env show": lambda: (_environment(),),
    "env diff": lambda: (_environments_differ(),),
    "env create": lambda: (_typed("BuiltEnvironment", folder=str, packages=int, left_out=list[str]),),
    "env audit": _audited,
    "runs": _runs,
    "runs show": _run,
    "runs compare": _compared,
    "compare": _judged,
    "sql": lambda: [_Answer, _AnswerFile],
    "import-mlflow": lambda: (_Transfer,),
    "export-mlflow": lambda: (_Transfer,),
    "lineage": _lineage,
    "reproduce": _reproduced,
    "config": lambda: (dict[str, _Setting | int],),
    "doctor": lambda: (_Checks,),
    "verify": _verify,
    "gc": _gc,
    "expire": _expired,
    "check": _check,
    "advise": _advice,
    "data show": lambda: _versions("versions"),
    "data snapshot": _snapshot,
    "data tag": _snapshot,
    "data list": lambda: (_typed("Listed", snapshots=list[dict[str, Any]], datasets=list[dict[str, Any]]),),
    "data status": _files_differ,
    "data diff": _files_differ,
    "data checkout": lambda: (_typed("CheckedOut", written=str),),
    "data verify": lambda: (_typed("DamagedFiles", damaged=list[str]),),
    "data push": _transferred,
    "data pull": _transferred,
    "data contract": lambda: (_Contract,),
    "data card": _card,
    "data prepare": _prepare,
    "data prepare --explain": _explained,
    "data labels": _labels,
    "models": lambda: _versions("models"),
    "models card": lambda: (_model_card(), _Written),
    "models diff": lambda: (_model_difference(),),
    "prompts list": lambda: _versions("prompts"),
    "prompts show": _snapshot,
    "prompts tag": _snapshot,
    "prompts diff": lambda: (_typed("PromptDifference", diff=str),),
    "diff": lambda: (_branch_changes(),),
    "hook install": lambda: (_typed("Hook", hook=str),),
    "hook run": lambda: (_typed("RefusedFiles", refused=list[dict[str, str]]),),
    "models available": lambda: (_Available,),
    "models harness": _harness,
    "models export": _export,
    "models sign": lambda: (_typed("SignedModel", model=str),),
    "models verify": lambda: (_typed("VerifiedModel", signer=str),),
}
"""The types of each command's document."""


def schema_of(command: str) -> dict[str, Json]:
    """The JSON schema of what a command of `COMMANDS` prints with `--json`."""
    types = COMMANDS[command]()
    schemas, parts = msgspec.json.schema_components((*types, _Error), ref_template="#/$defs/{name}")
    *own, error = schemas
    documents = own if isinstance(types, list) else [{"allOf": own}]
    return {
        "$schema": DIALECT,
        "title": f"bakeoff {command} --json",
        "type": "object",
        "properties": {"format": {"const": FORMAT}},
        "required": ["format"],
        "anyOf": [*documents, error],
        "$defs": {name: _lenient(part) for name, part in parts.items()},
    }


def _lenient(part: Document) -> dict[str, Any]:
    """A part without what fields are when they are left out: documents leave out what is empty."""
    return {key: value for key, value in part.items() if key != "title"}
