"""What every `RecordStore` must do."""

# ruff: noqa: PLR2004  # the numbers are the examples

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakeoff.core.errors import ConflictError, NotFoundError, UsageError
from bakeoff.core.protocols import RecordStore
from bakeoff.core.queries import AllOf, AnyOf, Expr, Order, Predicate, Query, QueryField, attribute, every, holds
from bakeoff.core.records import (
    DocumentChange,
    ExperimentChange,
    Metric,
    MetricRange,
    NewRun,
    RegisteredChange,
    Run,
    RunChange,
    RunInput,
    VersionChange,
)
from bakeoff.testing.clock import FakeClock

__all__ = ["RecordStoreConformance"]

# Each example finds what earlier ones left in the store, and several classes inherit the test.
_shared = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
_examples = settings(max_examples=15, deadline=None, suppress_health_check=_shared, database=None)
_values = st.one_of(
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -1.0]), st.floats(-5, 5, width=16).map(lambda v: v + 0.0)
)
_metrics = st.builds(
    Metric, key=st.sampled_from(["a", "b"]), value=_values, step=st.integers(-2, 3), time_ms=st.integers(0, 2)
)
_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)


def _rank(metric: Metric) -> tuple[int, int, float]:
    return metric.step, metric.time_ms, 0.0 if math.isnan(metric.value) else metric.value


def _at_once(count: int, work: Callable[[int], object]) -> list[Exception]:
    """Run `work(0) … work(count - 1)` in threads; the exceptions they raised."""
    errors: list[Exception] = []

    def one(index: int) -> None:
        try:
            work(index)
        except Exception as error:  # noqa: BLE001  # the caller judges
            errors.append(error)

    threads = [threading.Thread(target=one, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


_words = st.sampled_from(["", "a", "A", "ab", "a%", "a_b", "[a]", "ü", "z"])
_keys = st.sampled_from(["k", "l"])
_described = st.fixed_dictionaries(
    {
        "name": _words,
        "metrics": st.lists(st.builds(Metric, key=_keys, value=_values), max_size=2, unique_by=lambda m: m.key),
        "params": st.dictionaries(_keys, _words, max_size=2),
        "tags": st.dictionaries(_keys, _words, max_size=2),
    }
)
_text_fields = st.builds(QueryField, kind=st.sampled_from(["param", "tag"]), key=_keys) | st.just(
    QueryField(kind="attribute", key="name")
)
_number_fields = st.builds(QueryField, kind=st.just("metric"), key=_keys)
_conditions = st.one_of(
    st.builds(
        Predicate,
        field=_text_fields,
        operator=st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "like"]),
        value=_words | st.sampled_from(["%", "a%", "_", "%b", "[a%"]),
    ),
    st.builds(
        Predicate, field=_text_fields, operator=st.sampled_from(["in", "not in"]), value=st.tuples(_words, _words)
    ),
    st.builds(
        Predicate,
        field=_number_fields,
        operator=st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        value=st.sampled_from([-1.0, 0.0, 0.5, 2, math.inf]),
    ),
    st.builds(Predicate, field=_text_fields | _number_fields, operator=st.sampled_from(["is null", "is not null"])),
)
_wheres = st.recursive(
    _conditions,
    lambda inner: st.lists(inner, max_size=3).flatmap(
        lambda parts: st.sampled_from([AllOf(parts=tuple(parts)), AnyOf(parts=tuple(parts))])
    ),
    max_leaves=4,
)
_orders = st.builds(Order, field=_text_fields | _number_fields, descending=st.booleans())


def _value(run: Run, wanted: QueryField) -> str | float | None:
    if wanted.kind == "attribute":
        return run.name
    if wanted.kind == "metric":
        return run.metrics[wanted.key].value if wanted.key in run.metrics else None
    return (run.params if wanted.kind == "param" else run.tags).get(wanted.key)


def _ordered(runs: list[Run], order: Order) -> list[Run]:
    def rank(run: Run) -> int:
        value = _value(run, order.field)
        return 2 if value is None else int(value != value)  # noqa: PLR0124 - NaN

    known: list[Run] = [run for run in runs if rank(run) == 0]
    known.sort(key=lambda run: _value(run, order.field), reverse=order.descending)  # pyright: ignore[reportCallIssue, reportArgumentType]
    return known + sorted((run for run in runs if rank(run)), key=rank)


def _log(store: RecordStore, run_id: str, **change: Any) -> None:
    store.runs.apply([RunChange(run_id=run_id, **change)])


def _runs(store: RecordStore, *conditions: Predicate) -> list[Run]:
    return list(store.runs.search(Query(where=AllOf(parts=conditions))).items)


def _again(store: RecordStore, run: Run) -> Run:
    return store.runs.start(run.experiment_id, "x", run_id=run.run_id)


def _alias(store: RecordStore, alias: str, number: int | None) -> None:
    store.versions.apply([RegisteredChange(kind="model", name="m", aliases={alias: number})])


