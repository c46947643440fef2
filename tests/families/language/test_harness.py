"""Tasks of the LM Evaluation Harness on candidates: the harness's own model finds the same numbers."""

import json
import sys
from pathlib import Path

import pytest
from msgspec import to_builtins
from typer.testing import CliRunner

from bakeoff.cli.main import app
from bakeoff.core.errors import CandidateError, DataError, MissingExtraError, NotFoundError
from bakeoff.core.generation import ChatModel
from bakeoff.families.language import backbone
from bakeoff.families.language.harness import HarnessTasks, _known, harness
from bakeoff.families.language.prompted import PromptedFamily, PromptedParams
from bakeoff.project.project import Project
from bakeoff.testing.families import FamilyConformance

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

CHOICE = """
task: letters
dataset_path: json
dataset_kwargs:
  data_files: {{test: {file}, train: {file}}}
test_split: test
fewshot_split: train
output_type: multiple_choice
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_choice: ["aaord", "bbord", "ccord"]
doc_to_target: "{{{{answer}}}}"
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
metadata: {{version: 2.5}}
"""
PERPLEXITY = """
task: words
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{question}}}}"
metric_list: [{{metric: word_perplexity}}]
metadata: {{version: 1.0}}
"""
WRITING = """
task: writing
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["zz", "\\n\\n"], max_gen_toks: 12, do_sample: false}}
metric_list: [{{metric: exact_match}}]
metadata: {{version: 1.0}}
"""


@pytest.fixture
def tasks(tmp_path):
    pytest.importorskip("lm_eval")
    folder = tmp_path / "tasks"
    folder.mkdir()
    file = folder / "rows.jsonl"
    rows = [{"question": " ".join([f"{'abcdef'[at % 6] * 2}ord"] * (at + 1)), "answer": at % 3} for at in range(8)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, text in (("letters", CHOICE), ("words", PERPLEXITY), ("writing", WRITING)):
        (folder / f"{name}.yaml").write_text(text.format(file=file))
    return folder


@pytest.fixture
def loaded(tiny):
    return backbone.load(tiny, "decoder", precision="fp32", threads=1)


@pytest.fixture
def model(tiny, tmp_path):
    job = FamilyConformance().job_of("generation", PromptedParams(model=str(tiny)), tmp_path, columns=("text",))
    made = PromptedFamily().fit(job)
    assert isinstance(made, ChatModel)
    return made


def requests(kind, *arguments):
    from lm_eval.api.instance import Instance

    return [Instance(request_type=kind, doc={}, arguments=each, idx=0) for each in arguments]


@pytest.fixture
def pair(tiny, loaded):
    """Our model and the harness's own, on the same weights."""
    pytest.importorskip("lm_eval")
    from lm_eval.models.huggingface import HFLM

    from bakeoff.families.language.harness_model import harness_model

    theirs = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=2, device="cpu")
    return harness_model(loaded, batch=2, progress=lambda line: None), theirs


PAIRS = (
    ("aaord bbord", " ccord"),
    ("aaord bbord", " ddord eeord"),
    ("aaord bbord ", "ddord"),
    ("", "fford ggord"),
    ("<s>aaord", " hhord"),
    ("zzord " * 120, " hhord iiord"),  # longer than the context: its beginning is cut off
    ("Was it aaord?", " yes"),
    ("Was it aaord?", " yet"),
)


def test_log_likelihoods_are_those_of_the_harness(pair):
    ours, theirs = pair
    found = ours.loglikelihood(requests("loglikelihood", *PAIRS), disable_tqdm=True)
    expected = theirs.loglikelihood(requests("loglikelihood", *PAIRS), disable_tqdm=True)
    assert [likely for likely, _ in found] == pytest.approx([likely for likely, _ in expected], abs=1e-4)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]


def test_whole_texts_are_as_likely_as_the_harness_says(pair):
    ours, theirs = pair
    # One is read in several windows. (Where a text repeats itself, so that windows begin alike, the harness's own model
    # takes what it remembers of one for the other, and is off.)
    long = " ".join(f"{'abcdefghij'[at * at % 10] * 2}ord{at}" for at in range(150))
    texts = [("aaord bbord ccord",), (long,), ("q",)]
    found = ours.loglikelihood_rolling(requests("loglikelihood_rolling", *texts))
    assert found == pytest.approx(theirs.loglikelihood_rolling(requests("loglikelihood_rolling", *texts)), abs=1e-3)


