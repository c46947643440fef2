"""The SDK as a notebook uses it: frames in, frames and figures out, estimators, threads and other processes."""

import asyncio
import html
import io
import json
import multiprocessing
import pickle
import random
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bakeoff import Project
from bakeoff.core.errors import DataError, MissingExtraError, NotFoundError, UsageError
from bakeoff.project.frames import taken
from bakeoff.project.outcome import ProjectOutcome

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")
sys.path.append(str(Path(__file__).parent))
from messy import arrow_table, pandas_frame, polars_frame  # noqa: E402

FRAMES = {"pandas": pandas_frame, "polars": polars_frame, "arrow": arrow_table}
SMALL = """[candidates.linear]
penalty = 1.0
[candidates.boosting]
trees = 8
[combine]
blends = false
cascades = false
"""


def shortened(project):
    """The project with candidates that fit in no time."""
    file = project.folder / "bakeoff.toml"
    text = file.read_text().replace("[candidates.boosting]\n", "").replace("[candidates.linear]\n", SMALL)
    file.write_text(text.replace("[decide]\n", "[decide]\nresamples = 200\n"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """For each library a project that was made of a frame and run; its folder and outcome."""
    folders = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BAKEOFF_DECIDE__EXPLAIN", raising=False)
        for library, frame in FRAMES.items():
            folder = tmp_path_factory.mktemp(library) / "customers"
            with Project.init(folder, source=frame(), target="left") as project:
                shortened(project)
            with Project(folder, frames=library) as project:
                folders[library] = folder, project.run()
    return folders


@pytest.fixture(params=list(FRAMES))
def library(request):
    return request.param


@pytest.fixture
def project(made, library, tmp_path):
    """A project of each library, the test's own."""
    with Project(shutil.copytree(made[library][0], tmp_path / "customers"), frames=library) as project:
        yield project


@pytest.fixture
def of_pandas(made, tmp_path):
    with Project(shutil.copytree(made["pandas"][0], tmp_path / "customers"), frames="pandas") as project:
        yield project


def as_polars(table, library):
    if library == "pandas":
        return taken(table.reset_index(drop=True), argument="table").table
    return pl.DataFrame(table)


def test_columns_are_what_their_library_says(made):
    data = Project(made["pandas"][0]).config.data
    assert data.source == ("frame.parquet",)
    assert set(data.categorical) == {"plan", "city", "band"}
    assert set(data.numeric) == {"age", "spent"}
    assert (data.datetime, data.ignore, data.target) == (("since",), ("customer",), "left")
    data = Project(made["polars"][0]).config.data
    assert set(data.numeric) == {"customer", "age", "spent", "open", "vector"}
    data = Project(made["arrow"][0]).config.data
    assert set(data.categorical) == {"plan"}


def test_what_was_said_of_test_rows_is_said_of_the_same_rows_again(project, library, made):
    """By the frame, its rows as dicts, and the estimator: to the last bit what evaluation was told."""
    outcome = made[library][1]
    frame = FRAMES[library]()
    rows = as_polars(outcome.rows(), library)
    names = outcome.rows().column_names if library == "arrow" else list(outcome.rows().columns)
    assert {"pandas": "customer", "polars": "vector[1]", "arrow": "customer"}[library] in names  # the id came along
    assert "vector" not in names
    places = {number: at for at, number in enumerate(customers_of(frame, library))}
    at = [places[number] for number in rows["customer"].to_list()]
    for candidate in outcome.fine:
        model = project.model(candidate.model_version)
        told = rows[f"{candidate.name}_probability"].to_numpy()
        assert (model.predict_proba(frame).max(axis=1)[at] == told).all()
        assert (model.predict(frame)[at] == rows[candidate.name].to_numpy()).all()
        assert (model.predict_proba(dicts_of(frame, library)).max(axis=1)[at] == told).all()
    live = outcome.candidate(outcome.verdict.winner)
    answers = as_polars(project.predict(frame), library)
    shares = answers.select(pl.col("^probability_.*$")).to_numpy().max(axis=1)[at]
    assert (shares == rows[f"{live.name}_probability"].to_numpy()).all()


def customers_of(frame, library):
    return frame.index.tolist() if library == "pandas" else pl.DataFrame(frame)["customer"].to_list()


def dicts_of(frame, library):
    if library == "pandas":
        return (row for row in frame.reset_index().to_dict("records"))
    return pl.DataFrame(frame).to_dicts()


def test_a_frame_comes_out_of_the_library_that_went_in(project, library):
    frame = FRAMES[library](seed=2)
    answers = project.predict(frame)
    assert type(answers) is type(frame)
    names = list(answers.column_names if library == "arrow" else answers.columns)
    classes = {"pandas": ["0", "1"], "polars": ["false", "true"], "arrow": ["no", "yes"]}[library]
    assert names == ["label", *(f"probability_{each}" for each in classes), "id"]
    labels = set(as_polars(answers, library)["label"].to_list())
    assert labels == {"pandas": {0, 1}, "polars": {False, True}, "arrow": {"no", "yes"}}[library]
    ids = as_polars(answers, library)["id"]
    assert ids.n_unique() == len(ids) == 240
    recorded = project.feedback([{"id": ids[0], "label": "1" if library == "pandas" else "yes"}])
    assert recorded.accepted == 1 or library == "polars"


def test_pandas_keeps_its_index_and_types(of_pandas):
    frame = pandas_frame(seed=3)
    answers = of_pandas.predict(frame)
    assert answers.index.equals(frame.index)
    assert answers["label"].dtype == np.int64
    assert (answers["label"] == frame["left"]).mean() > 0.7
    joined = frame.join(answers)
    assert len(joined) == 240


def test_arrays_have_the_inputs_in_their_order(tmp_path):
    draw = np.random.default_rng(1)
    matrix = draw.normal(size=(200, 4))
    matrix[:, 3] = matrix[:, 0] * 2 + matrix[:, 1]
    with Project.init(tmp_path / "plane", source=matrix, target="x3") as project:
        shortened(project)
    with Project(tmp_path / "plane") as project:
        outcome = project.run()
        model = project.model()
        assert model.feature_names_in_.tolist() == ["x0", "x1", "x2"]
        assert outcome.task == "regression"
        assert model.score(matrix[:, :3], matrix[:, 3]) > 0.9
        answers = project.predict(matrix[:, :3])
        assert answers.dtype.names == ("value", "id")
        assert answers["value"].tolist() == model.predict(matrix[:, :3]).tolist()
        errors = outcome.rows()
        assert (errors["linear_error"] == errors["linear"] - errors["truth"]).all()
        with pytest.raises(DataError, match=r"expected an array of 3 columns \(x0, x1, x2\), received one of 4"):
            project.predict(matrix)


def test_rows_that_lack_something_are_a_warning_of_a_table(of_pandas):
    frame = pandas_frame().head(3)
    frame["plan"] = ["free", "gold", "pro"]
    with pytest.warns(UserWarning, match="of 3 rows answered: plan of 1 rows is a category that no training row had"):
        of_pandas.predict(frame)


def test_more_rows_than_a_call_takes_are_answered_in_parts(of_pandas):
    file = of_pandas.folder / "bakeoff.toml"
    file.write_text(file.read_text() + "max_rows = 100\n")
    frame = pandas_frame()
    with Project(of_pandas.folder) as project:
        assert len(project.predict(frame)) == 240
        bad = frame.copy()
        bad["since"] = bad["since"].astype(object)
        bad.iloc[150, bad.columns.get_loc("since")] = "never"
        with pytest.raises(DataError, match="row 51, column 'since'") as raised:
            project.predict(bad)
        assert raised.value.__notes__ == ["Rows are counted from row 101 on; the 100 before are answered."]


def test_the_same_frame_is_no_new_run_and_another_is(explained, of_pandas):
    last = of_pandas.last()
    same = of_pandas.run(pandas_frame())
    assert same.unchanged
    assert same == last
    other = of_pandas.run(polars_frame(seed=4).with_columns(pl.col("left").cast(pl.Int64), band=pl.lit("(0, 30]")))
    assert not other.unchanged
    assert other.dataset.version != last.dataset.version
    assert isinstance(other.leaderboard(), pl.DataFrame)  # in the library that came in
    assert isinstance(of_pandas.last().leaderboard(), pd.DataFrame)
    assert "customer" not in last.rows().columns  # the frame is another one now


def test_a_project_of_files_takes_no_frame(ran):
    with Project(ran) as project, pytest.raises(UsageError, match=r"rows: expected .* this one reads 'films.csv'"):
        project.run(pandas_frame())


def test_a_cell_that_makes_a_project_can_run_again(explained, of_pandas):
    with pytest.raises(UsageError, match="exist_ok=True does so here"):
        Project.init(of_pandas.folder, source=pandas_frame(), target="left")
    with Project.init(of_pandas.folder, source=pandas_frame(), target="left", exist_ok=True) as project:
        assert project.run().unchanged
        assert isinstance(project.last().leaderboard(), pd.DataFrame)


def test_what_cannot_be_learned_leaves_no_frame_behind(tmp_path):
    with pytest.raises(DataError, match="no_such"):
        Project.init(tmp_path / "new", source=polars_frame(), target="no_such")
    assert not (tmp_path / "new").exists()
    with pytest.raises(UsageError, match="target= in Python"):
        Project.init(tmp_path / "new", source=polars_frame())


def test_a_leaderboard_is_a_row_for_each_candidate(project, library):
    outcome = project.last()
    board = as_polars(outcome.leaderboard(), library)
    assert board["candidate"].to_list() == [each.name for each in outcome.ranked]
    first = outcome.ranked[0]
    score = outcome.score(first)
    assert board.select("f1_macro", "low", "high").row(0) == (score.value, score.low, score.high)
    assert board["won"].to_list() == [each.name == outcome.verdict.winner for each in outcome.ranked]
    assert board["model"][0] == first.model_version
    assert isinstance(outcome.leaderboard(frames="polars"), pl.DataFrame)
    with pytest.raises(UsageError, match="frames: expected one of"):
        outcome.leaderboard(frames="spark")


def test_the_score_of_rows_is_that_of_the_leaderboard(project, library):
    from sklearn.metrics import f1_score

    rows = as_polars(project.last().rows(), library)
    board = as_polars(project.last().leaderboard(), library)
    for name, value, accuracy in board.select("candidate", "f1_macro", "accuracy").iter_rows():
        assert f1_score(rows["truth"], rows[name], average="macro") == pytest.approx(value)
        assert rows[f"{name}_right"].mean() == pytest.approx(accuracy)
    assert as_polars(project.last().rows(inputs=False), library).columns[0] == "truth"


@pytest.mark.parametrize("make", [list, pd.DataFrame, pl.DataFrame, pa.Table.from_pylist], ids=["dicts", *FRAMES])
def test_conversations_of_any_library_are_conversations(tmp_path, make):
    turns = [("user", "what is {} plus one"), ("assistant", "it is {}")]
    rows = [{"messages": [{"role": who, "content": text.format(n)} for who, text in turns]} for n in range(40)]
    with Project.init(tmp_path / "sums", source=make(rows)) as project:
        assert (project.config.project.task, project.config.data.target) == ("generation", "answer")
        assert project.config.data.text == ("messages",)
        if make is not pl.DataFrame:
            return
        outcome = project.run()
        table = outcome.rows()
        assert table.columns == ["messages", "truth", "retrieval", "retrieval_f1"]
        answers = project.predict(make([{"messages": rows[3]["messages"][:1]}]))
        assert answers["value"][0].startswith("it is ")


def test_inputs_that_are_called_like_results_keep_their_place(tmp_path):
    draw = random.Random(1)
    rows = [{"linear": draw.random(), "truth": draw.random(), "y": int(draw.random() < 0.5)} for _ in range(120)]
    with Project.init(tmp_path / "names", source=rows, target="y") as project:
        shortened(project)
        names = Project(project.folder).run().rows().columns
    assert names[:4] == ["linear_", "truth_", "truth", "linear"]


def test_figures_are_the_reports_charts(project):
    outcome = project.last()
    assert outcome.figures[:4] == ("leaderboard", "front", "differences", "power")
    assert {"calibration", "confusion", "importance"} <= set(outcome.figures)
    shown = outcome.figure("leaderboard")._repr_mimebundle_()
    assert shown["application/vnd.vegalite.v5+json"]["data"]["values"][0]["name"] == outcome.ranked[0].name
    assert shown["image/png"].startswith("iVBORw0KGgo")
    assert "95% interval" in shown["text/plain"]
    for name in outcome.figures:
        assert len(outcome.figure(name).png()) > 5_000
    with pytest.raises(NotFoundError, match=r"one of leaderboard, front.*received 'leader'.*'leaderboard'"):
        outcome.figure("leader")
    for name in ("board.png", "board.svg", "board.json"):
        file = outcome.figure("leaderboard").save(project.folder / name)
        assert file.stat().st_size > 1_000
    assert json.loads((project.folder / "board.json").read_text()) == outcome.figure("leaderboard").spec
    with pytest.raises(UsageError, match=r"file: expected a name that ends in .png, .svg, .json, received 'board.gif'"):
        outcome.figure("leaderboard").save("board.gif")


def test_without_the_drawing_library_a_figure_is_its_document(of_pandas, monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    chart = of_pandas.last().figure("leaderboard")
    assert set(chart._repr_mimebundle_()) == {"text/plain", "application/vnd.vegalite.v5+json"}
    with pytest.raises(MissingExtraError, match="report"):
        chart.png()


def test_pages_hold_no_markup_of_the_data(tmp_path, explained):
    bad = "<img src=x onerror=alert(1)>"
    draw = random.Random(1)
    rows = [{"a": draw.random(), bad: draw.choice([bad, "b", "c"]), "y": draw.choice([bad, "no"])} for _ in range(150)]
    with Project.init(tmp_path / "bad", source=rows, target="y") as project:
        shortened(project)
    with Project(tmp_path / "bad") as project:
        outcome = project.run()
        project.predict(rows[:5])
        shown = {
            "project": project,
            "outcome": outcome,
            "run": project.runs()[-1],
            "verdict": outcome.verdict,
            "report": outcome.report(),
            "card": project.data_card(),
            "signals": project.monitor(),
        }
        pages = {name: each._repr_html_() for name, each in shown.items()}
    for name, page in pages.items():
        assert page.startswith('<div class="bakeoff"><style>'), name
        assert page.count("<div") == page.count("</div>") == 1, name
        assert "<img" not in page, name
        assert "currentColor" in page, name  # of the page that it stands in, light or dark
    assert html.escape(bad) in pages["card"]
    assert "linear" in pages["outcome"]
    assert outcome.headline in html.unescape(pages["project"])


def test_representations_are_short(project):
    outcome = project.last()
    answer = project.predict([{"plan": "pro", "age": 70}])[0]
    things = [project, outcome, outcome.verdict, outcome.report(), project.data_card(), project.monitor(), answer]
    things += [project.runs()[0], project.models()[0], project.model(), outcome.figure("leaderboard")]
    for each in things:
        assert len(repr(each)) < 150 + len(str(project.folder)), repr(each)
        assert "\n" not in repr(each)
    assert repr(outcome.verdict).startswith(f"Verdict(winner={outcome.verdict.winner!r}, f1_macro ")


# --- the estimator ------------------------------------------------------------------------------


def test_scikit_learns_tools_take_the_model_as_theirs(of_pandas):
    from sklearn.base import clone, is_classifier
    from sklearn.calibration import CalibrationDisplay
    from sklearn.frozen import FrozenEstimator
    from sklearn.inspection import permutation_importance
    from sklearn.metrics import accuracy_score, classification_report, get_scorer, log_loss, roc_auc_score
    from sklearn.model_selection import cross_val_score

    del CalibrationDisplay
    model, frame = of_pandas.model(), pandas_frame(seed=5)
    truth = frame["left"]
    assert is_classifier(model)
    assert clone(model) is model
    assert model.classes_.tolist() == [0, 1]
    assert model.n_features_in_ == len(model.feature_names_in_) == 6
    assert accuracy_score(truth, model.predict(frame)) == model.score(frame, truth) > 0.7
    assert model.score(frame, truth.astype(str)) == model.score(frame, truth)
    assert roc_auc_score(truth, model.predict_proba(frame)[:, 1]) > 0.8
    assert log_loss(truth, model.predict_proba(frame), labels=model.classes_) < 0.6
    assert get_scorer("roc_auc")(model, frame, truth) == roc_auc_score(truth, model.predict_proba(frame)[:, 1])
    assert "accuracy" in classification_report(truth, model.predict(frame))
    scores = cross_val_score(FrozenEstimator(model), frame, truth, cv=3)
    assert scores.mean() == pytest.approx(model.score(frame, truth), abs=0.01)
    inputs = frame[[*model.feature_names_in_]]
    importances = permutation_importance(model, inputs, truth, n_repeats=2, random_state=0).importances_mean
    assert dict(zip(inputs.columns, importances, strict=True))["age"] > 0.01
    assert model.get_params()["penalty" if "penalty" in model.get_params() else "trees"] is not None
    with pytest.raises(UsageError, match="FrozenEstimator"):
        cross_val_score(model, frame, truth, cv=3, error_score="raise")
    with pytest.raises(UsageError, match=r"y: expected 240 values, one for each row of X, received 3"):
        model.score(frame, truth[:3])
    with pytest.raises(DataError, match=r"X: expected rows as dicts.*received one str"):
        model.predict("rows.csv")
    with pytest.raises(DataError, match="X: expected the inputs"):
        model.predict(frame.rename(columns={"age": "agee"}))


def test_a_model_logs_nothing(of_pandas):
    from bakeoff.core.events import PredictionEvent

    of_pandas.model().predict(pandas_frame())
    assert of_pandas.events.scan(PredictionEvent).collect().height == 0


def test_models_projects_and_outcomes_pickle_by_reference(explained, of_pandas):
    model, outcome = of_pandas.model("2"), of_pandas.last()
    again = pickle.loads(pickle.dumps(model))
    assert again.version == model.version == "customers/2"
    frame = pandas_frame()
    assert (again.predict_proba(frame) == model.predict_proba(frame)).all()
    assert len(pickle.dumps(model)) < 1_000
    same = pickle.loads(pickle.dumps(outcome))
    assert isinstance(same, ProjectOutcome)
    assert same == outcome
    assert same.rows().equals(outcome.rows())
    again = of_pandas.run()
    assert [each.unchanged for each in (outcome, same, again, pickle.loads(pickle.dumps(again)))] == [0, 0, 1, 1]
    assert "Nothing had changed" not in outcome._repr_html_()
    assert "Nothing had changed" in again._repr_html_()
    assert repr(pickle.loads(pickle.dumps(of_pandas))) == repr(of_pandas)


# --- threads, coroutines, processes -------------------------------------------------------------


def test_threads_share_a_project(of_pandas):
    """Also the first use of it, when stores are opened and the model is loaded."""
    frame = pandas_frame().head(20)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: of_pandas.predict(frame), range(16)))
    assert all((each["label"] == answers[0]["label"]).all() for each in answers)
    ids = pd.concat([each["id"] for each in answers])
    assert ids.nunique() == 16 * 20


@pytest.mark.processes
def test_coroutines_run_it_in_a_thread(of_pandas, few_fits):
    async def program():
        ran = asyncio.create_task(asyncio.to_thread(of_pandas.run, pandas_frame(seed=6)))
        beats = 0
        while not ran.done():
            await asyncio.sleep(0.01)
            beats += 1
        answers = await asyncio.to_thread(of_pandas.predict, pandas_frame().head(5))
        return await ran, beats, answers

    outcome, beats, answers = asyncio.run(program())
    assert not outcome.unchanged
    assert beats > 3
    assert len(answers) == 5


def _work(project):
    rows = pl.DataFrame({"review": ["good film"] * 20, "year": [2000] * 20})
    return project.predict(rows)["label"].to_list(), len(project.runs()), project.last().verdict.winner


WORKER = """
import multiprocessing, sys
from bakeoff import Project

def ask(project):
    return [answer.label for answer in project.predict([{"review": "good film", "year": 2000}])], len(project.runs())

if __name__ == "__main__":
    project = Project(sys.argv[2])
    runs = len(project.runs())  # its records are open here
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        print(pool.map_async(ask, [project] * 3).get(60) == [(["yes"], runs)] * 3, end=" ")
    print(len(project.runs()) == runs, ask(project) == (["yes"], runs))
"""


@pytest.mark.processes
@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_worker_processes_open_a_project_that_is_open(ran, tmp_path, method):
    import subprocess

    (tmp_path / "work.py").write_text(WORKER)
    command = [sys.executable, "-W", "ignore", tmp_path / "work.py", method, ran]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.stdout == "True True True\n", done.stderr


def _refused(project, results):
    try:
        project.predict([{"review": "good film"}])
    except UsageError as error:
        results.put((str(error), len(project.runs())))


def test_a_fork_of_a_process_that_worked_with_tables_says_so_instead_of_waiting(ran):
    with Project(ran) as project:
        project.predict(pl.DataFrame({"review": ["good film"] * 30, "year": [2000] * 30}).sort("review"))
        context = multiprocessing.get_context("fork")
        results = context.Queue()
        child = context.Process(target=_refused, args=(project, results))
        child.start()
        message, runs = results.get(timeout=30)
        child.join(30)
        assert 'get_context("spawn")' in message
        assert runs == len(project.runs())  # records need no tables


# --- progress -----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_a_bar_and_clears_it(of_pandas, monkeypatch, few_fits):
    from bakeoff.project.progress import _TerminalBar

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    lines = []
    with monkeypatch.context() as patch:
        stream, line = Terminal(), _TerminalBar.line
        patch.setattr("sys.stderr", stream)
        patch.setattr(_TerminalBar, "line", lambda self, text: lines.append(text) or line(self, text))
        of_pandas.run(pandas_frame(seed=7))
    assert "customers: run" in stream.getvalue()
    assert "champion: measuring latency" in lines
    assert lines[-1] in stream.getvalue()  # those between are drawn ten times a second: some are never seen


def test_bars_of_several_threads_do_not_stand_in_each_others_way(monkeypatch):
    from bakeoff.project.progress import bar

    def work(number):
        with bar(f"project {number}") as shown:
            shown.more(3)
            for step in range(3):
                shown.line(f"step {step}")
                shown.step()
        return number

    with monkeypatch.context() as patch, ThreadPoolExecutor(4) as pool:
        patch.setattr("sys.stderr", Terminal())
        assert list(pool.map(work, range(8))) == list(range(8))


def test_a_notebook_shows_a_bar(of_pandas, monkeypatch, few_fits):
    from bakeoff.project import progress

    shown = []

    class Handle:
        def update(self, data, *, raw):
            assert raw
            shown.append(data["text/html"])

    def display(data, *, raw, display_id):
        assert raw
        assert display_id
        shown.append(data["text/html"])
        return Handle()

    monkeypatch.setattr(progress, "_display", lambda: display)
    monkeypatch.setattr(progress, "OFTEN_S", 0.0)
    of_pandas.run(pandas_frame(seed=8))
    assert any('<progress max="5" value="1"></progress> 1/5' in each for each in shown)
    assert shown[-1].startswith("<div>customers: run: ")
    assert shown[-1].endswith(" s</div>")


def test_who_takes_lines_gets_them_and_no_bar(of_pandas, monkeypatch, few_fits):
    monkeypatch.setattr("bakeoff.project.project.bar", None)
    lines = []
    with Project(of_pandas.folder, progress=lines.append) as project:
        project.run(pandas_frame(seed=9))
    assert any("fitted in" in line for line in lines)


def test_who_takes_lines_gets_no_bar_of_answers(of_pandas, monkeypatch):
    monkeypatch.setenv("BAKEOFF_ENDPOINT__MAX_ROWS", "7")
    with monkeypatch.context() as patch:
        stream = Terminal()
        patch.setattr("sys.stderr", stream)
        with Project(of_pandas.folder, progress=[].append) as project:
            assert len(project.predict(pandas_frame())) > 7
    assert stream.getvalue() == ""
