"""Hand a language model out: the weights that were measured, for llama.cpp, Ollama, vLLM or transformers."""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from bakeoff.chat.tokens import ChatTokens
from bakeoff.core.abilities import abilities_of
from bakeoff.core.errors import CandidateError, DataError, UsageError
from bakeoff.core.generation import Speech, TextSession, engine_of
from bakeoff.core.protocols import Model, Progress
from bakeoff.families.language.library_output import quietly

if TYPE_CHECKING:
    from bakeoff.engines.fidelity import Fidelity

__all__ = ["Exported", "Form", "Wish", "export"]

Form: TypeAlias = Literal["gguf", "safetensors"]
WEIGHTS, ADAPTER, MODELFILE, PROMPT, READ_ME = "model.gguf", "adapter.gguf", "Modelfile", "prompt.json", "README.md"
MODEL_FOLDER, ADAPTER_FOLDER = "model", "adapter"
CONTEXT = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written, how far it is from what was trained (nats a token), and what could not be taken along."""

    folder: str
    files: tuple[str, ...]
    quantisation: str | None
    mean_gap: float
    max_gap: float
    tokens: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to write: `form`, `merged` into one, in `quantisation` (GGUF; None: as it was measured)."""

    form: Form = "gguf"
    merged: bool = False
    quantisation: str | None = None


