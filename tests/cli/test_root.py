"""What all commands have alike: help, global options, the nearest project, completion, documents with schemas."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from importlib import import_module

import jsonschema
import pytest
import typer

import bakeoff as package
from bakeoff.cli.documents import COMMANDS, schema_of
from bakeoff.cli.main import MODULES, app
from bakeoff.cli.root import GROUPS, arranged
from bakeoff.cli.tables import table

ROOT = typer.main.get_command(app)
ROW = '{"review": "good film", "year": 2000}'


def commands(group=ROOT, path=()):
    """Every command with its words."""
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, typer.core.TyperGroup):
            yield from commands(command, (*path, name))


EVERY = dict(commands())


def test_each_command_stands_in_one_group_of_the_help(bakeoff):
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(ROOT.commands)
    for call in (["-h"], ["--help"], []):
        out = bakeoff(*call).out
        assert out.index("Begin:") < out.index("  init ") < out.index("The loop:") < out.index("  run ")
        assert "..." not in out.replace("[ARGS]...", "")


def test_each_module_has_the_commands_that_it_is_imported_for():
    for module, names in MODULES.items():
        alone = typer.Typer()
        alone.callback()(lambda: None)
        import_module(f"bakeoff.cli.{module}").add_to(alone)
        assert sorted(typer.main.get_command(alone).commands) == sorted(names), module
    assert sorted(name for names in MODULES.values() for name in names) == sorted(ROOT.commands)


@pytest.mark.parametrize(
    ("call", "modules"),
    [
        (["data", "status", "-h"], ["data"]),
        (["-q", "-C", "films", "--json", "plan", "-h"], ["planning"]),
        (["-h", "data"], sorted(MODULES)),
        (["dota"], sorted(MODULES)),
    ],
)
def test_of_one_command_only_its_module_is_imported(call, modules):
    look = f"""
