"""What every `RecordStore` must do."""

# ruff: noqa: PLR2004  # the numbers are the examples

import math
import threading
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakeoff.core.errors import ConflictError, NotFoundError, UsageError
from bakeoff.core.protocols import RecordStore
from bakeoff.core.records import Metric, Run, RunInput
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
        return store.runs.start(store.runs.experiment("reviews").experiment_id, "first")

    # --- runs ---------------------------------------------------------------------------------

    def test_an_experiment_is_made_once(self, store: RecordStore) -> None:
        """The same name gives the same experiment."""
        first = store.runs.experiment("reviews")
        assert store.runs.experiment("reviews") == first
        assert store.runs.experiment("flights").experiment_id != first.experiment_id

    def test_a_run_starts_logs_and_finishes(self, store: RecordStore, run: Run) -> None:
        """What is logged is read again."""
        assert (run.status, run.end_ms, run.name, run.tags) == ("RUNNING", None, "first", {})
        store.runs.log(
            run.run_id,
            metrics=[Metric(key="f1", value=0.5, step=1, time_ms=7)],
            params={"alpha": "1"},
            tags={"note": "überall"},
            inputs=[RunInput(name="reviews", version="abc", context="training")],
            artifacts={"model/card.md": "0" * 64},
        )
        store.runs.finish(run.run_id, "FINISHED")
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
        store.runs.log(run.run_id, params={"alpha": "1"})
        store.runs.finish(run.run_id, "KILLED")
        again = store.runs.start(run.experiment_id, "other", run_id=run.run_id, tags={"try": "2"})
        assert (again.status, again.end_ms, again.start_ms) == ("RUNNING", None, run.start_ms)
        assert (again.name, again.params, again.tags) == ("first", {"alpha": "1"}, {"try": "2"})
        assert len(store.runs.search()) == 1

    def test_a_chosen_run_id_is_kept(self, store: RecordStore, run: Run) -> None:
        """A new `run_id` is the run's; in another experiment it is refused."""
        assert store.runs.start(run.experiment_id, "x", run_id="mine").run_id == "mine"
        other = store.runs.experiment("other").experiment_id
        with pytest.raises(ConflictError):
            store.runs.start(other, "x", run_id="mine")

    def test_unknown_runs_and_experiments(self, store: RecordStore, run: Run) -> None:
        """They raise `NotFoundError`, everywhere."""
        for call in (
            lambda: store.runs.get("none"),
            lambda: store.runs.log("none", tags={"a": "b"}),
            lambda: store.runs.finish("none", "FAILED"),
            lambda: store.runs.history("none", "f1"),
            lambda: store.runs.start("99", "x"),
            lambda: store.runs.start("no number", "x"),
            lambda: store.runs.start(run.experiment_id, "x", parent_id="none"),
        ):
            with pytest.raises(NotFoundError):
                call()

    def test_params_are_written_once(self, store: RecordStore, run: Run) -> None:
        """Another value is refused with all that came with it; the same value is no change."""
        store.runs.log(run.run_id, params={"alpha": "1"})
        store.runs.log(run.run_id, params={"alpha": "1", "beta": "2"})
        with pytest.raises(ConflictError, match="alpha"):
            store.runs.log(run.run_id, params={"gamma": "3", "alpha": "2"}, tags={"lost": "yes"})
        found = store.runs.get(run.run_id)
        assert found.params == {"alpha": "1", "beta": "2"}
        assert found.tags == {}

    def test_tags_and_artifacts_are_overwritten(self, store: RecordStore, run: Run) -> None:
        """The last value wins."""
        store.runs.log(run.run_id, tags={"a": "1", "b": "1"}, artifacts={"p": "x"})
        store.runs.log(run.run_id, tags={"a": "2"}, artifacts={"p": "y"})
        found = store.runs.get(run.run_id)
        assert (found.tags, found.artifacts) == ({"a": "2", "b": "1"}, {"p": "y"})

    def test_inputs_keep_their_order_and_are_listed_once(self, store: RecordStore, run: Run) -> None:
        """An input logged twice is one input."""
        inputs = [RunInput(name="z", version="1"), RunInput(name="a", version="1", context="test")]
        store.runs.log(run.run_id, inputs=inputs)
        store.runs.log(run.run_id, inputs=inputs)
        assert store.runs.get(run.run_id).inputs == tuple(inputs)

    @given(values=st.lists(_metrics, max_size=12), cut=st.integers(0, 12))
    @_examples
    def test_metrics_have_mlflows_semantics(self, store: RecordStore, values: list[Metric], cut: int) -> None:
        """History is append-only and ordered; the latest is the greatest (step, time_ms, value); NaN counts as 0."""
        run = store.runs.start(store.runs.experiment("metrics").experiment_id, "x")
        store.runs.log(run.run_id, metrics=values[:cut])
        store.runs.log(run.run_id, metrics=values[cut:])
        found = store.runs.get(run.run_id).metrics
        assert found.keys() == {metric.key for metric in values}
        for key, latest in found.items():
            logged = [metric for metric in values if metric.key == key]
            assert _rank(latest) == max(map(_rank, logged))
            history = store.runs.history(run.run_id, key)
            assert {repr(metric) for metric in history} == {repr(metric) for metric in logged}
            assert [(m.step, m.time_ms) for m in history] == sorted((m.step, m.time_ms) for m in history)
        assert store.runs.history(run.run_id, "never") == []

    def test_nan_and_infinities_are_kept(self, store: RecordStore, run: Run) -> None:
        """They come back as they went in."""
        for key, value in {"nan": math.nan, "inf": math.inf, "minus": -math.inf}.items():
            store.runs.log(run.run_id, metrics=[Metric(key=key, value=value)])
        found = store.runs.get(run.run_id).metrics
        assert math.isnan(found["nan"].value)
        assert (found["inf"].value, found["minus"].value) == (math.inf, -math.inf)

    def test_values_that_no_database_holds(self, store: RecordStore, run: Run) -> None:
        """They are refused with all that came with them, or kept as they are."""
        for tags, step in (({"a": "\ud800"}, 0), ({"a": "b"}, 2**70)):
            try:
                store.runs.log(run.run_id, tags=tags, metrics=[Metric(key="m", value=1.0, step=step)])
            except UsageError:
                assert store.runs.get(run.run_id) == run
            else:
                assert store.runs.get(run.run_id).metrics["m"].step == step

    def test_search_finds_newest_first(self, store: RecordStore) -> None:
        """Filters narrow, `limit` cuts."""
        reviews, flights = (store.runs.experiment(name).experiment_id for name in ("reviews", "flights"))
        parent = store.runs.start(reviews, "parent")
        children = [store.runs.start(reviews, name, parent_id=parent.run_id) for name in "abc"]
        other = store.runs.start(flights, "other")
        store.runs.finish(children[0].run_id, "FAILED")

        def names(runs: list[Run]) -> list[str]:
            return [run.name for run in runs]

        assert names(store.runs.search()) == ["other", "c", "b", "a", "parent"]
        assert names(store.runs.search(reviews, limit=2)) == ["c", "b"]
        assert names(store.runs.search(parent_id=parent.run_id)) == ["c", "b", "a"]
        assert names(store.runs.search(status="FAILED")) == ["a"]
        assert store.runs.search(flights) == [other]

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

        def found(name: str | None, content: str | None = None) -> list[tuple[str, int]]:
            return [(v.name, v.number) for v in store.versions.find("model", name, content=content)]

        assert found(None) == [("n", 1), ("m", 2), ("m", 1)]
        assert found("m") == [("m", 2), ("m", 1)]
        assert found(None, "a") == [("n", 1), ("m", 1)]
        assert store.versions.find("prompt") == []

    def test_aliases_move(self, store: RecordStore) -> None:
        """An alias names one version at a time, and shows on it."""
        for content in "ab":
            store.versions.register("model", "m", content)
        assert store.versions.by_alias("m", "champion") is None
        store.versions.set_alias("m", "champion", 1)
        store.versions.set_alias("m", "best", 1)
        assert store.versions.get("model", "m", 1).aliases == ("best", "champion")
        store.versions.set_alias("m", "champion", 2)
        champion = store.versions.by_alias("m", "champion")
        assert champion is not None
        assert (champion.number, champion.aliases) == (2, ("champion",))
        with pytest.raises(NotFoundError):
            store.versions.set_alias("m", "champion", 3)
        store.versions.set_alias("m", "champion", None)
        store.versions.set_alias("m", "champion", None)
        assert store.versions.by_alias("m", "champion") is None

    def test_version_tags(self, store: RecordStore) -> None:
        """They are set and overwritten; unknown versions are refused."""
        store.versions.register("model", "m", "a", tags={"x": "1", "y": "1"})
        store.versions.tag("model", "m", 1, {"x": "2"})
        assert store.versions.get("model", "m", 1).tags == {"x": "2", "y": "1"}
        with pytest.raises(NotFoundError):
            store.versions.tag("model", "m", 2, {"x": "2"})
        with pytest.raises(NotFoundError):
            store.versions.get("dataset", "m", 1)

    def test_numbers_are_right_when_registered_at_once(self, store: RecordStore) -> None:
        """No number is given twice or left out."""
        assert _at_once(8, lambda index: store.versions.register("model", "m", str(index))) == []
        assert sorted(version.number for version in store.versions.find("model", "m")) == list(range(1, 9))

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
