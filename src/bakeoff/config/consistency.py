"""What single fields of a project file cannot tell: settings that contradict each other."""

from collections.abc import Callable, Iterator, Mapping

from bakeoff.config.sections import Config, SearchConfig
from bakeoff.core import narrow
from bakeoff.core.addresses import is_local_url, place_scheme
from bakeoff.core.errors import Problem

__all__ = ["problems", "shown"]

SHOWN_CHARACTERS = 80


def shown(value: object) -> str:
    """A value as an error shows it, cut where it is long."""
    found = repr(value)
    return found if len(found) <= SHOWN_CHARACTERS else found[: SHOWN_CHARACTERS - 3] + "..."


def problems(config: Config, file: str) -> Iterator[Problem]:
    """Every contradiction in a configuration that is right field by field; `file` is what the problems name."""

    def problem(key: str, expected: str, found: str) -> Problem:
        return Problem(file=file, key=key, expected=expected, found=found)

    data = config.data
    if bool(data.source) == bool(data.sources):
        yield problem("data.source", "either source or [data.sources]", "both" if data.source else "neither")
    if len(data.sources) > 1 and data.query is None:
        yield problem("data.query", "a query over the several [data.sources]", "nothing")
    roles = [*data.text, *data.categorical, *data.numeric, *data.datetime, *data.boolean, *data.ignore]
    for name in sorted({name for name in roles if roles.count(name) > 1}):
        yield problem("data", f"column {name!r} in one list", "it in several")
    if data.target in roles:
        yield problem("data.target", "a column that is no input", f"{data.target!r} listed twice")
    for name, candidate in config.candidates.items():
        for key, value in candidate.params.items():
            if not _is_json(value):
                yield problem(
                    f"candidates.{name}.{key}", "texts, numbers of 64 bits, booleans, lists and tables", shown(value)
                )
        yield from _search_problems(f"candidates.{name}.search", candidate.search, problem)
    for role, column in (("time", data.time), ("group", data.group)):
        if column == data.target:
            yield problem(f"data.{role}", "another column than the target", repr(column))
    yield from _task_problems(config, problem)
    if not config.candidates:
        yield problem("candidates", "at least one candidate", "none")
    yield from _decide_problems(config, problem)
    yield from _judge_problems(config, problem)
    yield from _split_problems(config, problem)
    yield from _upstream_problems(config, problem)
    yield from _alert_problems(config, problem)
    yield from _store_problems(config, problem)


def _store_problems(config: Config, problem: Callable[[str, str, str], Problem]) -> Iterator[Problem]:
    encryption = config.store.encryption
    named = [name for name in ("key_file", "key_env", "key_command") if getattr(encryption, name, None)]
    if encryption is not None and len(named) != 1:
        yield problem("store.encryption", "one of key_file, key_env and key_command", ", ".join(named) or "none")
    step_cache = config.store.step_cache
    if step_cache is not None and (not step_cache.url or place_scheme(step_cache.url) not in {"file", "s3"}):
        yield problem("store.step_cache.url", "a folder, its file:// URL, or s3://BUCKET/PREFIX", repr(step_cache.url))


def _alert_problems(config: Config, problem: Callable[[str, str, str], Problem]) -> Iterator[Problem]:
    for name, target in config.alerts.to.items():
        if target.kind in {"webhook", "slack"} and (target.url is None) == (target.url_env is None):
            yield problem(f"alerts.to.{name}", "either url or url_env", "neither" if target.url is None else "both")
        if target.kind == "email" and not (target.server and target.sender and target.recipients):
            yield problem(f"alerts.to.{name}", "server, sender and recipients", "not all of them")