class RecordStoreConformance:
    """Derive from it and give the fixture `store`: an empty store that reads `clock`."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        """The clock for the store."""
        return FakeClock()

    @pytest.fixture
    def store(self, clock: FakeClock) -> RecordStore:
        """The store under test."""
        raise NotImplementedError

    @pytest.fixture
    def run(self, store: RecordStore) -> Run:
        """A run that has just started."""
        return store.runs.start(store.experiments.open("reviews").experiment_id, "first")

    # --- runs ---------------------------------------------------------------------------------

    def test_an_experiment_is_made_once(self, store: RecordStore) -> None:
        """The same name gives the same experiment."""
        first = store.experiments.open("reviews")
        assert store.experiments.open("reviews") == first
        assert store.experiments.open("flights").experiment_id != first.experiment_id

    def test_a_run_starts_logs_and_finishes(self, store: RecordStore, run: Run) -> None:
        """What is logged is read again."""
        assert (run.status, run.end_ms, run.name, run.tags) == ("RUNNING", None, "first", {})
        _log(
            store,
            run.run_id,
            metrics=[Metric(key="f1", value=0.5, step=1, time_ms=7)],
            params={"alpha": "1"},
            tags={"note": "überall"},
            inputs=[RunInput(name="reviews", version="abc", context="training")],
            artifacts={"model/card.md": "0" * 64},
        )
        _log(store, run.run_id, status="FINISHED")
        found = store.runs.get(run.run_id)
        assert found.status == "FINISHED"
        assert found.end_ms is not None
        assert found.end_ms > found.start_ms
        assert found.params == {"alpha": "1"}
        assert found.tags == {"note": "überall"}
        assert found.metrics == {"f1": Metric(key="f1", value=0.5, step=1, time_ms=7)}
        assert found.inputs == (RunInput(name="reviews", version="abc", context="training"),)
        assert found.artifacts == {"model/card.md": "0" * 64}

    def test_a_run_started_again_runs_again(self, store: RecordStore, run: Run) -> None:
        """A known `run_id` resumes the run and keeps what it has."""
        _log(store, run.run_id, params={"alpha": "1"})
        _log(store, run.run_id, status="KILLED")
        again = store.runs.start(run.experiment_id, "other", run_id=run.run_id, tags={"try": "2"})
        assert (again.status, again.end_ms, again.start_ms) == ("RUNNING", None, run.start_ms)
        assert (again.name, again.params, again.tags) == ("first", {"alpha": "1"}, {"try": "2"})
        assert len(_runs(store)) == 1

    def test_a_chosen_run_id_is_kept(self, store: RecordStore, run: Run) -> None:
        """A new `run_id` is the run's; in another experiment it is refused."""
        assert store.runs.start(run.experiment_id, "x", run_id="mine").run_id == "mine"
        other = store.experiments.open("other").experiment_id
        with pytest.raises(ConflictError):
            store.runs.start(other, "x", run_id="mine")

    def test_a_change_creates_a_run(self, store: RecordStore, run: Run) -> None:
        """With what else it brings, beside changes of other runs; when one is refused, none is there."""
        new = NewRun(experiment_id=run.experiment_id, name="n", start_ms=5, parent_id=run.run_id, location="s3://b/x")
        value = Metric(key="f1", value=0.5, step=1, time_ms=7)
        changes = [
            RunChange(run_id="mine", new=new, tags={"b": "2", "a": "1"}, metrics=[value]),
            RunChange(run_id=run.run_id, params={"alpha": "1"}),
        ]
        other = store.experiments.open("other").experiment_id
        for run_id, wrong, error in (
            ("x", replace(new, experiment_id="99"), NotFoundError),
            ("x", replace(new, parent_id="none"), NotFoundError),
            (run.run_id, replace(new, experiment_id=other), ConflictError),
        ):
            with pytest.raises(error):
                store.runs.apply([*changes, RunChange(run_id=run_id, new=wrong)])
        assert [each.run_id for each in _runs(store)] == [run.run_id]
        store.runs.apply(changes)
        begun = new.begun("mine", {"a": "1", "b": "2"})
        assert store.runs.get("mine") == replace(begun, metrics={"f1": value})
        assert (begun.status, begun.experiment_id, begun.parent_id) == ("RUNNING", run.experiment_id, run.run_id)
        assert store.runs.get(run.run_id).params == {"alpha": "1"}
        _log(store, "mine", status="KILLED")
        store.runs.apply([RunChange(run_id="mine", new=replace(new, name="other"))])
        again = store.runs.get("mine")
        assert (again.status, again.end_ms, again.name) == ("RUNNING", None, "n")

    def test_unknown_runs_and_experiments(self, store: RecordStore, run: Run) -> None:
        """They raise `NotFoundError`, everywhere."""
        for call in (
            lambda: store.runs.get("none"),
            lambda: _log(store, "none", tags={"a": "b"}),
            lambda: _log(store, "none", status="FAILED"),
            lambda: store.runs.history("none", "f1"),
            lambda: store.runs.start("99", "x"),
            lambda: store.runs.start("no number", "x"),
            lambda: store.runs.start(run.experiment_id, "x", parent_id="none"),
        ):
            with pytest.raises(NotFoundError):
                call()

    def test_params_are_written_once(self, store: RecordStore, run: Run) -> None:
        """Another value is refused with all that came with it; the same value is no change."""
        _log(store, run.run_id, params={"alpha": "1"})
        _log(store, run.run_id, params={"alpha": "1", "beta": "2"})
        with pytest.raises(ConflictError, match="alpha"):
            _log(store, run.run_id, params={"gamma": "3", "alpha": "2"}, tags={"lost": "yes"})
        found = store.runs.get(run.run_id)
        assert found.params == {"alpha": "1", "beta": "2"}
        assert found.tags == {}

    def test_tags_and_artifacts_are_overwritten(self, store: RecordStore, run: Run) -> None:
        """The last value wins."""
        _log(store, run.run_id, tags={"a": "1", "b": "1"}, artifacts={"p": "x"})
        _log(store, run.run_id, tags={"a": "2"}, artifacts={"p": "y"})
        found = store.runs.get(run.run_id)
        assert (found.tags, found.artifacts) == ({"a": "2", "b": "1"}, {"p": "y"})

    def test_inputs_keep_their_order_and_are_listed_once(self, store: RecordStore, run: Run) -> None:
        """An input logged twice is one input."""
        inputs = [RunInput(name="z", version="1"), RunInput(name="a", version="1", context="test")]
        _log(store, run.run_id, inputs=inputs)
        _log(store, run.run_id, inputs=inputs)
        assert store.runs.get(run.run_id).inputs == tuple(inputs)

    @given(values=st.lists(_metrics, max_size=12), cut=st.integers(0, 12))
    @_examples
    def test_metrics_have_mlflows_semantics(self, store: RecordStore, values: list[Metric], cut: int) -> None:
        """History is append-only and ordered; the latest is the greatest (step, time_ms, value); NaN counts as 0."""
        run = store.runs.start(store.experiments.open("metrics").experiment_id, "x")
        _log(store, run.run_id, metrics=values[:cut])
        _log(store, run.run_id, metrics=values[cut:])
        found = store.runs.get(run.run_id).metrics
        assert found.keys() == {metric.key for metric in values}
        for key, latest in found.items():
            logged = [metric for metric in values if metric.key == key]
            assert _rank(latest) == max(map(_rank, logged))
            history = store.runs.history(run.run_id, key).items
            assert {repr(metric) for metric in history} == {repr(metric) for metric in logged}
            assert [(m.step, m.time_ms) for m in history] == sorted((m.step, m.time_ms) for m in history)
        assert store.runs.history(run.run_id, "never").items == ()

    def test_nan_and_infinities_are_kept(self, store: RecordStore, run: Run) -> None:
        """They come back as they went in."""
        for key, value in {"nan": math.nan, "inf": math.inf, "minus": -math.inf}.items():
            _log(store, run.run_id, metrics=[Metric(key=key, value=value)])
        found = store.runs.get(run.run_id).metrics
        assert math.isnan(found["nan"].value)
        assert (found["inf"].value, found["minus"].value) == (math.inf, -math.inf)

    def test_values_that_no_database_holds(self, store: RecordStore, run: Run) -> None:
        """They are refused with all that came with them, or kept as they are."""
        for tags, step in (({"a": "\ud800"}, 0), ({"a": "b"}, 2**70)):
            try:
                _log(store, run.run_id, tags=tags, metrics=[Metric(key="m", value=1.0, step=step)])
            except UsageError:
                assert store.runs.get(run.run_id) == run
            else:
                assert store.runs.get(run.run_id).metrics["m"].step == step

    def test_search_finds_newest_first(self, store: RecordStore) -> None:
        """Filters narrow, `limit` cuts."""
        reviews, flights = (store.experiments.open(name).experiment_id for name in ("reviews", "flights"))
        parent = store.runs.start(reviews, "parent")
        children = [store.runs.start(reviews, name, parent_id=parent.run_id) for name in "abc"]
        other = store.runs.start(flights, "other")
        _log(store, children[0].run_id, status="FAILED")

        def names(*conditions: Predicate, limit: int = 1000) -> list[str]:
            query = Query(where=AllOf(parts=conditions), limit=limit)
            return [run.name for run in store.runs.search(query).items]

        assert names() == ["other", "c", "b", "a", "parent"]
        assert names(attribute("experiment_id", "=", reviews), limit=2) == ["c", "b"]
        assert names(attribute("parent_id", "=", parent.run_id)) == ["c", "b", "a"]
        assert names(attribute("status", "=", "FAILED")) == ["a"]
        assert _runs(store, attribute("experiment_id", "in", (flights,))) == [other]
        assert names(attribute("experiment_id", "=", "no number")) == []
        assert names(attribute("parent_id", "is null")) == ["other", "parent"]

    def test_groups_of_runs(self, store: RecordStore) -> None:
        """Counts and ranges by a param, an attribute, and of all; NaN is no value, and a group without runs is none."""
        experiment = store.experiments.open("grouped").experiment_id
        for depth, f1, start_ms in (("3", 0.5, 10), ("3", 0.7, 20), ("5", math.nan, 30), (None, 0.9, 40)):
            run = store.runs.start(experiment, "x", start_ms=start_ms)
            _log(
                store,
                run.run_id,
                params={} if depth is None else {"depth": depth},
                metrics=[Metric(key="f1", value=f1)],
            )
        mine, depth = attribute("experiment_id", "=", experiment), QueryField(kind="param", key="depth")
        by_depth = store.runs.groups(Query(where=mine), depth, metrics=("f1", "never"))
        assert [(each.value, each.runs, each.newest_ms) for each in by_depth] == [
            ("3", 2, 20),
            (None, 1, 40),
            ("5", 1, 30),
        ]
        (f1,) = by_depth[0].metrics.values()
        assert replace(f1, mean=0.6) == MetricRange(runs=2, least=0.5, mean=0.6, most=0.7)
        assert f1.mean == pytest.approx(0.6)
        assert (dict(by_depth[2].metrics), by_depth[1].metrics["f1"].most) == ({}, 0.9)
        assert [each.runs for each in store.runs.groups(Query(where=mine, limit=1), depth)] == [2]
        status = QueryField(kind="attribute", key="status")
        assert [(each.value, each.runs) for each in store.runs.groups(Query(where=mine), status)] == [("RUNNING", 4)]
        assert [(each.runs, each.newest_ms) for each in store.runs.groups(Query(where=mine))] == [(4, 40)]
        assert store.runs.groups(Query(where=attribute("run_id", "=", "none"))) == []
        with pytest.raises(UsageError, match="group by"):
            store.runs.groups(Query(where=mine), QueryField(kind="metric", key="f1"))

    @given(values=st.lists(_described, min_size=1, max_size=6), where=_wheres, order=st.lists(_orders, max_size=2))
    @_examples
    def test_search_says_what_its_conditions_say(
        self, store: RecordStore, values: list[dict[str, Any]], where: Expr, order: list[Order]
    ) -> None:
        """Each condition as `holds` has it, in the order asked for, on pages of any size."""
        experiment = store.experiments.open(f"search {len(_runs(store))}").experiment_id
        runs = [store.runs.start(experiment, each["name"]) for each in values]
        for run, each in zip(runs, values, strict=True):
            _log(store, run.run_id, metrics=each["metrics"], params=each["params"], tags=each["tags"])
        known = [store.runs.get(run.run_id) for run in runs]
        query = Query(
            where=AllOf(parts=(attribute("experiment_id", "=", experiment), where)), order=tuple(order), limit=2
        )
        expected = [run for run in known[::-1] if holds(where, lambda wanted, run=run: _value(run, wanted))]
        for each in order[::-1]:
            expected = _ordered(expected, each)
        assert [run.run_id for run in every(store.runs.search, query)] == [run.run_id for run in expected]

    def test_pages_are_of_one_moment(self, store: RecordStore) -> None:
        """A run that starts between two pages is on neither, and none comes twice."""
        experiment = store.experiments.open("pages").experiment_id
        first = [store.runs.start(experiment, str(at)).run_id for at in range(5)]
        query = Query(limit=2)
        page = store.runs.search(query)
        store.runs.start(experiment, "late")
        rest = list(every(store.runs.search, replace(query, page=page.following)))
        if len(page.items) + len(rest) == len(first):  # a store may know no moment, but must lose nothing
            assert [run.run_id for run in (*page.items, *rest)] == first[::-1]
        assert {run.run_id for run in (*page.items, *rest)} >= set(first)

    @pytest.mark.parametrize(
        "query",
        [
            Query(where=attribute("colour", "=", "red")),
            Query(order=(Order(field=QueryField(kind="attribute", key="colour")),)),
            Query(limit=0),
            Query(page="none of ours"),
        ],
    )
    def test_queries_that_are_none(self, store: RecordStore, query: Query) -> None:
        """They are refused, whatever is asked for."""
        for search in (store.runs.search, store.experiments.search, store.versions.search, store.versions.registered):
            store.runs.start(store.experiments.open("x").experiment_id, "x")
            store.versions.register("model", "m", "a")
            with pytest.raises(UsageError):
                search(query)

    def test_history_comes_in_pages(self, store: RecordStore, run: Run) -> None:
        """In the order of steps."""
        _log(store, run.run_id, metrics=[Metric(key="loss", value=float(-at), step=at) for at in range(5)])
        page, steps = store.runs.history(run.run_id, "loss", limit=2), list[int]()
        while True:
            steps += [metric.step for metric in page.items]
            if page.following is None:
                break
            page = store.runs.history(run.run_id, "loss", limit=2, page=page.following)
        assert steps == [0, 1, 2, 3, 4]

    def test_curves_are_histories_as_arrays(self, store: RecordStore, run: Run) -> None:
        """Of several runs, in any order of logging; a run without the metric has none, an unknown run is an error."""
        other, none = (store.runs.start(run.experiment_id, name) for name in ("other", "none"))
        for run_id, steps in ((run.run_id, (2, 0, 1)), (other.run_id, (0, 1, 1))):
            for at, step in enumerate(steps):
                values = [Metric(key="loss", value=step / 8, step=step, time_ms=at), Metric(key="x", value=9.0)]
                _log(store, run_id, metrics=values)
        curves = store.runs.curves([run.run_id, none.run_id, other.run_id], "loss")
        assert list(curves) == [run.run_id, other.run_id]
        for run_id, curve in curves.items():
            columns = (curve.step_n.tolist(), curve.time_ms_n.tolist(), curve.value_n.tolist())
            history = store.runs.history(run_id, "loss").items
            assert list(zip(*columns, strict=True)) == [(each.step, each.time_ms, each.value) for each in history]
        with pytest.raises(NotFoundError):
            store.runs.curves([run.run_id, "none"], "loss")

    def test_changes_are_made_together_or_not_at_all(self, store: RecordStore, run: Run) -> None:
        """Of several runs, too."""
        other = store.runs.start(run.experiment_id, "other")
        _log(store, other.run_id, params={"alpha": "1"})
        before = store.runs.get(run.run_id), store.runs.get(other.run_id)
        changes = [
            RunChange(run_id=run.run_id, tags={"a": "b"}, metrics=[Metric(key="m", value=1.0)], status="FAILED"),
            RunChange(run_id=other.run_id, params={"alpha": "2"}),
        ]
        with pytest.raises(ConflictError):
            store.runs.apply(changes)
        assert (store.runs.get(run.run_id), store.runs.get(other.run_id)) == before
        store.runs.apply(changes[:1])
        assert store.runs.get(run.run_id).status == "FAILED"

    def test_what_comes_at_once_fails_alone(self, store: RecordStore, run: Run) -> None:
        """One refused change takes no other with it; each that returned is there."""
        _log(store, run.run_id, params={"alpha": "1"})

        def work(index: int) -> None:
            if index % 4 == 0:
                _log(store, run.run_id, params={"alpha": "2"}, tags={f"lost {index}": "yes"})
            _log(store, run.run_id, metrics=[Metric(key="m", value=float(index), step=index)], tags={str(index): "yes"})

        errors = _at_once(16, work)
        assert [type(error) for error in errors] == [ConflictError] * 4
        assert set(store.runs.get(run.run_id).tags) == {str(index) for index in range(16) if index % 4}
        assert len(store.runs.history(run.run_id, "m").items) == 12

    def test_runs_and_experiments_are_deleted_and_restored(self, store: RecordStore, run: Run) -> None:
        """Deleted, they are not found, take nothing, and come back as they were; runs go with their experiment."""
        _log(store, run.run_id, tags={"a": "b"}, lifecycle="deleted")
        assert _runs(store) == []
        assert [each.run_id for each in store.runs.search(Query(lifecycle="deleted")).items] == [run.run_id]
        assert store.runs.get(run.run_id).lifecycle == "deleted"
        for refused in (lambda: _log(store, run.run_id, tags={"c": "d"}), lambda: _again(store, run)):
            with pytest.raises(ConflictError, match="restore"):
                refused()
        _log(store, run.run_id, lifecycle="active")
        assert store.runs.get(run.run_id).tags == {"a": "b"}
        store.experiments.apply([ExperimentChange(experiment_id=run.experiment_id, lifecycle="deleted")])
        assert store.experiments.search(Query()).items == ()
        assert _runs(store) == []
        with pytest.raises(ConflictError):
            store.runs.start(run.experiment_id, "x")
        store.experiments.apply([ExperimentChange(experiment_id=run.experiment_id, lifecycle="active")])
        assert [each.run_id for each in _runs(store)] == [run.run_id]

    def test_experiments_are_named_tagged_and_found(self, store: RecordStore) -> None:
        """A name belongs to one experiment; tags come and go."""
        first = store.experiments.create("one", tags={"team": "red", "x": "1"})
        second = store.experiments.open("two")
        assert store.experiments.get(first.experiment_id) == first
        for refused in (
            lambda: store.experiments.create("one"),
            lambda: store.experiments.apply([ExperimentChange(experiment_id=second.experiment_id, name="one")]),
        ):
            with pytest.raises(ConflictError):
                refused()
        change = ExperimentChange(experiment_id=first.experiment_id, name="uno", tags={"y": "2"}, remove_tags=("x",))
        store.experiments.apply([change])
        found = store.experiments.get(first.experiment_id)
        assert (found.name, found.tags) == ("uno", {"team": "red", "y": "2"})
        assert found.updated_ms > first.updated_ms
        tagged = Predicate(field=QueryField(kind="tag", key="team"), operator="=", value="red")
        assert store.experiments.search(Query(where=tagged)).items == (found,)
        assert [each.name for each in store.experiments.search(Query()).items] == ["two", "uno"]
        for unknown in ("99", "no number"):
            with pytest.raises(NotFoundError):
                store.experiments.get(unknown)

    # --- versions -----------------------------------------------------------------------------

    def test_versions_are_numbered_within_kind_and_name(self, store: RecordStore) -> None:
        """1, 2, … for each."""
        numbers = [store.versions.register("model", "m", content).number for content in ("a", "b", "c")]
        assert numbers == [1, 2, 3]
        assert store.versions.register("model", "other", "a").number == 1
        assert store.versions.register("dataset", "m", "a").number == 1

    def test_registering_again_is_the_same_version(self, store: RecordStore) -> None:
        """Same content and run: same version; another run: another version."""
        first = store.versions.register("model", "m", "a", lineage={"seed": 1}, tags={"t": "1"})
        assert store.versions.register("model", "m", "a") == first
        assert store.versions.register("model", "m", "a", run_id="r").number == 2
        assert store.versions.register("model", "m", "a", run_id="r").number == 2
        assert store.versions.get("model", "m", 1) == first
        assert (first.lineage, first.tags, first.run_id) == ({"seed": 1}, {"t": "1"}, None)

    def test_find_versions_newest_first(self, store: RecordStore) -> None:
        """By kind, name and content."""
        for name, content in (("m", "a"), ("m", "b"), ("n", "a")):
            store.versions.register("model", name, content)

        def found(**wanted: str) -> list[tuple[str, int]]:
            where = AllOf(parts=tuple(attribute(key, "=", value) for key, value in {"kind": "model", **wanted}.items()))
            return [(v.name, v.number) for v in every(store.versions.search, Query(where=where, limit=2))]

        assert found() == [("n", 1), ("m", 2), ("m", 1)]
        assert found(name="m") == [("m", 2), ("m", 1)]
        assert found(content="a") == [("n", 1), ("m", 1)]
        assert found(kind="prompt") == []

    def test_aliases_move(self, store: RecordStore) -> None:
        """An alias names one version at a time, and shows on it."""
        for content in "ab":
            store.versions.register("model", "m", content)
        assert store.versions.by_alias("m", "champion") is None
        _alias(store, "champion", 1)
        _alias(store, "best", 1)
        assert store.versions.get("model", "m", 1).aliases == ("best", "champion")
        _alias(store, "champion", 2)
        champion = store.versions.by_alias("m", "champion")
        assert champion is not None
        assert (champion.number, champion.aliases) == (2, ("champion",))
        with pytest.raises(NotFoundError):
            _alias(store, "champion", 3)
        _alias(store, "champion", None)
        _alias(store, "champion", None)
        assert store.versions.by_alias("m", "champion") is None

    def test_version_tags(self, store: RecordStore) -> None:
        """They are set and overwritten; unknown versions are refused."""
        store.versions.register("model", "m", "a", tags={"x": "1", "y": "1"})
        changed = VersionChange(kind="model", name="m", number=1, tags={"x": "2"}, description="the first")
        store.versions.apply([changed])
        version = store.versions.get("model", "m", 1)
        assert (version.tags, version.description) == ({"x": "2", "y": "1"}, "the first")
        store.versions.apply([replace(changed, tags={}, remove_tags=("y",))])
        assert store.versions.get("model", "m", 1).tags == {"x": "2"}
        with pytest.raises(NotFoundError):
            store.versions.apply([replace(changed, number=2)])
        with pytest.raises(NotFoundError):
            store.versions.get("dataset", "m", 1)

    def test_numbers_are_right_when_registered_at_once(self, store: RecordStore) -> None:
        """No number is given twice or left out."""
        assert _at_once(8, lambda index: store.versions.register("model", "m", str(index))) == []
        assert sorted(version.number for version in store.versions.search(Query()).items) == list(range(1, 9))

    def test_names_have_descriptions_tags_and_aliases(self, store: RecordStore) -> None:
        """They are made by their first version or by a change, and found without their versions."""
        store.versions.apply(
            [RegisteredChange(kind="model", name="empty", description="to come", tags={"team": "red"})]
        )
        for content in "ab":
            store.versions.register("model", "m", content)
        store.versions.register("dataset", "m", "a")
        _alias(store, "champion", 2)
        models = Query(where=attribute("kind", "=", "model"))
        found = {each.name: each for each in store.versions.registered(models).items}
        assert found.keys() == {"empty", "m"}
        assert (found["m"].last_number, found["m"].aliases, found["m"].tags) == (2, {"champion": 2}, {})
        empty = found["empty"]
        assert (empty.description, empty.tags, empty.last_number) == ("to come", {"team": "red"}, 0)
        with pytest.raises(NotFoundError):
            store.versions.apply(
                [
                    RegisteredChange(kind="model", name="empty", description="lost"),
                    RegisteredChange(kind="model", name="empty", aliases={"champion": 1}),
                ]
            )
        store.versions.apply([RegisteredChange(kind="model", name="empty", remove_tags=("team",))])
        tagged = Predicate(field=QueryField(kind="tag", key="team"), operator="is not null")
        assert store.versions.registered(Query(where=tagged)).items == ()
        (entry,) = store.versions.registered(Query(where=attribute("name", "like", "emp%"))).items
        assert entry.description == "to come"
        assert entry.updated_ms > empty.updated_ms

    # --- documents ----------------------------------------------------------------------------

    def test_documents_count_their_revisions(self, store: RecordStore) -> None:
        """From 1, with each write."""
        assert store.documents.get("steps", "k") is None
        first = store.documents.put("steps", "k", {"a": [1, None, {"b": True}]})
        assert (first.revision, first.body) == (1, {"a": [1, None, {"b": True}]})
        second = store.documents.put("steps", "k", {"a": 2})
        assert second.revision == 2
        assert second.updated_ms > first.updated_ms
        assert store.documents.get("steps", "k") == second

    def test_compare_and_swap(self, store: RecordStore) -> None:
        """A write that expects another revision is refused and changes nothing."""
        store.documents.put("pointer", "k", {"to": 1}, expected=0)
        with pytest.raises(ConflictError):
            store.documents.put("pointer", "k", {"to": 2}, expected=0)
        with pytest.raises(ConflictError):
            store.documents.put("pointer", "k", {"to": 2}, expected=2)
        with pytest.raises(ConflictError):
            store.documents.put("pointer", "none", {"to": 2}, expected=1)
        assert store.documents.put("pointer", "k", {"to": 2}, expected=1).revision == 2

    def test_one_of_many_swaps_wins(self, store: RecordStore) -> None:
        """However many try at once."""
        errors = _at_once(8, lambda index: store.documents.put("pointer", "k", {"to": index}, expected=0))
        assert [type(error) for error in errors] == [ConflictError] * 7

    def test_documents_are_found_by_prefix_and_deleted(self, store: RecordStore) -> None:
        """Prefixes are literal and mind case; keys come in order of their code points."""
        for key in ("b/2", "a%", "B/1", "b/1", "a_", "ab"):
            store.documents.put("c", key, {})
        store.documents.put("other", "b/3", {})
        assert [d.key for d in store.documents.find("c")] == ["B/1", "a%", "a_", "ab", "b/1", "b/2"]
        assert [d.key for d in store.documents.find("c", "b/")] == ["b/1", "b/2"]
        assert [d.key for d in store.documents.find("c", "a_")] == ["a_"]
        store.documents.delete("c", "b/1")
        store.documents.delete("c", "b/1")
        assert [d.key for d in store.documents.find("c", "b/")] == ["b/2"]
        assert store.documents.put("c", "b/1", {}, expected=0).revision == 1
        for key in ("b", "b/", "b/\U0001f600", "b0", "b/\uffff/x"):
            store.documents.put("c", key, {})
        assert [d.key for d in store.documents.find("c", "b/")] == ["b/", "b/1", "b/2", "b/\uffff/x", "b/\U0001f600"]

    def test_a_removal_with_an_expected_revision_is_compare_and_swap(self, store: RecordStore) -> None:
        """A document that another has changed meanwhile stays, and so does all that was to change with it."""
        documents = store.documents
        documents.put("c", "k", {"n": 1})
        documents.put("c", "k", {"n": 2})
        for key, expected in (("k", 1), ("k", 0), ("none", 1)):
            with pytest.raises(ConflictError, match=f"expected revision {expected} of c/{key}"):
                documents.apply(
                    [
                        DocumentChange(collection="c", key="beside", body={}),
                        DocumentChange(collection="c", key=key, body=None, expected=expected),
                    ]
                )
        assert [each.key for each in documents.find("c")] == ["k"]
        documents.apply(
            [
                DocumentChange(collection="c", key="k", body=None, expected=2),
                DocumentChange(collection="c", key="none", body=None, expected=0),
            ]
        )
        assert documents.find("c") == []

    def test_what_a_removed_document_was_found_by_goes_with_it(self, store: RecordStore) -> None:
        """One that is made later under its key is not found by it."""
        color = QueryField(kind="tag", key="color")
        red = Query(where=Predicate(field=color, operator="=", value="red"))
        store.documents.apply([DocumentChange(collection="c", key="k", body={}, fields={color: "red"})])
        assert [each.key for each in store.documents.search("c", red).items] == ["k"]
        store.documents.delete("c", "k")
        store.documents.put("c", "k", {})
        assert store.documents.search("c", red).items == ()

    @given(body=st.dictionaries(_text, _json, max_size=4), key=_text)
    @_examples
    def test_any_json_comes_back(self, store: RecordStore, body: dict[str, object], key: str) -> None:
        """Whatever the text, nesting and numbers."""
        store.documents.put("json", key, body)  # pyright: ignore[reportArgumentType]  # JSON by construction
        found = store.documents.get("json", key)
        assert found is not None
        assert found.body == body

    def test_what_json_cannot_hold_is_refused(self, store: RecordStore) -> None:
        """With `UsageError`, and nothing is written."""
        with pytest.raises(UsageError):
            store.documents.put("c", "k", {"a": object()})  # pyright: ignore[reportArgumentType]  # the point
        assert store.documents.get("c", "k") is None

    def test_a_callers_change_does_not_reach_the_store(self, store: RecordStore) -> None:
        """What was written stays as it was."""
        body: dict[str, object] = {"a": 1}
        store.documents.put("c", "k", body)  # pyright: ignore[reportArgumentType]  # JSON
        body["a"] = 2
        found = store.documents.get("c", "k")
        assert found is not None
        assert found.body == {"a": 1}

    def test_names_are_new_renamed_and_removed_with_their_versions(self, store: RecordStore) -> None:
        """And so are their aliases and tags; a number that was removed is not given again."""
        versions = store.versions
        versions.apply([RegisteredChange(kind="model", name="old", new=True, tags={"a": "b"})])
        with pytest.raises(ConflictError):
            versions.apply([RegisteredChange(kind="model", name="old", new=True)])
        first = versions.register("model", "old", "x", always=True, description="d")
        assert versions.register("model", "old", "x", always=True).number == first.number + 1
        versions.apply(
            [
                RegisteredChange(kind="model", name="old", aliases={"best": 1}),
                VersionChange(kind="model", name="old", number=2, stage="Staging"),
                RegisteredChange(kind="model", name="old", rename="new"),
            ]
        )
        assert versions.by_alias("new", "best") == replace(first, name="new", aliases=("best",))
        assert versions.get("model", "new", 2).stage == "Staging"
        versions.apply([VersionChange(kind="model", name="new", number=2, remove=True)])
        assert versions.register("model", "new", "y").number == 3
        versions.apply([RegisteredChange(kind="model", name="other", new=True)])
        with pytest.raises(ConflictError):
            versions.apply([RegisteredChange(kind="model", name="new", rename="other")])
        versions.apply([RegisteredChange(kind="model", name="new", remove=True)])
        with pytest.raises(NotFoundError):
            versions.get("model", "new", 1)

    def test_documents_are_searched_by_their_fields(self, store: RecordStore) -> None:
        """By texts and numbers, in order, page by page; what is written together is written whole or not at all."""
        documents = store.documents

        def fields(color: str, size: float) -> dict[QueryField, str | float]:
            return {QueryField(kind="tag", key="color"): color, QueryField(kind="attribute", key="size"): size}

        entries = [("a", "red", 3.0), ("b", "red", 1.0), ("c", "blue", 2.0)]
        changes = [DocumentChange(collection="k", key=k, body={"n": k}, fields=fields(c, s)) for k, c, s in entries]
        documents.apply([*changes, DocumentChange(collection="other", key="a", body={})])
        red = Predicate(field=QueryField(kind="tag", key="color"), operator="=", value="red")
        by_size = (Order(field=QueryField(kind="attribute", key="size")),)
        assert [each.key for each in documents.search("k", Query(where=red, order=by_size)).items] == ["b", "a"]
        larger = attribute("size", ">", 1.5)
        assert [documents.count("k", where) for where in (None, red, larger)] == [3, 2, 2]
        assert documents.count("none", red) == 0
        page = documents.search("k", Query(where=larger, order=by_size, limit=1))
        assert [each.key for each in page.items] == ["c"]
        rest = documents.search("k", Query(where=larger, order=by_size, limit=1, page=page.following))
        assert ([each.key for each in rest.items], rest.following) == (["a"], None)
        with pytest.raises(ConflictError):
            documents.apply(
                [
                    DocumentChange(collection="k", key="a", body=None),
                    DocumentChange(collection="k", key="b", body={}, expected=7),
                ]
            )
        assert documents.get("k", "a") is not None
        documents.apply([DocumentChange(collection="k", key="a", body=None)])
        assert [each.key for each in documents.search("k", Query(where=red)).items] == ["b"]
        green = DocumentChange(collection="k", key="b", body={}, fields=fields("green", 4.0), expected=1)
        documents.apply([green])  # its fields are these alone
        assert [documents.count("k", where) for where in (red, larger)] == [0, 2]
        documents.apply([replace(green, fields={}, expected=None)])
        assert documents.count("k", larger) == 1
