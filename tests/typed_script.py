"""A stranger's script over the SDK: it is never run, but must pass mypy and pyright at their strictest.

`tests/test_typed_script.py` checks it.
"""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from bakeoff import BakeoffError, Estimator, Project, ProjectOutcome, compare, interval


def rows() -> Iterator[Mapping[str, object]]:
    """Rows of a generator."""
    for number in range(100):
        yield {"size": number % 7, "kind": "a" if number % 2 else "b"}


def best(outcome: ProjectOutcome) -> str:
    """The winner with its score."""
    candidate = outcome.candidate(outcome.verdict.winner)
    if candidate is None:
        return outcome.verdict.reason
    score = outcome.score(candidate)
    value: float = 0.0 if score is None else score.value
    return f"{candidate.name} ({candidate.family}): {value:.3f} {outcome.verdict.metric}"


def learn(folder: Path, frame: pl.DataFrame) -> ProjectOutcome:
    """A project of a frame, run."""
    with Project.init(folder, source=frame, target="kind", exist_ok=True, progress=print) as project:
        return project.run(frame, budget_s=30.0)


def ask(project: Project, frame: pl.DataFrame) -> list[str | None]:
    """Answers to a frame, a lazy frame, and dicts."""
    table: pl.DataFrame = project.predict(frame)
    lazy: pl.DataFrame = project.predict(frame.lazy())
    answers = project.predict([{"size": 3}])
    for answer in project.predict(rows()):
        project.feedback([{"id": answer.id, "label": "a", "rating": 1}])
    project.feedback(table.select("id", label=pl.lit("a")))
    shares: Mapping[str, float] = answers[0].probabilities or {}
    assert sum(shares.values()) <= 1.001
    return [*(answer.label for answer in answers), *lazy["label"].to_list()]


def look(project: Project) -> dict[str, float | None]:
    """The leaderboard, a figure, the signals, the status."""
    outcome = project.last()
    board: pl.DataFrame = outcome.leaderboard(frames="polars")
    wrong: pl.DataFrame = outcome.rows(frames="polars")
    for name in outcome.figures:
        picture: bytes = outcome.figure(name).png()
        file: Path = outcome.figure(name).save(project.folder / f"{name}.svg")
        print(len(picture), file.suffix, board.height, wrong.width)
    status = project.status()
    print(status.champion, status.release and status.release.model_version, status.to_json()["project"])
    diagnosis = project.doctor()
    print([check.name for check in diagnosis.problems], diagnosis.to_json())
    report = project.monitor()
    return {signal.name: signal.value for signal in report.signals if not signal.alert}


def advised(project: Project) -> list[tuple[str, str, float | None]]:
    """What to try, and what is expected of it."""
    advice = project.advise(seconds=2.0)
    print(advice.data.rows, advice.run and advice.run.seconds.value, [each.measured for each in advice.compared])
    expected = {option.name: option.expected(advice.metric).get(advice.metric) for option in advice.options}
    values = {name: interval.value if interval else None for name, interval in expected.items()}
    return [(option.name, option.call, values[option.name]) for option in advice.options]


def model(project: Project, frame: pl.DataFrame) -> float:
    """The champion as an estimator."""
    estimator: Estimator = project.model()
    shares = estimator.predict_proba(frame)
    print(estimator.predict(frame).shape, shares.max(), estimator.classes_.tolist(), estimator.version)
    return estimator.score(frame, frame["kind"])


async def many(folders: list[Path]) -> list[ProjectOutcome]:
    """Runs in threads of a program of coroutines."""
    return await asyncio.gather(*(asyncio.to_thread(Project(folder).run) for folder in folders))


def statistics(truth: list[str], answers: dict[str, list[str]]) -> str | None:
    """The statistics without a project."""
    decision = compare(truth, answers, metric="accuracy")
    print(interval(truth, answers["first"], metric="accuracy"))
    return decision.winner


def main() -> None:
    """Errors are of one root."""
    frame = pl.DataFrame(list(rows()))
    try:
        outcome = learn(Path("kinds"), frame)
    except BakeoffError as error:
        raise SystemExit(f"{error} ({error.exit_code})") from error
    print(best(outcome), outcome.to_json()["run_id"], outcome.unchanged, outcome.won)
    with Project("kinds") as project:
        print(ask(project, frame), look(project), model(project, frame))
        for run in project.runs(limit=3):
            print(run.run_id, run.status, {name: metric.value for name, metric in run.metrics.items()})
        for version in project.models():
            print(version.number, version.model_origin.candidate, project.lineage(str(version.number)).to_json())


if __name__ == "__main__":
    main()