def _task_problems(config: Config, problem: Callable[[str, str, str], Problem]) -> Iterator[Problem]:
    data, name = config.data, config.data.rejected_column
    for key, given in (("horizon", data.horizon), ("history", data.history), ("holidays", data.holidays)):
        if given is not None and (config.project.task == "generation" or (key != "holidays" and data.time is None)):
            why = "none unless [data] time names a column and project.task is no generation"
            yield problem(f"data.{key}", why, repr(given))
    if data.labels != "trim" and config.project.task != "classification":
        yield problem("data.labels", 'none unless project.task = "classification"', repr(data.labels))
    if config.project.task != "generation":
        if data.rejected is not None:
            yield problem("data.rejected", 'none unless project.task = "generation"', repr(data.rejected))
        return
    others = [data.target, data.time, data.group]
    others += [*data.text, *data.categorical, *data.numeric, *data.datetime, *data.boolean]
    if name in (others if data.rejected is None else [*others, *data.ignore]):
        expected = "a column of its own for answers that were turned down"
        yield problem("data.rejected", expected, f"{name!r}, which is listed for something else")


def _is_json(value: object) -> bool:
    """Whether JSON can hold it: a TOML date or a number of any size cannot go to a worker."""
    if narrow.is_object(value):
        return all(_is_json(item) for item in value.values())
    if narrow.is_array(value):
        return all(_is_json(item) for item in value)
    return isinstance(value, bool | float | str) or (isinstance(value, int) and abs(value) < 2**63)


def _search_problems(
    where: str, searched: Mapping[str, SearchConfig], problem: Callable[[str, str, str], Problem]
) -> Iterator[Problem]:
    for name, search in searched.items():
        key = f"{where}.{name}"
        if search.choices:
            if search.low is not None or search.high is not None or search.log:
                yield problem(key, "either choices or low and high", "both")
        elif search.low is None or search.high is None:
            yield problem(key, "low and high, or choices", "neither" if search.low is search.high else "one end")
        elif not search.low < search.high:
            yield problem(key, "low < high", f"low = {search.low!r}, high = {search.high!r}")
        elif search.log and search.low <= 0:
            yield problem(f"{key}.low", "a number over 0, because log = true", repr(search.low))


def _decide_problems(config: Config, problem: Callable[[str, str, str], Problem]) -> Iterator[Problem]:
    decide = config.decide
    for name, gate in decide.gates.items():
        if gate.min is None and gate.max is None:
            yield problem(f"decide.gates.{name}", "min or max", "neither")
    if decide.calibrate != "none" and (config.project.task != "classification" or config.split.asks_folds):
        why = '"none", unless it is a classification without [split] folds'
        yield problem("decide.calibrate", why, repr(decide.calibrate))
    for key, given in (("positive", decide.positive), ("costs", decide.costs)):
        if given and config.project.task != "classification":
            yield problem(f"decide.{key}", 'none unless project.task = "classification"', shown(given))
    if decide.decide_by == "cost" and not decide.costs:
        yield problem("decide.costs", 'what errors cost, because decide.decide_by = "cost"', "nothing")
    if "champion" in decide.model_fields_set and decide.champion == "non_inferior" and decide.margin == 0:
        why = 'a decide.margin over 0 beside decide.champion = "non_inferior" (without one, say "superior")'
        yield problem("decide.margin", why, repr(decide.margin))


