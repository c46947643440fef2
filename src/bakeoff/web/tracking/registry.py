"""Registered models, their versions, stages and aliases in MLflow's words."""

import posixpath
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from bakeoff.core.errors import ConflictError, NotFoundError
from bakeoff.core.filters import TAGS, Grammar, Name, filter_of, order_of, within
from bakeoff.core.queries import AllOf, Expr, Order, Predicate, Query, QueryField, attribute, every
from bakeoff.core.records import Registered, RegisteredChange, Version, VersionChange
from bakeoff.core.types import Json
from bakeoff.web.tracking import limits
from bakeoff.web.tracking.context import PROXIED, Tracking, local_path
from bakeoff.web.tracking.models import model_of, noted
from bakeoff.web.tracking.runs import run_of
from bakeoff.web.tracking.wire import TrackingError, exists, invalid, of_pairs, paged, pairs, unknown

__all__ = [
    "create",
    "create_version",
    "delete",
    "delete_alias",
    "delete_tag",
    "delete_version",
    "delete_version_tag",
    "download_uri",
    "files_of",
    "get",
    "get_version",
    "latest",
    "rename",
    "search",
    "search_versions",
    "set_alias",
    "set_tag",
    "set_version_tag",
    "transition",
    "update",
    "update_version",
    "version_by_alias",
    "version_of",
]

MODEL = "model"
PROMPT = QueryField(kind="tag", key="mlflow.prompt.is_prompt")
STAGES = {stage.lower(): stage for stage in ("None", "Staging", "Production", "Archived")}
NAMES = Grammar(
    attributes={
        "name": Name.of("name"),
        "creation_timestamp": Name.of("created_ms", number=True),
        **dict.fromkeys(("last_updated_timestamp", "timestamp"), Name.of("updated_ms", number=True)),
    },
    kinds=TAGS,
)
VERSIONS = Grammar(
    attributes={
        "name": Name.of("name"),
        **dict.fromkeys(("version_number", "version"), Name.of("number", number=True)),
        "run_id": Name.of("run_id"),
        **dict.fromkeys(("source_path", "source"), Name.of("content")),
        "current_stage": Name.of("stage"),
        "creation_timestamp": Name.of("created_ms", number=True),
        "last_updated_timestamp": Name.of("updated_ms", number=True),
    },
    kinds=TAGS,
)
MOST_NAMES, MOST_VERSIONS = 1000, 200_000


def _named(name: str, *more: Expr) -> Expr:
    return within(attribute("kind", "=", MODEL), attribute("name", "=", name), *more)


def name_of(tracking: Tracking, name: str) -> Registered:
    """The registered model of a name."""
    known = tracking.records.versions.registered(Query(where=_named(name))).items
    if not known:
        raise unknown(f"Registered Model with name={name} not found")
    return known[0]


def version_of(tracking: Tracking, name: str, version: str) -> Version:
    """The version of a name and a number."""
    try:
        return tracking.records.versions.get(MODEL, name, limits.version_number(version))
    except NotFoundError:
        raise _no_version(name, version) from None


def _no_version(name: str, version: object) -> TrackingError:
    return unknown(f"Model Version (name={name}, version={version}) not found")


def _source(version: Version) -> str:
    """Where a version's files come from: what a client said, or where this server offers those of our own."""
    source = version.lineage.get("source")
    return str(source) if source else f"{PROXIED}/models/{version.name}/{version.number}"


def files_of(version: Version) -> str:
    """Where a version's files are: for a copy, those of what it is a copy of."""
    return str(version.lineage.get("files") or _source(version))


def version_shown(version: Version) -> dict[str, Json]:
    """A version as clients read it."""
    body: dict[str, Json] = {
        "name": version.name,
        "version": str(version.number),
        "creation_timestamp": version.created_ms,
        "last_updated_timestamp": version.updated_ms,
        "current_stage": version.stage,
        "description": version.description,
        "source": _source(version),
        "run_id": version.run_id or "",
        "status": "READY",
        "tags": pairs(version.tags),
        "aliases": list(version.aliases),
    }
    more = {"run_link": version.lineage.get("run_link"), "model_id": version.lineage.get("model_id")}
    return {**body, **{key: value for key, value in more.items() if value}}


