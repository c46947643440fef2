"""The project file: every error at once, told with its place; overrides and origins."""

import pytest

from bakeoff.config.file import FILE_NAME, load, loads
from bakeoff.core.errors import ConfigError

GOOD = '[project]\nname = "p"\n[data]\nsource = "d.csv"\ntarget = "y"\n'
TALK = GOOD.replace('name = "p"\n', 'name = "p"\ntask = "generation"\n')


def told(text, folder, **environ):
    with pytest.raises(ConfigError) as raised:
        loads(text, folder=folder, environ=environ)
    return str(raised.value).splitlines()


def test_all_problems_come_together_with_their_keys(tmp_path):
    lines = told('[project]\nname = 5\nseed = "x"\n[data]\nsorce = "a"\ntarget = "y"\n[decied]\n', tmp_path)
    assert [line.split(":")[1].strip() for line in lines] == ["project.name", "project.seed", "data.sorce", "decied"]
    assert "Did you mean 'source'?" in lines[2]
    assert "Did you mean 'decide'?" in lines[3]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[project\n", "valid TOML"),
        ("x = " + "9" * 5000, "valid TOML"),  # more digits than Python converts
        ("x = " + "[" * 5000, "valid TOML"),  # deeper than Python recurses
        ("project = 1\ndata = 2\n", "ProjectConfig"),
        (GOOD + "[split]\ntest = 1.0\n", "a share between 0 and 1"),
        (GOOD + '[split]\ntest = "1mo"\n', "durations need a time split"),
        (GOOD + '[split]\nby = "time"\n', 'because split.by = "time"'),
        (GOOD + "[candidates]\n", "at least one candidate"),
        (GOOD + "[candidates.a]\nsince = 2020-01-01\n", "texts, numbers of 64 bits"),
        (GOOD + f"[candidates.a]\nsize = {10**30}\n", "texts, numbers of 64 bits"),
        (GOOD + "[decide.gates.accuracy]\n", "min or max"),
        (GOOD.replace('target = "y"', 'target = "y"\ntime = "y"'), "another column than the target"),
        (GOOD.replace('target = "y"', 'target = "y"\ntext = ["a"]\nnumeric = ["a"]'), "in one list"),
        (GOOD + 'rejected = "n"\n', 'none unless project.task = "generation"'),
        (TALK + 'labels = "fold"\n', 'none unless project.task = "classification"'),
        (GOOD + 'labels = "lower"\n', "data.labels"),
        (TALK + 'text = ["y_rejected"]\n', "a column of its own for answers that were turned down"),
        (TALK + 'rejected = "n"\nignore = ["n"]\n', "'n', which is listed for something else"),
        (GOOD.replace('source = "d.csv"\n', ""), "either source or [data.sources]"),
    ],
)
def test_what_cannot_be_used_is_one_clear_problem(tmp_path, text, expected):
    assert any(expected in line for line in told(text, tmp_path))


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load(tmp_path, environ={}).config.data.target == "y"


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path, content):
    if content is not None:
        (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(ConfigError, match=r"project file|UTF-8"):
        load(tmp_path, environ={})


def test_the_environment_overrides_and_its_origin_shows(tmp_path):
    environ = {
        "BAKEOFF_PROJECT__SEED": "7",
        "BAKEOFF_DATA__TEXT": '["a", "b"]',
        "BAKEOFF_DATA__GROUP": "g",
        "BAKEOFF_DECIDE__GATES": '{"accuracy": {"min": 0.5}}',
        "BAKEOFF_CACHE": "no setting: it has no section",
    }
    loaded = loads(GOOD, folder=tmp_path, environ=environ)
    assert (loaded.config.project.seed, loaded.config.data.text) == (7, ("a", "b"))
    origins = {value.key: value.origin for value in loaded.values()}
    assert origins["project.seed"] == "$BAKEOFF_PROJECT__SEED"
    assert origins["decide.gates.accuracy.min"] == "$BAKEOFF_DECIDE__GATES"
    assert origins["data.target"] == FILE_NAME
    assert origins["endpoint.port"] == "default"


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("BAKEOFF_PROJECT__SEED", "x", "valid integer"),
        ("BAKEOFF_PROJECT__SED", "1", "Did you mean 'seed'?"),
        ("BAKEOFF_PROJCT__SEED", "1", "Did you mean 'project'?"),
    ],
)
def test_a_wrong_variable_is_named_not_ignored(tmp_path, variable, value, expected):
    (line,) = told(GOOD, tmp_path, **{variable: value})
    assert line.startswith(f"${variable}: ")
    assert expected in line


def test_a_variable_for_a_section_that_is_no_table_leaves_the_files_error(tmp_path):
    assert any("DataConfig" in line for line in told('data = "x"\n', tmp_path, BAKEOFF_DATA__TEXT="t"))


def test_one_value_where_a_list_is_expected_is_told_in_the_words_of_the_file(tmp_path):
    text = '[project]\nname = "p"\ntask = "generation"\n[endpoint]\nmodel_names = "one"\n'
    with pytest.raises(ConfigError, match=r"endpoint\.model_names: expected a list in brackets, found 'one'"):
        loads(text, folder=tmp_path, environ={})
