"""Take logged models, registered models and prompts to a store of MLflow's.

That store gives ids and numbers of its own, so what is made there carries ours as tags.
"""

import json
import posixpath
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from shutil import rmtree
from typing import Any
from uuid import uuid4

from bakeoff.core.queries import Query, attribute, every
from bakeoff.core.records import Experiment, Registered, Version
from bakeoff.results.transfer import Transferred
from bakeoff.web.tracking.artifacts import FILES
from bakeoff.web.tracking.context import PROXIED, Tracking
from bakeoff.web.tracking.mlflow_store import EXPORTED, IMPORTED, LOGGED, pages
from bakeoff.web.tracking.models import MODELS
from bakeoff.web.tracking.registry import MODEL, PROMPT

__all__ = ["ExportedModels"]

VERSION, MODEL_ID = "bakeoff.version", "bakeoff.model_id"
TEMPLATE, TEMPLATE_KIND = "mlflow.prompt.text", "_mlflow_prompt_type"
ELSEWHERE = frozenset({"s3", "gs", "https", "http", "wasbs", "hdfs", "abfss", "dbfs"})
"""Places that others can read, too."""


class ExportedModels:
    """Models on their way; `runs` are those of the store by our ids."""

    def __init__(
        self,
        tracking: Tracking,
        client: Any,
        counts: Transferred,
        runs: Mapping[str, Any],
        failures: tuple[type[Exception], ...],
    ) -> None:
        self._tracking, self._client, self._counts, self._runs = tracking, client, counts, runs
        self._failures = failures
        self._logged: dict[str, Any] = {}
        """Logged models of the store by our ids."""

    # --- logged models --------------------------------------------------------------------------

    def logged(self, ours: Experiment, experiment_id: str) -> None:
        """The logged models of an experiment."""
        query = Query(where=attribute("experiment_id", "=", ours.experiment_id), lifecycle=None)
        search = self._tracking.records.documents.search
        bodies = [each.body for each in every(lambda asking: search(MODELS, asking), query)]
        wanted = [body for body in bodies if not body.get("deleted")]
        if not wanted:
            return
        try:
            for theirs in pages(self._client.search_logged_models, experiment_ids=[experiment_id]):
                self._logged[(theirs.tags or {}).get(MODEL_ID) or theirs.model_id] = theirs
        except self._failures as error:
            self._counts.leave_out("logged models", f"of experiment {ours.name}", error)
            return
        for body in wanted:
            try:
                self._one_logged(body, experiment_id)
            except self._failures as error:
                self._counts.leave_out("logged models", str(body["model_id"]), error)

    def _one_logged(self, body: Mapping[str, Any], experiment_id: str) -> None:
        known = self._logged.get(body["model_id"])
        if known is not None and known.status.name != "PENDING":
            self._counts.already["logged models"] += 1
            return
        if known is None:
            run = self._runs.get(body["source_run_id"] or "")
            known = self._client.create_logged_model(
                experiment_id,
                name=body["name"],
                source_run_id=None if run is None else run.info.run_id,
                tags={**body["tags"], MODEL_ID: body["model_id"]},
                params=body["params"] or None,
                model_type=body["model_type"],
            )
        self._with_files(
            str(body["artifact_uri"]), lambda folder: self._client.log_model_artifacts(known.model_id, str(folder))
        )
        ready = "FAILED" if body["status"].endswith("FAILED") else "READY"
        self._logged[body["model_id"]] = self._client.finalize_logged_model(known.model_id, ready)
        self._counts.moved["logged models"] += 1

    def _with_files(self, uri: str, use: Callable[[Path], None]) -> None:
        """Call `use` with a folder of the files that are below a path of the proxy, if there are some."""
        prefix = f"{uri.removeprefix(PROXIED).lstrip('/')}/"
        files = self._tracking.records.documents.find(FILES, prefix) if uri.startswith(PROXIED) else []
        if not files:
            return
        folder = self._tracking.scratch / f"export-{uuid4().hex}"
        try:
            for each in files:
                target = folder / each.key.removeprefix(prefix)
                target.parent.mkdir(parents=True, exist_ok=True)
                self._tracking.blobs.fetch(str(each.body["file_blob"]), target)
            use(folder)
            self._counts.moved["artifacts"] += len(files)
        finally:
            rmtree(folder, ignore_errors=True)

    # --- the registry ---------------------------------------------------------------------------

    def registry(self) -> None:
        """All registered models and prompts, with their versions and aliases."""
        query = Query(where=attribute("kind", "=", MODEL))
        for ours in every(self._tracking.records.versions.registered, query):
            try:
                self._registered(ours, prompt=PROMPT.key in ours.tags)
            except self._failures as error:
                self._counts.leave_out("registered models", ours.name, error)

    def _registered(self, ours: Registered, *, prompt: bool) -> None:
        theirs = self._theirs(ours, prompt=prompt)
        if theirs is not None and EXPORTED not in theirs.tags and not _same(ours, theirs):
            reason = "a registered model of this name is there already"
            self._counts.leave_out("registered models", ours.name, reason)
            return
        kind = "registered models"
        self._counts.already[kind] += theirs is not None
        self._counts.moved[kind] += theirs is None
        if theirs is None and not prompt:  # a prompt is made with its first version
            tags = {key: value for key, value in ours.tags.items() if key != IMPORTED}
            self._client.create_registered_model(ours.name, tags={**tags, EXPORTED: "1"}, description=ours.description)
        numbers = self._versions(ours, prompt=prompt)
        if theirs is None and prompt:
            self._client.set_prompt_tag(ours.name, EXPORTED, "1")
        name_it = self._client.set_prompt_alias if prompt else self._client.set_registered_model_alias
        there = {} if theirs is None else {alias: int(number) for alias, number in dict(theirs.aliases).items()}
        for alias, number in ours.aliases.items():
            if number in numbers and there.get(alias) != numbers[number]:
                name_it(ours.name, alias, numbers[number] if prompt else str(numbers[number]))

    def _theirs(self, ours: Registered, *, prompt: bool) -> Any:
        text = f"name = {_quoted(ours.name)}" + (f" AND tags.`{PROMPT.key}` = 'true'" if prompt else "")
        return next(iter(pages(self._client.search_registered_models, filter_string=text)), None)

    def _versions(self, ours: Registered, *, prompt: bool) -> dict[int, int]:
        """The numbers that versions have there, by ours, after those were taken that were not there."""
        text = f"name = {_quoted(ours.name)}" + (f" AND tags.`{PROMPT.key}` = 'true'" if prompt else "")
        of_name = Query(where=attribute("name", "=", ours.name))
        known = every(self._tracking.records.versions.search, of_name)
        versions = sorted((each for each in known if each.kind == MODEL), key=lambda each: each.number)
        there = list(pages(self._client.search_model_versions, filter_string=text))
        numbers = _numbers(versions, there)
        for version in versions:
            if version.number in numbers:
                self._counts.already["versions"] += 1
                continue
            try:
                number = self._prompt(version) if prompt else self._version(version)
            except self._failures as error:
                self._counts.leave_out("versions", f"{ours.name}/{version.number}", error)
                continue
            numbers[version.number] = number
            self._counts.moved["versions"] += 1
        return numbers

    def _prompt(self, ours: Version) -> int:
        text = ours.tags.get(TEMPLATE, "")
        template: Any = json.loads(text) if ours.tags.get(TEMPLATE_KIND) == "chat" else text
        tags = {key: value for key, value in ours.tags.items() if "mlflow" not in key}
        made = self._client.register_prompt(
            ours.name, template, commit_message=ours.description or None, tags={**tags, VERSION: str(ours.number)}
        )
        return int(made.version)

    def _version(self, ours: Version) -> int:
        run, logged = self._runs.get(ours.run_id or ""), self._of_logged(ours)
        made = self._client.create_model_version(
            ours.name,
            logged.artifact_location if logged is not None else self._source(ours, run),
            run_id=None if run is None else run.info.run_id,
            tags={**ours.tags, VERSION: str(ours.number)},
            description=ours.description or None,
            model_id=None if logged is None else logged.model_id,
        )
        if ours.stage != "None":
            self._client.transition_model_version_stage(ours.name, made.version, ours.stage)
        return int(made.version)

    def _of_logged(self, ours: Version) -> Any:
        """The logged model there that a version is of."""
        inside = LOGGED.search(str(ours.lineage.get("files") or "")) or LOGGED.search(
            str(ours.lineage.get("source") or "")
        )
        return self._logged.get(inside[1] if inside else str(ours.lineage.get("model_id") or ""))

    def _source(self, ours: Version, run: Any) -> str:
        """Where the files of a version are there: among the artifacts of its run, or where they were.

        Raises:
            ValueError: others cannot read them.
        """
        stated = str(ours.lineage.get("source") or "")
        if run is not None:
            path = str(ours.lineage.get("files") or "").partition(f"/{ours.run_id}/artifacts/")[2]
            if not stated and self._tracking.blobs.contains(ours.content):  # a model of our own
                path = self._own_model(ours, run.info.run_id)
            if path:
                return posixpath.join(run.info.artifact_uri, path)
        if stated.partition(":")[0] not in ELSEWHERE:
            raise ValueError("its files are neither a run's or logged model's nor at a place that others can read")
        return stated

    def _own_model(self, ours: Version, run_id: str) -> str:
        """Take a model of our own to the artifacts of its run; its path there."""
        path, folder = f"registered/{ours.name}-{ours.number}", self._tracking.scratch / f"export-{uuid4().hex}"
        folder.mkdir(parents=True)
        try:
            local = self._tracking.blobs.fetch(ours.content, folder / "model")
            self._client.log_artifacts(run_id, str(local), path)
        finally:
            rmtree(folder, ignore_errors=True)
        self._counts.moved["artifacts"] += 1
        return path


def _quoted(name: str) -> str:
    """A name in a filter."""
    doubled = name.replace("'", "''")
    return f"'{doubled}'"


def _same(ours: Registered, theirs: Any) -> bool:
    """Whether a registered model is the one that ours was imported from."""
    return IMPORTED in ours.tags and theirs.creation_timestamp == ours.created_ms


def _numbers(versions: Iterable[Version], there: Iterable[Any]) -> dict[int, int]:
    """By our numbers, those of versions that are there: copies of ours, and those that ours were imported from."""
    listed = list(there)
    numbers = {int(each.tags[VERSION]): int(each.version) for each in listed if VERSION in each.tags}
    made = {(int(each.version), each.creation_timestamp) for each in listed if VERSION not in each.tags}
    return {each.number: each.number for each in versions if (each.number, each.created_ms) in made} | numbers