def shown(tracking: Tracking, registered: Registered) -> Json:
    """A registered model as clients read it."""
    return {
        "name": registered.name,
        "creation_timestamp": registered.created_ms,
        "last_updated_timestamp": registered.updated_ms,
        "description": registered.description,
        "latest_versions": [version_shown(each) for each in _latest(tracking, registered.name).values()],
        "tags": pairs(registered.tags),
        "aliases": [{"alias": alias, "version": str(number)} for alias, number in registered.aliases.items()],
    }


def _latest(tracking: Tracking, name: str) -> dict[str, Version]:
    """The newest version of each stage."""
    newest = Order(field=QueryField(kind="attribute", key="number"), descending=True)
    result: dict[str, Version] = {}
    for stage in STAGES.values():
        where = _named(name, attribute("stage", "=", stage))
        known = tracking.records.versions.search(Query(where=where, order=(newest,), limit=1)).items
        if known:
            result[stage] = known[0]
    return result


def _apply(tracking: Tracking, *changes: RegisteredChange | VersionChange) -> Json:
    try:
        tracking.records.versions.apply(changes)
    except NotFoundError:
        each = next(change for change in changes if isinstance(change, VersionChange))
        raise _no_version(each.name, each.number) from None
    return {}


def create(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """A new registered model."""
    name = limits.check_model_name(given["name"])
    tags = limits.check_tags(of_pairs("tags", given["tags"]))
    change = RegisteredChange(kind=MODEL, name=name, new=True, tags=tags, description=given["description"])
    try:
        _apply(tracking, change)
    except ConflictError:
        what = "Prompt" if tags.get(PROMPT.key) == "true" else "Registered Model"
        raise exists(f"{what} (name={name}) already exists.") from None
    return {"registered_model": shown(tracking, name_of(tracking, name))}


def get(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """One registered model."""
    return {"registered_model": shown(tracking, name_of(tracking, given["name"]))}


def rename(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Another name for a registered model and all its versions."""
    name_of(tracking, given["name"])
    new = limits.check_model_name(given["new_name"], path="new_name")
    try:
        _apply(tracking, RegisteredChange(kind=MODEL, name=given["name"], rename=new))
    except ConflictError:
        raise exists(f"Registered Model (name={new}) already exists.") from None
    return {"registered_model": shown(tracking, name_of(tracking, new))}


def update(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Another description of a registered model."""
    name_of(tracking, given["name"])
    _apply(tracking, RegisteredChange(kind=MODEL, name=given["name"], description=given["description"] or ""))
    return get(tracking, given)


def delete(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Take a registered model away, with all its versions."""
    name_of(tracking, given["name"])
    return _apply(tracking, RegisteredChange(kind=MODEL, name=given["name"], remove=True))


def search(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Registered models by filter; prompts only when the filter asks for them."""
    limit = 100 if given["max_results"] is None else given["max_results"]
    if not 1 <= limit <= MOST_NAMES:
        raise invalid(
            f"Invalid value for max_results. It must be a positive number of at most {MOST_NAMES}, but got {limit}"
        )
    order = order_of(given["order_by"], NAMES)
    by_name = Order(field=QueryField(kind="attribute", key="name"))
    where = _models(given["filter"], NAMES)
    query = Query(where=where, order=(*order, by_name), limit=limit, page=given["page_token"] or None)
    page = tracking.records.versions.registered(query)
    return paged({"registered_models": [shown(tracking, each) for each in page.items]}, page.following)


def _models(text: str | None, grammar: Grammar) -> Expr:
    """What a filter says of models, or of prompts where it speaks of them."""
    stated = filter_of(text, grammar)
    models = Predicate(field=PROMPT, operator="is null")
    of_prompts = PROMPT.key in (text or "")
    return within(
        attribute("kind", "=", MODEL),
        None if stated is None else _without_prompts(stated),
        None if of_prompts else models,
    )


def _without_prompts(where: Expr) -> Expr:
    """What has no such tag is no prompt, too: clients ask for "not true"."""
    if isinstance(where, AllOf):
        return AllOf(parts=tuple(map(_without_prompts, where.parts)))
    if isinstance(where, Predicate) and where.field == PROMPT and where.operator == "!=":
        return Predicate(field=PROMPT, operator="is null")
    return where


def latest(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """The newest version of each stage, or of those asked for."""
    name_of(tracking, given["name"])
    stages = [_stage(each) for each in given["stages"]] or list(STAGES.values())
    known = _latest(tracking, given["name"])
    return {"model_versions": [version_shown(known[stage]) for stage in stages if stage in known]}


def _stage(stage: str) -> str:
    known = STAGES.get(stage.lower())
    if known is None:
        listed = ", ".join(STAGES.values())
        raise invalid(f"Invalid Model Version stage: {stage}. Value must be one of {listed}.")
    return known


def set_tag(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """A tag of a registered model."""
    name_of(tracking, given["name"])
    tags = limits.check_tags({given["key"]: given["value"] or ""})
    return _apply(tracking, RegisteredChange(kind=MODEL, name=given["name"], tags=tags))


def delete_tag(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Take a tag of a registered model away."""
    name_of(tracking, given["name"])
    return _apply(tracking, RegisteredChange(kind=MODEL, name=given["name"], remove_tags=(given["key"],)))


def create_version(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """A new version of a registered model."""
    name = limits.check_model_name(given["name"])
    source, run_id, model_id = given["source"], given["run_id"], given["model_id"]
    tags = limits.check_tags(of_pairs("tags", given["tags"]))
    name_of(tracking, name)
    if PROMPT.key not in tags:
        _check_source(tracking, source, run_id, model_id)
    if source.startswith("models:/"):
        source = _copied(tracking, source)
    lineage: dict[str, Json] = {"source": given["source"], "files": source}
    more = {"run_link": given["run_link"], "model_id": model_id}
    lineage |= {key: value for key, value in more.items() if value}
    version = tracking.records.versions.register(
        MODEL,
        name,
        given["source"],
        run_id=run_id or None,
        lineage=lineage,
        tags=tags,
        description=given["description"] or "",
        always=True,
    )
    if model_id:
        noted(tracking, model_id, name, version.number)
    return {"model_version": version_shown(version)}


def _copied(tracking: Tracking, source: str) -> str:
    """Where the files of the version are that another one is a copy of."""
    path = source.removeprefix("models:/")
    if path.startswith("m-"):
        return str(model_of(tracking, path)["artifact_uri"])
    name, _, rest = path.partition("/")
    if "@" in name:
        name, _, alias = name.partition("@")
        version = tracking.records.versions.by_alias(name, alias)
        if version is None:
            raise unknown(f"Registered model alias {alias} not found.")
    else:
        version = version_of(tracking, name, rest)
    return files_of(version)


def _check_source(tracking: Tracking, source: str, run_id: str | None, model_id: str | None) -> None:
    """See that a version is not made of files that the client has no right to name.

    A local path must be inside the artifacts of the run or logged model that it is said to come from.
    """
    parts = urlsplit(source)
    if parts.scheme == "file" and parts.netloc not in {"", "localhost"}:
        raise TrackingError("INTERNAL_ERROR", f"{source} is not a valid remote uri: expected a file of this machine")
    local = local_path(source) if parts.scheme in {"", "file"} else None
    if local is None:
        path = unquote(unquote(unquote(parts.path)))
        if (
            parts.scheme == ""
            or ".." in posixpath.normpath(path).split("/")
            or ".." in path.split("/")
            or "\\" in path
            or "\0" in path
            or parts.query
            or parts.fragment
        ):
            raise invalid(
                f"Invalid model version source: '{source}'. If supplying a source as an http, https, local file path, "
                "ftp, objectstore, or mlflow-artifacts uri, an absolute path must be provided without relative path "
                "references present. Please provide an absolute path."
            )
        return
    owner = run_of(tracking, run_id) if run_id else None
    location = (
        tracking.artifacts_of(owner) if owner else model_of(tracking, model_id)["artifact_uri"] if model_id else ""
    )
    root = local_path(location)
    if root is None or not local.resolve().is_relative_to(root.resolve()):
        raise invalid(
            f"Invalid model version source: '{source}'. To use a local path as a model version source, the run_id "
            "request parameter has to be specified and the local path has to be contained within the artifact "
            "directory of the run specified by the run_id."
        )


def get_version(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """One version."""
    return {"model_version": version_shown(version_of(tracking, given["name"], given["version"]))}


def update_version(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Another description of a version."""
    version = version_of(tracking, given["name"], given["version"])
    _apply(
        tracking,
        VersionChange(kind=MODEL, name=version.name, number=version.number, description=given["description"] or ""),
    )
    return get_version(tracking, given)


def transition(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Another stage of a version; the others of that stage may be archived."""
    stage = _stage(given["stage"])
    version = version_of(tracking, given["name"], given["version"])
    changes: list[RegisteredChange | VersionChange] = [
        VersionChange(kind=MODEL, name=version.name, number=version.number, stage=stage),
        RegisteredChange(kind=MODEL, name=version.name),
    ]
    if given["archive_existing_versions"]:
        if stage in {"None", "Archived"}:
            raise invalid(
                "Model version transition cannot archive existing model versions because "
                f"'{stage}' is not an Active stage. Valid stages are Staging, Production"
            )
        there = Query(where=_named(version.name, attribute("stage", "=", stage)))
        changes += [
            VersionChange(kind=MODEL, name=other.name, number=other.number, stage="Archived")
            for other in every(tracking.records.versions.search, there)
            if other.number != version.number
        ]
    _apply(tracking, *changes)
    return get_version(tracking, given)


def delete_version(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Take a version away; its number is not given again."""
    version = version_of(tracking, given["name"], given["version"])
    gone = VersionChange(kind=MODEL, name=version.name, number=version.number, remove=True)
    return _apply(tracking, gone, RegisteredChange(kind=MODEL, name=version.name))


def search_versions(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Versions by filter, those that changed last first."""
    limit = 10_000 if given["max_results"] is None else given["max_results"]
    if not 1 <= limit <= MOST_VERSIONS:
        raise invalid(
            f"Invalid value for max_results. It must be a positive number of at most 200000, but got value {limit}"
        )
    wanted_order = order_of(given["order_by"] or ["last_updated_timestamp DESC"], VERSIONS)
    then = order_of(["name ASC", "version_number DESC"], VERSIONS)
    where = _models(given["filter"], VERSIONS)
    query = Query(where=where, order=(*wanted_order, *then), limit=limit, page=given["page_token"] or None)
    page = tracking.records.versions.search(query)
    return paged({"model_versions": [version_shown(each) for each in page.items]}, page.following)


def set_version_tag(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """A tag of a version."""
    version = version_of(tracking, given["name"], given["version"])
    tags = limits.check_tags({given["key"]: given["value"] or ""})
    return _apply(tracking, VersionChange(kind=MODEL, name=version.name, number=version.number, tags=tags))


def delete_version_tag(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Take a tag of a version away."""
    version = version_of(tracking, given["name"], given["version"])
    change = VersionChange(kind=MODEL, name=version.name, number=version.number, remove_tags=(given["key"],))
    return _apply(tracking, change)


def download_uri(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Where the files of a version are."""
    version = version_of(tracking, given["name"], given["version"])
    return {"artifact_uri": files_of(version)}


def set_alias(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """A name that can be moved, for a version."""
    alias = limits.check_alias(given["alias"])
    version = version_of(tracking, given["name"], given["version"])
    return _apply(tracking, RegisteredChange(kind=MODEL, name=version.name, aliases={alias: version.number}))


def delete_alias(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """Take an alias away."""
    name_of(tracking, given["name"])
    return _apply(tracking, RegisteredChange(kind=MODEL, name=given["name"], aliases={given["alias"]: None}))


def version_by_alias(tracking: Tracking, given: Mapping[str, Any]) -> Json:
    """The version that an alias names."""
    name_of(tracking, given["name"])
    version = tracking.records.versions.by_alias(given["name"], given["alias"])
    if version is None:
        raise invalid(f"Registered model alias {given['alias']} not found.")
    return {"model_version": version_shown(version)}
