# pyright: basic
# torch comes without complete types
"""A model that answers in its own words (task generation): prompted, or fine-tuned, run by an engine."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bakeoff.chat.tokens import ChatTokens, TokenSequence
from bakeoff.core.errors import CandidateError
from bakeoff.core.generation import Capacity, Concurrent, Converted, Messages, Piece, Sampling, Speech, Tool
from bakeoff.core.ledger import EXAMPLES, Loss, example, summed
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Predictions, Signature
from bakeoff.families import saved
from bakeoff.families.features.columns import complete
from bakeoff.families.language import backbone
from bakeoff.families.language import model_files as storing
from bakeoff.families.language.backbone import Backbone, by_length
from bakeoff.families.language.engine_choice import Speaker, WholeAnswer, engine_for
from bakeoff.families.language.finetuned import RowTokenizer, TunedModel, load_tuned, put_on
from bakeoff.families.language.prompts import LOUD_SHARE, Prompt, Shot, cut_losses

if TYPE_CHECKING:
    import polars as pl

__all__ = ["SpokenModel", "SpokenState", "load_spoken", "load_tuned_or_spoken", "require_chat", "speaks", "spoken"]

BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenState:
    """All of a model but its weights; `engine` runs it, and may convert its weights to `quantisation`."""

    family: str
    signature: Signature
    chosen: dict[str, Any]
    reading: RowTokenizer
    shots: tuple[Shot, ...]
    max_new_tokens: int
    engine: str
    quantisation: str
    capacity: Capacity = field(default_factory=Capacity)


@dataclass(frozen=True, kw_only=True)
class SpokenModel(saved.StatedModel):
    """A candidate that generates; `parts` are the folders of its weights, `cache` keeps what the engine converts."""

    state: SpokenState
    parts: Mapping[str, Path]
    threads: int
    cache: Path

    @property
    def speech(self) -> Speech:
        """See `bakeoff.core.generation.Speaking`."""
        return Speech(
            model=self.parts[storing.BASE],
            adapter=self.parts.get(storing.ADAPTER),
            engine=engine_for(self.state.engine),
            quantisation=self.state.quantisation,
            capacity=self.state.capacity,
            before=tuple(self._prompt.around([], self.state.shots)),
            instruction="" if self.state.shots else self._prompt.instruction,
            max_new_tokens=self.state.max_new_tokens,
        )

    @property
    def weights_bytes(self) -> int | None:
        """See `bakeoff.core.generation.Converted`."""
        session = self._speaker.session()
        return session.weights_bytes if isinstance(session, Converted) else None

    @property
    def concurrency(self) -> int | None:
        """See `bakeoff.core.generation.Concurrent`."""
        session = self._speaker.session()
        return session.concurrency if isinstance(session, Concurrent) else None

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        table = complete(table, self.signature)
        texts = self.state.reading.texts(table)
        asked = self._fitted(texts, self.state.capacity.context - self.state.max_new_tokens)
        conversations = [self._prompt.around(each.turns, self.state.shots) for each in asked]
        answers = self._speaker.answers(conversations, Sampling(max_tokens=self.state.max_new_tokens))
        remedy = "raise context"
        self._cut.extend(cut_losses(texts, asked, "test", self.state.capacity.context, remedy=remedy))
        self._cut.extend(self._unfinished(answers))
        return Predictions(values_n=np.asarray([answer.text for answer in answers], dtype=object))

    def losses(self) -> tuple[Loss, ...]:
        """See `bakeoff.core.protocols.Losing`."""
        return summed(self._cut)

    def _unfinished(self, answers: Sequence[WholeAnswer]) -> list[Loss]:
        cut = [answer.text for answer in answers if answer.finish == "length"]
        most = self.state.max_new_tokens
        loss = Loss(
            kind="text",
            reason=f"an answer of the model that was not at its end after max_new_tokens = {most:,}",
            subject="test rows",
            count=len(cut),
            of=len(answers),
            examples=tuple(example(text) for text in cut[:EXAMPLES]),
            remedy="raise max_new_tokens",
            grave=len(cut) > LOUD_SHARE * len(answers),
        )
        return [loss] if cut else []

    def _fitted(self, texts: Sequence[str], most: int) -> list[TokenSequence]:
        """The prompts of rows' texts as the engine makes them."""
        shots = [self.state.shots] * len(texts)
        return self._prompt.sequences(self.words, texts, shots, most)

    def chat(self, messages: Messages, sampling: Sampling) -> Iterator[Piece]:
        """See `bakeoff.core.generation.ChatModel`; instruction and examples come first, as for rows."""
        return self._speaker.chat(self._prompt.around(messages, self.state.shots), sampling)

    def prompt_tokens(self, messages: Messages, tools: Sequence[Tool] = ()) -> int:
        """See `bakeoff.core.generation.Counting`."""
        return len(self._speaker.session().render(self._prompt.around(messages, self.state.shots), tools))

    def log_likelihood(
        self, table: "pl.DataFrame", texts: Sequence[str]
    ) -> "tuple[NDArray[np.float64], NDArray[np.int64]]":
        """See `bakeoff.core.protocols.Likely`; by the trained weights, the end of the answer included."""
        likely_n, count_n, _ = self.recall(table, texts, 0)
        return likely_n, count_n

    def recall(
        self, table: "pl.DataFrame", texts: Sequence[str], most: int
    ) -> "tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]":
        """See `bakeoff.core.protocols.Recalling`; greedy decoding says a text if each token is the likeliest next."""
        import torch

        loaded = self.backbone
        answers = [self.words.answer(str(text)) for text in texts]
        asked = self._prompted(loaded, table)
        whole = [[*ask, *answer][: loaded.context] for ask, answer in zip(asked, answers, strict=True)]
        counts = [max(len(ids) - len(ask), 0) for ids, ask in zip(whole, asked, strict=True)]
        likely_n, said_n = np.zeros(len(whole)), np.zeros(len(whole), dtype=np.bool_)
        with torch.inference_mode():
            for batch in by_length(whole, BATCH):
                ids_bt, lengths_b = loaded.padded([whole[i] for i in batch])
                hidden_btd = loaded.hidden(ids_bt, lengths_b)
                for b, i in enumerate(batch):
                    last = len(whole[i])
                    place = slice(last - counts[i] - 1, last - 1)
                    logprob = loaded.model.get_output_embeddings()(hidden_btd[b, place]).float().log_softmax(-1)
                    told = ids_bt[b, last - counts[i] : last]
                    likely_n[i] = float(logprob.gather(1, told[:, None]).double().sum())
                    asked_of = min(most, len(answers[i]) - 1, counts[i])  # the end is no part of the text
                    right = (logprob[:asked_of].argmax(-1) == told[:asked_of]).all()
                    said_n[i] = asked_of > 0 and bool(right)
        return likely_n, np.asarray(counts, dtype=np.int64), said_n

    def warm(self) -> None:
        """See `bakeoff.core.generation.Warming`."""
        self._speaker.session()

    def save(self, folder: Path) -> None:
        """See `bakeoff.core.protocols.Model`."""
        storing.write(folder, self.state.family, self.state, self.signature, self.parts)

    def _prompted(self, loaded: Backbone, table: "pl.DataFrame") -> list[list[int]]:
        texts = self.state.reading.texts(complete(table, self.signature))
        return [list(each.ids) for each in self._fitted(texts, loaded.context - 1)]

    @property
    def _prompt(self) -> Prompt:
        assert self.state.reading.prompt is not None
        return self.state.reading.prompt

    @cached_property
    def words(self) -> ChatTokens:
        """What makes tokens of turns."""
        return ChatTokens.read(self.parts[storing.BASE])

    @cached_property
    def _cut(self) -> list[Loss]:
        """What was cut of rows since the model was loaded."""
        return []

    @cached_property
    def _speaker(self) -> Speaker:
        return Speaker(speech=self.speech, threads=self.threads, cache=self.cache)

    @cached_property
    def backbone(self) -> Backbone:
        """The trained weights, as they are."""
        loaded = backbone.load(self.parts[storing.BASE], "decoder", precision="fp32", threads=self.threads)
        if storing.ADAPTER in self.parts:
            put_on(loaded, self.parts[storing.ADAPTER])
        return loaded