def export(
    model: Model, folder: Path, *, name: str, wish: Wish, threads: int, cache: Path, progress: Progress
) -> Exported:
    """Write a model that generates into a new folder, and hold what was written against what was trained.

    As it was measured: the base as the engine runs it, and the adapter beside it; or merged into one.

    Raises:
        UsageError: the folder is not empty. CandidateError: the model has no weights of a language model, or what was
            written would answer otherwise than what was trained.
    """
    ability = abilities_of(model).speech
    speech = ability and ability()
    if speech is None:
        raise CandidateError(
            f"expected a model that generates with weights of its own (prompted, lora, full), received {name}"
        )
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"expected an empty or new folder, received {str(folder)!r}")
    if wish.form == "safetensors" and wish.quantisation is not None:
        raise UsageError("expected no quantisation beside safetensors, which hold the weights as they were trained")
    folder.mkdir(parents=True, exist_ok=True)
    writer = _Export(speech=speech, wish=wish, folder=folder, threads=threads, cache=cache, progress=progress)
    try:
        return writer.write(name)
    except BaseException:
        shutil.rmtree(folder)  # half an export looks like a whole one
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Export:
    speech: Speech
    wish: Wish
    folder: Path
    threads: int
    cache: Path
    progress: Progress

    def write(self, name: str) -> Exported:
        from bakeoff.families.language.merging import merge

        base, adapter = self.speech.model, self.speech.adapter
        with tempfile.TemporaryDirectory(prefix=".merging-", dir=self.folder) as scratch:
            if self.wish.merged and adapter is not None:
                self.progress("putting the adapter into the weights")
                merge(base, adapter, whole := Path(scratch) / MODEL_FOLDER)
                base, adapter = whole, None
            notes = self._notes(name)
            write = self._gguf if self.wish.form == "gguf" else self._safetensors
            gap = write(base, adapter, notes)
        if gap.diverges:
            raise CandidateError(f"expected an export that answers as what was trained, received {gap.diverges}")
        before = {"before": list(self.speech.before), "instruction": self.speech.instruction}
        self._text(PROMPT, json.dumps(before, indent=1, ensure_ascii=False))
        self._text(READ_ME, self._read_me(name, adapter is not None, gap, notes))
        paths = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return Exported(
            folder=str(self.folder),
            files=tuple(path.relative_to(self.folder).as_posix() for path in paths),
            quantisation=self._quantisation if self.wish.form == "gguf" else None,
            mean_gap=gap.mean_gap,
            max_gap=gap.max_gap,
            tokens=gap.tokens,
            notes=tuple(notes),
        )

    @property
    def _context(self) -> int:
        """The tokens of a conversation, at most as many as the model reads."""
        own = json.loads((self.speech.model / "config.json").read_text()).get("max_position_embeddings")
        return min(self.speech.capacity.context, own or self.speech.capacity.context)

    @property
    def _quantisation(self) -> str:
        return self.wish.quantisation or self.speech.quantisation

    def _notes(self, name: str) -> list[str]:
        engine, gguf = self.speech.engine, self.wish.form == "gguf"
        own = self.speech.quantisation if engine_of(engine).quantisations else None
        written = self._quantisation if gguf else None
        notes: list[str] = []
        if own != written:
            how = f"in {own}" if own else "which runs the weights as they are"
            notes.append(f"{name} was measured with {engine}, {how}: this is {written or 'the weights as they are'}")
        if self.wish.merged and self.speech.adapter is not None:
            notes.append("merged weights are rounded once more than the base with the adapter beside it")
        if self.speech.instruction:
            notes.append(f"put before what the user says first: {self.speech.instruction!r}")
        return notes

    def _gguf(self, base: Path, adapter: Path | None, notes: list[str]) -> "Fidelity":
        from bakeoff.engines.llamacpp import LlamaCppEngine, adapter_gguf_of, gguf_of

        self.progress(f"converting to {self._quantisation}")
        cache = self.cache if base == self.speech.model else base.parent
        shutil.copyfile(gguf_of(base, cache, self._quantisation), self.folder / WEIGHTS)
        if adapter is not None:
            shutil.copyfile(adapter_gguf_of(base, adapter, cache), self.folder / ADAPTER)
        words = ChatTokens.read(base)
        try:
            self._text(MODELFILE, self._modelfile(words, adapter is not None))
        except DataError as error:
            notes.append(f"no Modelfile: {error}")
        served = LlamaCppEngine().open(
            base,
            adapter=adapter,
            threads=self.threads,
            cache=cache,
            context=CONTEXT,
            parallel=1,
            quantisation=self._quantisation,
        )
        try:
            return self._gap(served, self._quantisation)
        finally:
            served.close()

    def _modelfile(self, words: ChatTokens, adapted: bool) -> str:  # noqa: FBT001
        from bakeoff.engines.ollama import modelfile, pieces_of

        assert words.template is not None, "generation needs a chat template"
        spelling = {token: text for text, token in words.control.items()}
        added = words.bos is not None and words.texts(["a"], special=True)[0][:1] == [words.bos]
        bos = spelling.get(words.bos, "") if added and words.bos is not None else ""
        end = spelling.get(words.end) if words.end is not None else None
        return modelfile(
            pieces_of(words.template, bos=bos),
            weights=WEIGHTS,
            adapter=ADAPTER if adapted else None,
            before=self.speech.before,
            stop=end,
            context=self._context,
            max_new_tokens=self.speech.max_new_tokens,
        )

    def _safetensors(self, base: Path, adapter: Path | None, notes: list[str]) -> "Fidelity":
        from bakeoff.engines.reference import ReferenceSession

        del notes
        shutil.copytree(base, self.folder / MODEL_FOLDER)
        if adapter is not None:
            shutil.copytree(adapter, self.folder / ADAPTER_FOLDER)
        target = self.folder / ADAPTER_FOLDER if adapter is not None else None
        with quietly():
            written = ReferenceSession(self.folder / MODEL_FOLDER, target, threads=self.threads, context=CONTEXT)
        return self._gap(written, "bf16")

    def _gap(self, written: TextSession, quantisation: str) -> "Fidelity":
        from bakeoff.engines.fidelity import TOLERANCES, compare
        from bakeoff.engines.reference import ReferenceSession

        self.progress("holding what was written against what was trained")
        with quietly():
            trained = ReferenceSession(self.speech.model, self.speech.adapter, threads=self.threads, context=CONTEXT)
            return compare(trained, written, tolerance=TOLERANCES.get(quantisation, TOLERANCES["bf16"]))

    def _text(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def _read_me(self, name: str, adapted: bool, gap: "Fidelity", notes: list[str]) -> str:  # noqa: FBT001
        context, shown = self._context, name.replace("/", "-")
        if self.wish.form == "gguf":
            lora = f" --lora {ADAPTER}" if adapted else ""
            commands = [f"llama-server -m {WEIGHTS}{lora} -c {context} --jinja"]
            commands += [f"ollama create {shown} -f {MODELFILE}"] if (self.folder / MODELFILE).is_file() else []
        else:
            lora = f" --enable-lora --max-lora-rank 256 --lora-modules {shown}=./{ADAPTER_FOLDER}" if adapted else ""
            commands = [f"vllm serve ./{MODEL_FOLDER}{lora} --max-model-len {context}"]
        told = f"Log-probabilities differ from those of what was trained by {gap.mean_gap:.3f} nats a token on average"
        lines = [f"# {name}", "", *(f"    {command}" for command in commands), ""]
        lines += [f"{told} (at most {gap.max_gap:.3f}, {gap.tokens} tokens)."]
        lines += [f"`{PROMPT}` holds the turns that stood before each conversation; Ollama has them in its Modelfile."]
        return "\n".join([*lines, *(f"- {note}" for note in notes), ""])
