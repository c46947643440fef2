# pyright: basic
# TabICL comes without complete types
"""`tabicl`: a transformer that was trained on made-up tables and reads the training rows with each question.

Nothing is fitted: a model is the training rows beside the weights. Those come from a file, or from TabICL's own
repository on Hugging Face's hub; they are kept as safetensors with the model.

Source: J. Qu et al. (2025), "TabICL: A Tabular Foundation Model for In-Context Learning on Large Data".
"""

import io
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bakeoff.config.params import only_for
from bakeoff.config.search import one_of
from bakeoff.core.errors import CandidateError, CorruptError, MissingExtraError, NotFoundError
from bakeoff.core.ledger import Loss
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Predictions, Signature, Task
from bakeoff.families import saved
from bakeoff.families.features.boosting import TreeTable
from bakeoff.families.features.choice import sampled
from bakeoff.families.features.columns import complete, plain, plain_job
from bakeoff.families.features.targets import is_balanced
from bakeoff.families.features.tree_rows import TreeRows, dense, singles
from bakeoff.families.saved import Array

if TYPE_CHECKING:
    import polars as pl

__all__ = ["TabiclFamily", "TabiclModel", "TabiclParams"]

_Floats: TypeAlias = NDArray[np.float64]

REPOSITORY = "jingang/TabICL"
CHECKPOINTS: Mapping[Task, str] = {
    "classification": "tabicl-classifier-v2-20260212.ckpt",
    "regression": "tabicl-regressor-v2-20260212.ckpt",
}
"""On the hub, under a BSD licence."""
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class TabiclParams:
    """Parameters of `tabicl`.

    `weights`: a checkpoint of TabICL for the task, as a file; when left out, TabICL's second version, out of the cache
    of Hugging Face or from its hub. `views`: how often a row is answered, with columns and classes in another order
    each time; the answers are averaged. `max_rows`: training rows that are read with each question, a random part if
    there are more. `balanced`: whether every class weighs the same (as the metric calls for, when left out).
    `max_categories`, `max_terms`, `min_rows`: as for `boosting`.
    """

    weights: str | None = None
    views: Annotated[int, Field(ge=1, le=64)] = 8
    max_rows: Annotated[int, Field(ge=10)] = 20_000
    balanced: bool | None = field(default=None, metadata=one_of((True, False)) | only_for("classification"))
    max_categories: Annotated[int, Field(ge=1)] = 100
    max_terms: Annotated[int, Field(ge=1)] = 100
    min_rows: Annotated[int, Field(ge=1)] = 2


@dataclass(frozen=True, kw_only=True)
class _State:
    """All of a model but its weights; `shape` is what TabICL calls the configuration of a checkpoint."""

    signature: Signature
    chosen: Mapping[str, Any]
    table: TreeTable
    shape: Mapping[str, Any]
    views: int
    seed: int
    row_md: Array
    value_m: Array
    weight_k: Array


@dataclass(frozen=True, kw_only=True)
class TabiclModel(saved.StatedModel):
    """A fitted `tabicl` candidate."""

    state: _State
    weights: bytes = field(repr=False)

    @cached_property
    def _estimator(self) -> Any:
        state = self.state
        library = _library()
        make = library.TabICLClassifier if state.signature.classes else library.TabICLRegressor
        with _checkpoint(state.shape, self.weights) as path:
            estimator = make(
                n_estimators=state.views,
                model_path=path,
                allow_auto_download=False,
                random_state=state.seed,
                kv_cache="repr" if len(state.signature.classes) <= state.shape.get("max_classes", 0) else False,
                n_jobs=1,  # sums never depend on threads
                device="cpu",
            )
            return estimator.fit(state.row_md, state.value_m)

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        classes = self.signature.classes
        table = plain(complete(table, self.signature), self.signature.inputs)
        if not len(table):
            return Predictions.of_probabilities(np.empty((0, len(classes))), classes) if classes else _numbers([])
        x_nd = singles(dense(self.state.table(table)))
        if not classes:
            return _numbers(self._estimator.predict(x_nd))
        share_nk = np.zeros((len(x_nd), len(classes)))
        share_nk[:, self._estimator.classes_.astype(np.int64)] = self._estimator.predict_proba(x_nd)
        share_nk *= self.state.weight_k
        return Predictions.of_probabilities(share_nk / share_nk.sum(axis=1, keepdims=True), classes)

    def save(self, folder: Path) -> None:
        """See `bakeoff.core.protocols.Model`."""
        saved.write(folder, TabiclFamily.name, self.state, {WEIGHTS: self.weights})