def test_answers_end_where_they_should(pair):
    ours, theirs = pair
    settings = {"until": ["zz"], "max_gen_toks": 10, "do_sample": False}
    asked = [(f"{word}ord", settings) for word in ("aa", "bb")]
    for one in asked:  # one at a time: random weights have near-ties, which flip with what shares a batch
        (found,) = ours.generate_until(requests("generate_until", one))
        assert [found] == theirs.generate_until(requests("generate_until", one))
    several = ours.generate_until(requests("generate_until", *asked, ("ccord ddord", {**settings, "max_gen_toks": 3})))
    assert len(several) == 3
    assert not any("zz" in answer for answer in several)
    with pytest.raises(CandidateError, match="leave room"):
        ours.generate_until(requests("generate_until", ("aaord", {"max_gen_toks": 256})))


def test_tasks_are_run_and_told_with_their_versions(model, tasks):
    told: list[str] = []
    asked = HarnessTasks(tasks=("letters", "words", "writing"), include=tasks, limit=6, shots=1, batch=4)
    found = harness(model, asked, progress=told.append)
    letters, words, writing = found.tasks
    assert (letters.name, letters.version, letters.shots, letters.rows) == ("letters", "2.5", 1, 6)
    accuracy = next(each for each in letters.metrics if each.name == "acc")
    assert 0 <= accuracy.value <= 1
    assert accuracy.stderr > 0
    assert accuracy.higher_is_better
    assert words.metrics[0].value > 1
    assert writing.metrics[0].name == "exact_match"
    assert found.precision == "fp32"
    assert any("requests" in line for line in told)
    (alone,) = harness(model, HarnessTasks(tasks=("letters",), include=tasks, limit=1), progress=told.append).tasks
    assert alone.metrics[0].stderr is None  # one document says nothing of that
    json.dumps(to_builtins(found), allow_nan=False)


def test_what_cannot_be_run_is_told_in_one_line(model, tasks, tmp_path):
    def error(kind, **asked):
        with pytest.raises(kind) as caught:
            harness(model, HarnessTasks(include=tasks, **asked), progress=lambda line: None)
        return str(caught.value)

    with pytest.raises(NotFoundError) as unknown:  # finding those of the harness takes seconds
        _known(("lettres", "letters", "hellaswga"), ["arc", "hellaswag", "letters"])
    assert "'lettres' (near it: letters); 'hellaswga' (near it: hellaswag)" in str(unknown.value)
    (tasks / "rows.jsonl").unlink()
    assert "letters with their data" in error(DataError, tasks=("letters",))
    with pytest.raises(CandidateError, match="received 'object'"):
        harness(object(), HarnessTasks(tasks=("letters",)), progress=lambda line: None)
    with pytest.raises(NotFoundError, match="a folder with tasks"):
        harness(model, HarnessTasks(tasks=("x",), include=tmp_path / "none"), progress=lambda line: None)


def test_without_the_extra_the_install_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "bakeoff\[harness\]"'):
        harness(object(), HarnessTasks(tasks=("letters",)), progress=lambda line: None)


@pytest.mark.slow
def test_of_a_project(tasks: Path, overfitted: Path) -> None:
    def call(candidate, *more):
        asked = ["models", "harness", candidate, "--tasks", "letters", "--include-path", str(tasks)]
        return CliRunner().invoke(app, [*asked, "-C", str(overfitted), *more])

    found = json.loads(call("full", "--json").stdout)
    assert (found["candidate"], found["precision"]) == ("full", "fp32")
    page = call("full", "--limit", "3").stdout
    assert "letters" in page
    assert "± " in page
    with Project(overfitted) as project:
        run = project.records.runs.get(found["run_id"])
        first, _ = project.records.runs.history(run.run_id, "harness/letters/acc").items
        assert first.value == found["tasks"][0]["metrics"][0]["value"]
        assert json.loads(project.blobs.get(run.artifacts["harness/letters.json"]))["limit"] == 3
    refused = call("retrieval").exception
    assert isinstance(refused, CandidateError)
    assert "'retrieval' (family retrieval): expected the weights of a language model" in str(refused)
    assert "Did you mean 'full'" in str(call("ful").exception)
