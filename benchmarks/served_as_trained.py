"""How often the check before a release sees what is served wrongly: so many trials of each fault, on a tiny model.

    python -P benchmarks/served_as_trained.py [TRIALS] [FOLDER]

A fault that is seen is one that `compare` refuses, or that the digest of the file gives away (it is made again).
"""

import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bakeoff.core.generation import Piece
from bakeoff.engines.fidelity import compare
from bakeoff.engines.llamacpp import LlamaCppEngine, gguf_of
from bakeoff.engines.reference import ReferenceSession
from bakeoff.families.language.library_output import quietly

TOLERANCE = 0.1
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SPELLINGS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


class Faulty:
    """An engine that answers as the trained model does, but for the end."""

    def __init__(self, trained: ReferenceSession, most: int, finish: Any) -> None:
        self.trained, self.most, self.finish = trained, most, finish

    def render(self, messages: Any) -> list[int]:
        """See `TextSession`."""
        return self.trained.render(messages)

    def chat(self, messages: Any, sampling: Any) -> Iterator[Piece]:
        """See `TextSession`."""
        pieces = [piece for piece in self.trained.chat(messages, sampling) if not piece.finish][: self.most]
        yield from pieces
        yield Piece(finish=self.finish, completion_tokens=sum(len(piece.tokens) for piece in pieces))


def tiny(folder: Path, seed: int = 0) -> Path:
    """The model of the tests of engines."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "engines"))
    from conftest import _make_model  # pyright: ignore[reportMissingImports]

    return _make_model(folder, seed=seed)


def seen(trained: ReferenceSession, model: Path, cache: Path, adapter: Path | None = None) -> bool:
    """Whether the check refuses a folder as it is served by llama.cpp."""
    served = LlamaCppEngine().open(
        model, adapter=adapter, threads=1, cache=cache, context=256, parallel=1, quantisation="f32"
    )
    try:
        return not compare(trained, served, tolerance=TOLERANCE).holds
    finally:
        served.close()


def adapter_of(model: Path, folder: Path, seed: int) -> Path:
    """A random adapter."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=LINEAR, init_lora_weights=False)
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(model), config).save_pretrained(folder)
    return folder


def main() -> None:
    """Run the trials and print a table."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with quietly(), tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as scratch:
        bench(Path(scratch), trials)


def bench(root: Path, trials: int) -> None:
    """The trials of each fault."""
    model = tiny(root / "model")
    trained = ReferenceSession(model, None, threads=1, context=256)
    first = adapter_of(model, root / "adapter", 1)
    tuned = ReferenceSession(model, first, threads=1, context=256)
    file = gguf_of(model, root / "cache", "q8_0")
    whole = file.read_bytes()
    others = [gguf_of(model, root / "cache", name).read_bytes() for name in ("q4_0", "q4_1", "q5_1", "f16")]

    def template(rng: random.Random) -> bool:
        other = shutil.copytree(model, root / "other", dirs_exist_ok=True)
        jinja = (model / "chat_template.jinja").read_text()
        changes = [
            ("assistant\n", "helper\n"),
            ("<|im_end|>", "<|endoftext|>"),
            ("\n", " "),
            ("{{ message['role'] }}", "user"),
        ]
        changes += [("<|im_start|>", "<|im_start|>" + rng.choice("abcdefgh"))]
        old, new = rng.choice(changes)
        (other / "chat_template.jinja").write_text(jinja.replace(old, new))
        return seen(trained, other, root / "cache")

    def adapter(rng: random.Random) -> bool:
        folder = adapter_of(model, root / "swapped", rng.randint(2, 10**6))
        return seen(tuned, model, root / "cache", rng.choice([folder, None]))

    def special(rng: random.Random) -> bool:
        other = shutil.copytree(model, root / "special", dirs_exist_ok=True)
        settings = json.loads((model / "tokenizer_config.json").read_text())
        which = rng.choice(["bos_token", "eos_token"])
        wrong = rng.choice([spelling for spelling in SPELLINGS if spelling != settings[which]])
        (other / "tokenizer_config.json").write_text(json.dumps(settings | {which: wrong}))
        jinja = (model / "chat_template.jinja").read_text()
        (other / "chat_template.jinja").write_text(
            jinja.replace("<|im_end|>", wrong) if which == "eos_token" else jinja
        )
        return seen(trained, other, root / "cache")

    def mended(content: bytes) -> bool:
        file.write_bytes(content)
        return gguf_of(model, root / "cache", "q8_0").read_bytes() == whole

    def flipped(rng: random.Random) -> bool:
        at = rng.randrange(len(whole))
        return mended(whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :])

    faults: dict[str, Callable[[random.Random], bool]] = {
        "an engine that says nothing": lambda rng: (
            not compare(trained, Faulty(trained, 0, rng.choice(["stop", "length", None])), tolerance=TOLERANCE).holds
        ),
        "an engine that stops early": lambda rng: (
            not compare(
                trained, Faulty(trained, rng.randint(1, 8), rng.choice(["stop", "length"])), tolerance=TOLERANCE
            ).holds
        ),
        "a cut file": lambda rng: mended(whole[: rng.randrange(len(whole))]),
        "a flipped bit": flipped,
        "another quantisation": lambda rng: mended(rng.choice(others)),
        "another adapter": adapter,
        "another template": template,
        "other special tokens": special,
    }
    fine = not compare(trained, Faulty(trained, 10**6, "length"), tolerance=TOLERANCE).diverges.startswith("prompt")
    print(f"the same engine holds: {fine}; without faults, by llama.cpp: {not seen(trained, model, root / 'cache')}")
    for name, fault in faults.items():
        started = time.process_time()
        count = sum(fault(random.Random(f"{name} {trial}")) for trial in range(trials))
        print(f"{name:32} {count:4} of {trials} seen   {time.process_time() - started:6.1f} s of processor", flush=True)


if __name__ == "__main__":
    main()