def spoken(job: FitJob, tuned: TunedModel) -> "TunedModel | SpokenModel":
    """A fine-tuned model as it is, or for task generation as an engine runs it.

    Raises:
        CandidateError: the model has no chat template, so that nothing tells an engine how to ask it.
    """
    if job.task != "generation":
        return tuned
    state, params = tuned.state, job.params
    require_chat(state.reading.prompt)
    made = SpokenState(
        family=state.family,
        signature=state.signature,
        chosen=state.chosen,
        reading=state.reading,
        shots=(),
        max_new_tokens=state.max_new_tokens,
        engine=params.engine,
        quantisation=params.quantisation,
        capacity=params.capacity(tuned.parts[storing.BASE]),
    )
    return SpokenModel(state=made, parts=tuned.parts, threads=job.threads, cache=job.cache)


def require_chat(prompt: Prompt | None) -> None:
    """Raise `CandidateError` unless the prompt goes through a chat template."""
    if prompt is None or not prompt.chat:
        raise CandidateError(
            "expected a model with a chat template for task generation, found none in its tokenizer (or chat = false); "
            "name an instruction-tuned model, or add chat_template.jinja to its folder"
        )


class _Signed(msgspec.Struct, frozen=True):
    signature: Signature


def speaks(folder: Path, family: str) -> bool:
    """Whether a saved model answers in its own words; `CorruptError` when it cannot be read."""
    return saved.read(folder, family, _Signed)[0].signature.task == "generation"


def load_tuned_or_spoken(folder: Path, family: str, threads: int, cache: Path | None) -> "TunedModel | SpokenModel":
    """Read what either of them saved; `CorruptError` when it is damaged."""
    read = load_spoken if speaks(folder, family) else load_tuned
    return read(folder, family, threads, cache)


def load_spoken(folder: Path, family: str, threads: int, cache: Path | None) -> SpokenModel:
    """Read what `SpokenModel.save` wrote; what the engine converts is kept where the folder is, if there is no cache.

    Raises:
        CorruptError: it is damaged.
    """
    state = storing.read(folder, family, SpokenState)
    parts = {name: folder / name for name in (storing.BASE, storing.ADAPTER) if (folder / name).is_dir()}
    return SpokenModel(state=state, parts=parts, threads=threads, cache=cache or storing.cache_of(folder))