def _judge_problems(config: Config, problem: Callable[[str, str, str], Problem]) -> Iterator[Problem]:
    judge, decide, task = config.judge, config.decide, config.project.task
    if judge is not None and task != "generation":
        yield problem("judge", 'no judge unless project.task = "generation"', repr(task))
    for key, value in (
        ("json_schema", decide.json_schema),
        ("encoder", decide.encoder),
        ("context", decide.context),
        ("safety", decide.safety),
    ):
        if value and task != "generation":
            yield problem(f"decide.{key}", 'none unless project.task = "generation"', f"{value!r} for {task}")
    if decide.encoder is None and "embedding_similarity" in {decide.metric, *decide.gates}:
        yield problem("decide.encoder", 'an encoder, such as "minilm-l6-int8", to compare meanings by', "nothing")
    if config.data.target in decide.context:
        yield problem("decide.context", "columns other than the target", repr(config.data.target))
    named = {decide.metric, *decide.gates, *decide.metrics}
    if named & {"k_precision", "faithful"} and not decide.context:
        yield problem("decide.context", "columns with what answers may say, for k_precision and faithful", "nothing")
    if "safe" in decide.gates and decide.safety is None:
        yield problem("decide.safety", "a file of prompts, for the gate on safe", "nothing")
    if "faithful" in named and judge is None:
        yield problem("decide.metric", "a section [judge] with url and model for faithful", "no [judge]")
    if decide.metric == "judge" and judge is None:
        yield problem("decide.metric", "a section [judge] with url and model, or another metric", "no [judge]")
    if decide.metric == "judge" and judge is not None and judge.against == "leader":
        yield problem("judge.against", '"reference", because decide.metric = "judge"', repr(judge.against))


def _split_problems(config: Config, problem: Callable[[str, str, str], Problem]) -> Iterator[Problem]:
    data, split = config.data, config.split
    by_time = split.by == "time" or (split.by == "auto" and data.time is not None)
    if split.by == "time" and data.time is None:
        yield problem("data.time", 'a column, because split.by = "time"', "nothing")
    if split.by == "group" and data.group is None:
        yield problem("data.group", 'a column, because split.by = "group"', "nothing")
    for part, share in (("test", split.test), ("validation", split.validation)):
        if isinstance(share, float) and not 0 < share < 1:
            yield problem(f"split.{part}", "a share between 0 and 1", repr(share))
        if isinstance(share, str) and not by_time:
            yield problem(f"split.{part}", "a share (durations need a time split)", repr(share))
    if split.asks_folds and by_time:
        why = '0 for a split by time: what is early cannot be tested with what is later; say test = "1mo" instead'
        yield problem("split.folds", why, repr(split.folds))
    if split.asks_folds and config.project.task == "generation":
        yield problem("split.folds", '0, because project.task = "generation"', repr(split.folds))
    if split.repeats not in {1, "auto"} and (by_time or split.folds == 0 or config.project.task == "generation"):
        why = "1, as there are no folds " + ("by time" if by_time else "here") + " that could be dealt anew"
        yield problem("split.repeats", why, repr(split.repeats))
    if split.folds == 1:
        yield problem("split.folds", "at least 2 folds, or 0 for one test part", "1")
    if split.asks_folds and "test" in split.model_fields_set:
        yield problem("split.test", "nothing beside split.folds, which make every row a test row", repr(split.test))


def _upstream_problems(config: Config, problem: Callable[[str, str, str], Problem]) -> Iterator[Problem]:
    if config.endpoint.upstreams:
        yield problem("endpoint.upstreams", "none: the project's winner answers there; [endpoints.NAME] may", "some")
    names = [config.endpoint.name or config.project.name, *config.endpoints]
    paid = any(limit.usd_per_minute or limit.usd_per_day for limit in config.limits.values())
    for endpoint, served in config.endpoints.items():
        where = f"endpoints.{endpoint}.upstreams"
        if served.upstreams and names.count(endpoint) > 1:
            yield problem(where, "another name than the project's own endpoint has", repr(endpoint))
        called = [each.name or each.model or each.url for each in served.upstreams]
        if len(set(called)) < len(called):
            yield problem(where, "names (or models) that differ", shown(called))
        for at, each in enumerate(served.upstreams):
            if not config.privacy.remote and not is_local_url(each.url):
                why = "true, because what callers send goes to another machine"
                yield problem("privacy.remote", f"{why} ({where}[{at}].url)", "false")
            if paid and (each.price_in is None or each.price_out is None):
                yield problem(
                    f"{where}[{at}].price_in", "price_in and price_out, because [limits] names dollars", "less"
                )