class TabiclFamily:
    """Builds `TabiclModel`s."""

    name = "tabicl"
    tasks: frozenset[Task] = frozenset({"classification", "regression"})
    params = TabiclParams
    requires = ("numpy", "scipy", "polars", "tabicl", "torch", "safetensors")
    extra: str | None = "tabicl"

    def require(self, params: TabiclParams) -> None:
        """See `bakeoff.core.families.require_here`."""
        if params.weights is not None and not Path(params.weights).expanduser().is_file():
            raise NotFoundError(f"expected a checkpoint of TabICL as weights, found no file {params.weights!r}")

    def fit(self, job: FitJob) -> TabiclModel:
        """See `bakeoff.core.protocols.Family`."""
        _library()
        job = plain_job(job)
        params: TabiclParams = job.params
        shape, weights = _read(_checkpoint_of(job), job.task)
        rows = TreeRows(job)
        encoded = rows.encoded(whole=True)
        some = sampled(np.arange(len(encoded.value_n)), params.max_rows, job.seed)
        if len(some) < len(encoded.value_n):
            reason = f"of more rows than {params.max_rows:,}, a random part is read"
            lost, of = len(encoded.value_n) - len(some), len(encoded.value_n)
            job.on_loss(Loss(kind="row", reason=reason, count=lost, of=of, remedy="raise max_rows"))
        job.progress(f"reading {len(some)} rows, {encoded.x_nd.shape[1]} features")
        classes, value_m = rows.target.classes, encoded.value_n[some]
        state = _State(
            signature=Signature(task=job.task, inputs=rows.columns, classes=classes),
            chosen={},
            table=encoded.table,
            shape=shape,
            views=params.views,
            seed=job.seed,
            row_md=singles(encoded.x_nd[some]),
            value_m=value_m,
            weight_k=_class_weights(value_m, len(classes), balanced=is_balanced(job)),
        )
        return TabiclModel(state=state, weights=weights)

    def load(self, folder: Path, threads: int, cache: Path | None = None) -> TabiclModel:  # noqa: ARG002
        """See `bakeoff.core.protocols.Family`."""
        _library()
        from safetensors import SafetensorError

        state, files = saved.read(folder, self.name, _State)
        model = TabiclModel(state=state, weights=files[WEIGHTS])
        try:
            _ = model._estimator  # noqa: SLF001 # read the weights now, not at the first request
        except (RuntimeError, TypeError, ValueError, KeyError, SafetensorError) as error:
            found = f"{folder}: expected weights of TabICL, found {error}"
            raise CorruptError(f"{found}; fit the candidate again") from error
        return model


def _numbers(value_n: Any) -> Predictions:
    return Predictions(values_n=np.asarray(value_n, dtype=np.float64))


def _class_weights(value_m: _Floats, classes: int, *, balanced: bool) -> _Floats:
    """What probabilities are multiplied by, (k,): the inverse share of a class where all are to weigh the same."""
    if not balanced:
        return np.ones(classes)
    count_k = np.bincount(value_m.astype(np.int64), minlength=classes)
    return np.where(count_k > 0, len(value_m) / np.maximum(count_k, 1), 0.0)


def _library() -> Any:
    try:
        import tabicl  # pyright: ignore[reportMissingImports] - an extra
        import torch  # noqa: F401 - of the same extra
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("family 'tabicl'", "tabicl", error.name or "tabicl") from error
    return tabicl


def _checkpoint_of(job: FitJob) -> Path:
    """The checkpoint: the file that is named, else that of the hub."""
    given: str | None = job.params.weights
    if given is not None:
        return Path(given).expanduser()
    from huggingface_hub import hf_hub_download

    name = CHECKPOINTS[job.task]
    try:
        return Path(hf_hub_download(REPOSITORY, name, local_files_only=True))
    except Exception:  # noqa: BLE001 - whatever it is, the hub is asked next and its answer is passed on
        job.progress(f"fetching {name}")
    try:
        return Path(hf_hub_download(REPOSITORY, name))
    except Exception as error:  # of many classes: no such name, no network, no permission, no room
        first = str(error).strip().partition("\n")[0]
        raise CandidateError(
            f"expected {name!r} of {REPOSITORY!r} in the local cache of Hugging Face or on its hub, found neither: "
            f"{first}. Where there is no network, fetch it elsewhere and name the file as 'weights'."
        ) from error


def _read(path: Path, task: Task) -> tuple[dict[str, Any], bytes]:
    """The configuration of a checkpoint, and its weights as safetensors."""
    import pickle

    import torch
    from safetensors.torch import save

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)  # tensors and plain values alone
        shape, weights = content["config"], content["state_dict"]
        msgspec.json.encode(shape)
        stored = save({name: tensor.contiguous().clone() for name, tensor in weights.items()})
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, pickle.UnpicklingError) as error:
        first = str(error).strip().partition("\n")[0]
        found = f"found {path.name} that cannot be read: {first}"
        raise CandidateError(f"expected a checkpoint of TabICL, {found}") from error
    if bool(shape.get("max_classes")) != (task == "classification"):
        kind = "classification" if shape.get("max_classes") else "regression"
        raise CandidateError(f"expected a checkpoint of TabICL for {task}, received {path.name}, which is for {kind}")
    return shape, stored


@contextmanager
def _checkpoint(shape: Mapping[str, Any], weights: bytes) -> Iterator[str]:
    """A file of weights as TabICL reads it."""
    import torch
    from safetensors.torch import load

    buffer = io.BytesIO()
    torch.save({"config": dict(shape), "state_dict": load(weights)}, buffer)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.ckpt")
        path.write_bytes(buffer.getvalue())
        yield str(path)
