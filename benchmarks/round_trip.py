"""Whether training, evaluation and serving read the same tokens: random conversations of all kinds, by two templates.

    python -P benchmarks/round_trip.py [CONVERSATIONS] [MODEL_FOLDER ...]

Without folders, the tiny model of the tests is read by ChatML and by a template of the kind of Llama 2. The only
differences may be cuts, and each must be counted.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import polars as pl

from bakeoff.chat.tokens import ChatTokens
from bakeoff.core.conversation import question_text
from bakeoff.families.language.answers import Answering
from bakeoff.families.language.prompts import Prompt, cut_losses, row_texts
from bakeoff.testing.conversations import conversations

INST = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content or '' }}<|im_end|>"
    "{% else %}[INST] {{ m.role }}: {{ m.content }} [/INST]{% endif %}{% endfor %}"
)
TRAINED, SERVED = 1024, 4096


def main() -> None:
    """Compare and print a line for each template."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(name) for name in sys.argv[2:]] or _tiny(Path(scratch))
        for folder in folders:
            print(f"{folder.name:24} {compared(ChatTokens.read(folder), count)}")


def compared(words: ChatTokens, count: int) -> str:
    """What of so many conversations is the same, cut and counted."""
    prompt = Prompt(instruction="", target="answer", chat=True, system="Be brief.")
    drawn = conversations(count, seed=1)
    table = pl.DataFrame({"messages": [question_text(turns) for turns, _ in drawn]})
    texts = row_texts(table, ["messages"], None, {"messages"})
    learner = Answering(words=words, prompt=prompt, most=TRAINED)
    learned = [learner.examples(text, answer) for text, (_, answer) in zip(texts, drawn, strict=True)]
    evaluated = prompt.sequences(words, texts, [()] * count, SERVED)
    same = cut = 0
    for (turns, _), (trained,), asked in zip(drawn, learned, evaluated, strict=True):
        served = words.prompt(prompt.around(turns))
        cut += trained.prompt.cut + asked.cut
        same += list(asked.ids) == served or asked.cut
        same += trained.example.ids[: -trained.example.completion] == tuple(served) or trained.prompt.cut
    counted = [*learner.losses(learned, "training"), *cut_losses(texts, evaluated, "test", SERVED, remedy="")]
    told = sum(loss.count for loss in counted if "end is not learned" not in loss.reason)
    both = sum(each.prompt.exchanges_cut > 0 and each.prompt.text_cut for (each,) in learned)
    both += sum(each.exchanges_cut > 0 and each.text_cut for each in evaluated)
    unfinished = sum(each.answer is not None for (each,) in learned)
    ends = sum(loss.count for loss in counted if "end is not learned" in loss.reason)
    return (
        f"{same} of {2 * count} the same or cut; {cut} cut, {told - both} in the ledger; "
        f"{unfinished} answers without an end, {ends} in the ledger"
    )


def _tiny(scratch: Path) -> list[Path]:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "engines"))
    from conftest import _make_model  # pyright: ignore[reportMissingImports]

    chatml = _make_model(scratch / "chatml")
    inst = shutil.copytree(chatml, scratch / "inst")
    (inst / "chat_template.jinja").write_text(INST)
    return [chatml, inst]


if __name__ == "__main__":
    main()
