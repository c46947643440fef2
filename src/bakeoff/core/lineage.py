"""What versions were made from, typed: records hold it as JSON, and a version yields the blobs that it needs.

Versions of before may lack fields that came later: each has a default then.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeAlias

import msgspec

from bakeoff.core import narrow
from bakeoff.core.refs import BlobRef, blobs_of, ref
from bakeoff.core.types import Column, Json, Signature

__all__ = [
    "CodeOrigin",
    "DatasetOrigin",
    "EnvironmentOrigin",
    "ModelOrigin",
    "Origin",
    "PromptOrigin",
    "PromptUse",
    "SnapshotOrigin",
    "origin_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptUse:
    """The registered prompt that a model asks with: `NAME/NUMBER`, its file, and the digest of its text."""

    version: str
    file: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeOrigin:
    """The project's own code: where git has it (None: nowhere), what differed from the commit, and its files.

    `patch_blob` is what git applies to the commit, `tree_blob` the project's files without its data (`left_out`: those
    that were too large, too many or not to be read), `notebook_blob` the cells that were run in the notebook where it
    was made.
    """

    commit: str | None = None
    dirty: bool | None = None
    branch: str | None = None
    remote: str | None = None
    patch_blob: BlobRef | None = None
    tree_blob: BlobRef | None = None
    notebook_blob: BlobRef | None = None
    left_out: tuple[str, ...] = ()

    def refs(self) -> Iterator[BlobRef]:
        """The blobs of its files."""
        for blob in (self.patch_blob, self.tree_blob, self.notebook_blob):
            yield from ref(blob)

    @property
    def artifacts(self) -> Mapping[str, str]:
        """Its blobs under the names that they have as artifacts of a run."""
        named = {"project": self.tree_blob, "changes.patch": self.patch_blob, "notebook.ipynb": self.notebook_blob}
        return {f"code/{name}": blob for name, blob in named.items() if blob}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOrigin:
    """What made a model: data, code, environment and parameters, and what it is compared by.

    `rows` says whether it was fitted on the training rows or on all: on `fitted_rows`, and the model that was evaluated
    in its place on `evaluated_rows` of them (0: of before). `rows_blob` holds the split and `hashes_blob` the
    content hashes of the dataset's rows, by which a later contest knows what the model has seen. `evaluated_tree` is
    the model that was evaluated in its place, `fold_trees` are its like of each fold with their `fold_outcomes_blob`.
    `search_found` are what a search gave to all candidates of its run. `members` are the versions that it is made of.
    """

    candidate: str = ""
    family: str = ""
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    chosen: Mapping[str, Any] = field(default_factory=dict[str, Any])
    search_found: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    seed: int = 0
    task: str = ""
    dataset_version: str = ""
    rows: Literal["all", "train"] = "train"
    fitted_rows: int = 0
    evaluated_rows: int = 0
    rows_blob: BlobRef | None = None
    hashes_blob: BlobRef | None = None
    steps: tuple[Any, ...] = ()
    columns: tuple[Column, ...] = ()
    contract: BlobRef | None = None
    signature: Signature | None = None
    environment: str = ""
    code_commit: str | None = None
    code_dirty: bool | None = None
    code: CodeOrigin | None = None
    family_code: str = ""
    scorecard: Mapping[str, Any] = field(default_factory=dict[str, Any])
    evaluated_tree: BlobRef | None = None
    fold_trees: tuple[BlobRef, ...] = ()
    fold_outcomes_blob: BlobRef | None = None
    ledger: Mapping[str, Any] | None = None
    prompt: PromptUse | None = None
    members: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def judged_by(self) -> str:
        """Which model answered the test rows, in words: one that was fitted on all rows has learned from them."""
        if self.fold_trees:
            return f"its like of {len(self.fold_trees)} folds, each fitted without the rows that it answered"
        if self.rows == "all":
            return "its twin, which was fitted without them"
        return "this model, which did not learn from them"

    def refs(self) -> Iterator[BlobRef]:
        """The blobs that it was made of, and those that it is compared by."""
        for blob in (self.rows_blob, self.hashes_blob, self.contract, self.evaluated_tree, self.fold_outcomes_blob):
            yield from ref(blob)
        yield from self.fold_trees
        yield from self.code.refs() if self.code else ()

    def to_json(self) -> dict[str, Json]:
        """As records hold it."""
        fields: dict[str, Json] = msgspec.to_builtins(self)
        return {FIELDS.get(name, name): value for name, value in fields.items()}

    @classmethod
    def from_json(cls, lineage: Mapping[str, Json]) -> Self:
        """From what records hold."""
        names = {stored: name for name, stored in FIELDS.items()}
        return msgspec.convert({names.get(key, key): value for key, value in lineage.items()}, cls)


FIELDS = {"search_found": "found"}
"""Fields that records know by another name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetOrigin:
    """What a dataset version was read from, what is known of it, and how it was split (None: of before).

    `gathered` has the blobs of its rows, the schema and the ledger (see `bakeoff.loop.dataset.Gathered`).
    """

    sources: Mapping[str, Any]
    query: str | None
    summary: Mapping[str, Json]
    gathered: Mapping[str, Json] | None = None

    def refs(self) -> Iterator[BlobRef]:
        """Its rows, its split, and the contract that it was held against."""
        yield from blobs_of(self.gathered)
        contract = self.summary.get("contract")
        yield from ref(narrow.json_object(contract)["version"] if contract else None)

    def to_json(self) -> dict[str, Json]:
        """As records hold it."""
        about: dict[str, Json] = {"sources": self.sources, "query": self.query, **self.summary}
        return about if self.gathered is None else {**about, "gathered": self.gathered}

    @classmethod
    def from_json(cls, lineage: Mapping[str, Json]) -> Self:
        """From what records hold."""
        query, gathered = lineage.get("query"), lineage.get("gathered")
        return cls(
            sources=narrow.json_object(lineage.get("sources") or {}),
            query=None if query is None else narrow.text(query),
            summary={key: value for key, value in lineage.items() if key not in {"sources", "query", "gathered"}},
            gathered=None if gathered is None else narrow.json_object(gathered),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentOrigin:
    """Python, the platform, and the versions of all installed packages; of `local` ones no index has a file."""

    python: str
    platform: str
    packages: Mapping[str, str]
    local: tuple[str, ...] = ()

    def refs(self) -> Iterator[BlobRef]:
        """None: all of it stands here."""
        yield from ()

    def to_json(self) -> dict[str, Json]:
        """As records hold it."""
        return msgspec.to_builtins(self)

    @classmethod
    def from_json(cls, lineage: Mapping[str, Json]) -> Self:
        """From what records hold."""
        packages = narrow.json_object(lineage.get("packages") or {})
        return cls(
            python=str(lineage.get("python", "")),
            platform=str(lineage.get("platform", "")),
            packages=packages,
            local=tuple(narrow.texts(lineage.get("local") or ())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptOrigin:
    """The file of a prompt and its text."""

    file: str
    text: str

    def refs(self) -> Iterator[BlobRef]:
        """None: the text stands here."""
        yield from ()

    def to_json(self) -> dict[str, Json]:
        """As records hold it."""
        return {"file": self.file, "text": self.text}

    @classmethod
    def from_json(cls, lineage: Mapping[str, Json]) -> Self:
        """From what records hold."""
        return cls(file=str(lineage.get("file", "")), text=str(lineage.get("text", "")))


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotOrigin:
    """The file or folder that a snapshot was taken of: its path then, how many files, their bytes.

    Of a file, whether its owner could execute it; of a folder, its tree says so.
    """

    path: str = ""
    is_file: bool = False
    files: int = 0
    size_bytes: int = 0
    executable: bool = False

    def refs(self) -> Iterator[BlobRef]:
        """None: the version's content is the blob."""
        yield from ()

    def to_json(self) -> dict[str, Json]:
        """As records hold it."""
        return msgspec.to_builtins(self)

    @classmethod
    def from_json(cls, lineage: Mapping[str, Json]) -> Self:
        """From what records hold."""
        return msgspec.convert(lineage, cls)


Origin: TypeAlias = ModelOrigin | DatasetOrigin | EnvironmentOrigin | PromptOrigin | SnapshotOrigin
ORIGINS = {
    "model": ModelOrigin,
    "dataset": DatasetOrigin,
    "environment": EnvironmentOrigin,
    "prompt": PromptOrigin,
    "snapshot": SnapshotOrigin,
}


def origin_of(kind: str, lineage: Mapping[str, Json]) -> Origin:
    """What a version of this kind was made from."""
    return ORIGINS[kind].from_json(lineage)
