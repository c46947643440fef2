# pyright: basic
# torch and transformers are only partly typed
"""transformers, as the reference: always there with the `llm` extra, the engine that others are held against."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.chat.streaming import functions_of
from bakeoff.chat.tokens import ChatTokens
from bakeoff.core.errors import CandidateError, ContextLengthError, MissingExtraError
from bakeoff.core.generation import Messages, Option, Piece, Sampling, TextSession, Token, Tool

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ReferenceEngine", "ReferenceSession", "Weighed"]

ABLE: frozenset[Option] = frozenset({"frequency_penalty", "logit_bias", "logprobs", "presence_penalty"})


class ReferenceEngine:
    """Runs the trained weights as they are, in float32, one answer at a time."""

    name = "transformers"
    quantisations = ()

    def open(
        self,
        model: Path,
        *,
        adapter: Path | None = None,
        threads: int,
        cache: Path,
        context: int = 2048,
        parallel: int = 4,
        quantisation: str = "f32",
        kv_cache: str = "f16",
    ) -> TextSession:
        """Load a model; nothing is converted: only `context` changes anything."""
        del cache, parallel, quantisation, kv_cache
        return ReferenceSession(model, adapter, threads=threads, context=context)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """Log-probabilities along an answer.

    Attributes:
        known: Of each of its tokens.
        best: Of the likeliest token at each place, that behind the answer among them.
        end: Of the likeliest end at each of these places.
    """

    known: list[float]
    best: list[float]
    end: list[float]


class ReferenceSession:
    """A loaded model; answers wait for each other, as torch already uses all the threads it may."""

    concurrency = 1

    def __init__(self, folder: Path, adapter: Path | None, *, threads: int, context: int) -> None:
        try:
            import torch
            from transformers import AutoModelForCausalLM
        except ImportError as error:
            raise MissingExtraError.of("the engine transformers", "llm", error.name or "transformers") from error
        torch.set_num_threads(threads)
        try:
            self.words = ChatTokens.read(folder)
            model: Any = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
            if adapter is not None:
                from peft import PeftModel

                model = PeftModel.from_pretrained(model, str(adapter), local_files_only=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise CandidateError(
                f"expected a model that transformers can load, found {str(folder)!r}: {error}"
            ) from error
        self._model: Any = model.eval()
        self._context = min(context, getattr(model.config, "max_position_embeddings", context))
        self._lock = threading.Lock()

    def render(self, messages: Messages, tools: Sequence[Tool] = ()) -> list[int]:
        """The token ids of the prompt.

        Raises:
            CandidateError: the tokenizer has no chat template.
        """
        return self.words.prompt(messages, tools=functions_of(tools))

    def chat(self, messages: Messages, sampling: Sampling) -> Iterator[Piece]:
        """The answer, piece by piece; see `bakeoff.core.generation.TextSession`."""
        sampling.require(ABLE, "the engine transformers")
        self.words.require(sampling.logit_bias)
        prompt = self.render(messages)
        if len(prompt) + 1 > self._context:
            raise ContextLengthError(
                f"expected a prompt of at most {self._context} tokens, received {len(prompt)}; "
                "shorten it, or serve with a longer context"
            )
        with self._lock:
            yield from self._generate(prompt, sampling)

    def score(self, prompt: Sequence[int], answer: Sequence[int]) -> list[float]:
        """The log-probability of each token of the answer after the prompt."""
        import torch

        with self._lock, torch.inference_mode():
            ids = torch.tensor([[*prompt, *answer]])
            logits = self._model(input_ids=ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
            return logits.gather(1, torch.tensor(answer)[:, None])[:, 0].tolist()

    def weigh(self, prompt: Sequence[int], answer: Sequence[int]) -> "Weighed":
        """How likely the tokens of an answer are, and what else would be."""
        import torch

        ends = sorted(self._ends())
        with self._lock, torch.inference_mode():
            ids = torch.tensor([[*prompt, *answer]])
            logits = self._model(input_ids=ids).logits[0, len(prompt) - 1 :].log_softmax(-1)
        end = logits[:, ends].max(-1).values.tolist() if ends else [-float("inf")] * len(logits)
        known = [float(logits[at, token]) for at, token in enumerate(answer)]
        return Weighed(known=known, best=logits.max(-1).values.tolist(), end=end)

    def text_of(self, token: int) -> str:
        """The text of one token."""
        return self.words.text_of([token])

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """Mean of the last hidden states over the tokens of each text, of length one."""
        import numpy as np
        import torch

        found: list[NDArray[np.float32]] = []
        for text in texts:
            ids = self.words.texts([text], special=True)[0][: self._context] or [0]
            with self._lock, torch.inference_mode():
                states = self._model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[-1]
            vector = states[0].mean(0).numpy()
            found.append(vector / max(float(np.linalg.norm(vector)), 1e-12))
        return np.stack(found).astype(np.float32) if found else np.zeros((0, 0), np.float32)

    def close(self) -> None:
        """Free the model."""
        self._model = None

    def _generate(self, prompt: list[int], sampling: Sampling) -> Iterator[Piece]:
        import torch

        room = min(sampling.max_tokens, self._context - len(prompt))
        ends = self._ends()
        generator = torch.Generator()
        if sampling.seed is None:
            generator.seed()
        else:
            generator.manual_seed(sampling.seed % 2**63)
        past: Any = None
        said: list[int] = []
        waiting: tuple[Token, ...] = ()
        whole, sent, ids, finish = "", 0, prompt, "length"
        while len(said) < room:
            with torch.inference_mode():
                out = self._model(input_ids=torch.tensor([ids]), past_key_values=past, use_cache=True)
            past, logprobs = out.past_key_values, out.logits[0, -1].log_softmax(-1)
            token = _choose(_weighed(logprobs, said, sampling), sampling, generator)
            if token in ends:
                finish = "stop"
                break
            said.append(token)
            ids = [token]
            waiting += self._told(token, logprobs, sampling)
            whole = self.words.text_of(said)
            if whole.endswith("\ufffd"):  # half a character: wait for the rest
                continue
            end, stopped = _until(sent, whole, sampling.stop)
            if stopped:
                whole, finish = whole[:end], "stop"
                break
            if end > sent:
                yield Piece(text=whole[sent:end], tokens=waiting)
                sent, waiting = end, ()
        if whole[sent:] or waiting:
            yield Piece(text=whole[sent:], tokens=waiting)
        yield Piece(finish=finish, prompt_tokens=len(prompt), completion_tokens=len(said))  # pyright: ignore[reportArgumentType]

    def _ends(self) -> frozenset[int]:
        known = self._model.generation_config.eos_token_id
        listed = known if isinstance(known, list) else [known]
        return frozenset(i for i in (*listed, self.words.eos, self.words.end) if i is not None)

    def _told(self, token: int, logprobs: Any, sampling: Sampling) -> tuple[Token, ...]:
        if sampling.top_logprobs is None:
            return ()
        best = logprobs.topk(sampling.top_logprobs)
        top = tuple(
            (self.text_of(int(i)), float(p)) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        )
        return (Token(id=token, text=self.text_of(token), logprob=float(logprobs[token]), top=top),)


def _weighed(logprobs: Any, said: list[int], sampling: Sampling) -> Any:
    """Log-probabilities (up to a constant) with biases, and with what is taken off for what the answer has already."""
    import torch

    if not (sampling.logit_bias or sampling.frequency_penalty or sampling.presence_penalty):
        return logprobs
    size = len(logprobs)
    change = torch.zeros(size)
    for token, bias in sampling.logit_bias.items():
        if token < size:  # a tokenizer may have tokens that the model never learned
            change[token] = bias
    count = torch.bincount(torch.tensor(said, dtype=torch.long), minlength=size)
    return logprobs + change - sampling.frequency_penalty * count - sampling.presence_penalty * (count > 0)


def _choose(logits: Any, sampling: Sampling, generator: Any) -> int:
    """The likeliest token, or one drawn from those that `min_p`, `top_k` and `top_p` leave."""
    if sampling.temperature <= 0:
        return int(logits.argmax())
    shares, order = (logits / sampling.temperature).softmax(-1).sort(descending=True)
    shares[shares < sampling.min_p * shares[0]] = 0.0
    if sampling.top_k:
        shares[sampling.top_k :] = 0.0
    shares = shares / shares.sum()
    before = shares.cumsum(-1) - shares
    shares[1:][before[1:] >= sampling.top_p] = 0.0  # the likeliest one stays, whatever the share
    return int(order[int(shares.multinomial(1, generator=generator))])


def _until(sent: int, whole: str, stops: tuple[str, ...]) -> tuple[int, bool]:
    """Where the text ends that may be sent, and whether a stop text was met there.

    What may be the beginning of a stop text waits for what follows.

    >>> _until(0, "one END two", ("END",)), _until(0, "one EN", ("END",)), _until(0, "one", ("END",))
    ((4, True), (4, False), (3, False))
    """
    met = [place for stop in stops if (place := whole.find(stop, sent)) >= 0]
    if met:
        return min(met), True
    begun = [n for stop in stops for n in range(1, len(stop)) if whole.endswith(stop[:n])]
    return max(sent, len(whole) - max(begun, default=0)), False