import atexit, sys
names = {sorted(MODULES)!r}
atexit.register(lambda: print([name for name in names if "bakeoff.cli." + name in sys.modules], file=sys.stderr))
sys.argv[1:] = {call!r}
from bakeoff.cli.main import main
main()
"""
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=False)
    assert ast.literal_eval(done.stderr.splitlines()[-1]) == modules


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_each_command_has_an_example_that_its_own_parser_takes(words):
    example = re.search(r"For example: (.*)", EVERY[words].help)
    assert example, "its docstring ends with an example"
    call = shlex.split(example[1].partition(" >> ")[0])
    if tuple(call[1 : 1 + len(words)]) != words:  # of a group, one of its commands
        assert isinstance(EVERY[words], typer.core.TyperGroup)
    command, context, rest = ROOT, None, call[1:]
    while isinstance(command, typer.core.TyperGroup) and rest and rest[0] in command.commands:
        command, rest = command.commands[rest[0]], rest[1:]
    command.make_context(words[-1], list(rest), parent=context)  # raises what is wrong with it


def test_what_the_readme_says_of_options_is_so():
    lacking = {
        option: {words[-1] for words, each in EVERY.items() if not any(option in p.opts for p in each.params)}
        for option in ("-C", "--json")
    }
    assert lacking["-C"] == {
        "data",
        "feedback",
        "demo",
        "labels",
        "completion",
        "schema",
        "tokens",
        "audit",
        "people",
        "deps",
        "certs",
        "keys",
        "dev",
        "env",
        "ci",
        "prompts",
        "hook",
        "compare",  # of two files: bakeoff monitor compare
        "dashboards",
    }
    assert lacking["--json"] == {
        "data",
        "completion",
        "schema",
        "tokens",
        "people",
        "audit",
        "certs",
        "keys",
        "export",
        "feedback",
    } | {
        "people",
        "ci",
        "env",
        "prompts",
        "hook",
        "lock",
        "sbom",
        "mcp",
        "metrics",
    }


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_help_fits_the_terminal(bakeoff, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    for words in [(), *EVERY]:
        for line in bakeoff(*words, "--help").out.splitlines():
            assert len(line) <= columns or " " not in line.strip(), line


@pytest.mark.parametrize("columns", [20, 40, 79, 120, 200])
def test_tables_fit_the_terminal(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    heads = ["", "candidate", "f1_macro", "95% interval", "p50 ms", "p95 ms", "$ / 1k", "train s", "MB", "version"]
    row = [
        "*",
        "blend+linear+boosting",
        "0.8274",
        "0.8118 – 0.8420",
        "12.79",
        "18.91",
        "0.000226",
        "63.6",
        "30.4",
        "r/4",
    ]
    shown = table(heads, [row, row])
    assert max(map(len, shown.splitlines())) <= columns
    assert "".join(re.findall(r"[a-z+]", shown)).count("boosting") == 2 or columns < 40


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version(bakeoff, option):
    assert bakeoff(option).out == f"{package.__version__}\n"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("-C x run", "run -C x"),
        ("--project=x --json runs show 3f", "runs show 3f --project=x --json"),
        ("-Cx --json data card --html a.html", "data card --html a.html -Cx --json"),
        ("run -q -C x", "-q run -C x"),
        ("--json predict -- -q", "predict --json -- -q"),
        ("--json", ""),
    ],
)
def test_options_may_stand_before_the_command(given, meant):
    assert arranged(given.split()) == meant.split()


def test_a_project_is_opened_from_any_folder_below_it(ran, bakeoff, monkeypatch):
    below = ran / "notes" / "of mine"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    ended = bakeoff("--json", "status")
    assert ended.document["folder"] == str(ran)
    assert f"project: {ran}" in ended.err
    assert bakeoff("-q", "status").err == ""
    monkeypatch.chdir(ran)
    assert "project:" not in bakeoff("status").err
    assert bakeoff("-C", below, "status").code == 2


def test_a_person_at_a_terminal_is_told_the_next_step_unless_quiet_is_asked(ran, bakeoff, monkeypatch):
    assert "next:" not in bakeoff("run", "-C", ran).err
    monkeypatch.setattr("bakeoff.cli.terminal.Terminal.isatty", lambda _: True)
    assert "next: bakeoff report -C" in bakeoff("run", "-C", ran).err
    quiet = bakeoff("run", "-C", ran, "-q")
    assert (quiet.code, quiet.err) == (0, "")
    assert "verdict" in quiet.out
    assert "next:" not in bakeoff("run", "-C", ran, "--json").err


def test_a_misspelt_command_is_answered_with_the_nearest(bakeoff):
    assert "Did you mean 'report'" in bakeoff("reprot").errors[0]
    assert "Did you mean 'card'?" in bakeoff("data", "crad").errors[0]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(bakeoff, shell):
    script = bakeoff("completion", shell).out
    assert "_BAKEOFF_COMPLETE" in script
    environment = os.environ | {
        "_BAKEOFF_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "bakeoff rep",
        "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": "bakeoff rep",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    code = "import sys; sys.argv[0] = 'bakeoff'; from bakeoff.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert "report" in done.stdout
    assert "monitor" not in done.stdout


def test_colours_are_left_out_where_nobody_wants_them(ran, bakeoff, monkeypatch):
    from bakeoff.cli.terminal import Terminal, loud

    class Screen:
        encoding = "utf-8"
        written = ""

        def isatty(self):
            return True

        def write(self, text):
            self.written += text

        def flush(self):
            pass

    for value, coloured in (("1", False), ("", True)):
        monkeypatch.setenv("NO_COLOR", value)
        screen = Screen()
        Terminal(screen).write(loud("lost"))
        assert ("\x1b[" in screen.written) is coloured


# --- documents ----------------------------------------------------------------------------------


def test_every_command_with_a_document_has_a_schema(bakeoff):
    with_json = {" ".join(words) for words, each in EVERY.items() if any("--json" in p.opts for p in each.params)}
    assert with_json == {name.partition(" --")[0] for name in COMMANDS}
    assert bakeoff("schema").out.splitlines() == list(COMMANDS)
    for name in COMMANDS:
        jsonschema.Draft202012Validator.check_schema(json.loads(bakeoff("schema", *name.split(" --")[0].split()).out))
    assert "Did you mean 'runs'?" in bakeoff("schema", "rnus").errors[0]


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["report"],
        ["status"],
        ["loop", "--once"],
        ["predict", ROW],
        ["feedback", "give", "nosuchid", "yes"],
        ["monitor"],
        ["explain"],
        ["explain", ROW],
        ["runs"],
        ["runs", "show", "RUN"],
        ["runs", "compare", "RUN", "RUN"],
        ["compare", "first", "second"],
        ["sql"],
        ["runs", "--aggregate"],
        ["lineage"],
        ["config"],
        ["doctor"],
        ["verify"],
        ["gc"],
        ["check"],
        ["data", "show"],
        ["data", "contract"],
        ["data", "contract", "--check"],
        ["data", "card"],
        ["models"],
        ["report", "nosuchrun"],
    ],
    ids=" ".join,
)
def test_documents_are_as_their_schemas_say(ran, bakeoff, words):
    name = " ".join(word for word in words[:2] if word.isalpha() and word.islower() and " ".join(words[:2]) in COMMANDS)
    if words == ["data", "contract", "--check"]:
        bakeoff("data", "contract", "-C", ran)
    run = bakeoff("status", "-C", ran, "--json").document["last_run"]["run_id"]
    ended = bakeoff(*[run if word == "RUN" else word for word in words], "-C", ran, "--json")
    assert ended.document["format"] == 1
    jsonschema.validate(ended.document, schema_of(name or words[0]))
    wrong = {key: value for key, value in ended.document.items() if key != "format"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema_of(name or words[0]))
    assert not jsonschema.Draft202012Validator(schema_of(name or words[0])).is_valid({"format": 1, "nonsense": 1}) or (
        words == ["config"]
    )


def test_documents_of_commands_without_a_project(bakeoff, tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\n" + "good one,a\nbad one,b\n" * 40)
    ended = bakeoff("init", tmp_path / "rows.csv", "--target", "label", "-C", tmp_path / "new", "--json")
    jsonschema.validate(ended.document, schema_of("init"))
    (tmp_path / "pilot.csv").write_text("human,judge\n" + "1,0.9\n0,0.2\n1,0.7\n0,0.4\n" * 20)
    ended = bakeoff("data", "labels", tmp_path / "pilot.csv", "--within", "0.05", "--json")
    jsonschema.validate(ended.document, schema_of("data labels"))
    out = tmp_path / "out.parquet"
    prepare = "data", "prepare", tmp_path / "rows.csv", "--workers", "1", "--steps"
    ended = bakeoff(*prepare, "drop_duplicates", "--out", out, "--json")
    jsonschema.validate(ended.document, schema_of("data prepare"))
    ended = bakeoff(*prepare, "squeeze_whitespace", "--explain", "--json")
    jsonschema.validate(ended.document, schema_of("data prepare --explain"))


def test_a_preparation_that_leaves_nothing_says_so(bakeoff, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": " "}\n' * 5)
    ended = bakeoff(
        "data",
        "prepare",
        tmp_path / "rows.jsonl",
        "--workers",
        "1",
        "--steps",
        "drop_empty",
        "--out",
        tmp_path / "o.jsonl",
    )
    assert "warning: nothing is left: step drop_empty dropped the last rows" in ended.out
    assert "next:" not in ended.err
