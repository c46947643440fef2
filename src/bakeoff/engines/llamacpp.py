# pyright: basic
# transformers is only partly typed
"""llama.cpp in a process beside this one: continuous batching, JSON schemas, adapters, on processors first."""

import contextlib
import importlib.util
import io
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.chat.streaming import calls_of, end_of, functions_of, request_of
from bakeoff.chat.tokens import ChatTokens
from bakeoff.core.errors import (
    CandidateError,
    ContextLengthError,
    DataError,
    MissingExtraError,
    OptionError,
)
from bakeoff.core.generation import Messages, Option, Piece, Sampling, TextSession, Token, Tool
from bakeoff.core.hashing import digest_file, digest_json
from bakeoff.engines.derived import FOLDER, derived, digests_of
from bakeoff.engines.llamacpp_process import LlamaProcess, LlamaSettings, RefusedRequest
from bakeoff.engines.llamacpp_schema import SchemaCheck

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LlamaCppEngine", "adapter_gguf_of", "gguf_of"]

PRE_TOKENIZERS = ("smollm", "llama-bpe", "qwen2", "gpt-2", "default")
QUANTISATIONS = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
"""The forms that the package gguf can write, in GGML's names; those of k-quants it can only read."""
PROBES = (
    "In 12345 days it's 3.14 o'clock!!\n\n  don't I'LL WE'VE naïve",
    "日本語 текст עברית العربية 👩‍👩‍👧 ½ x²",
    "tabs\t\tand   spaces \r\n\r\n(end) ...---===   ",
    "def f(x):\n    return x[1:-1] + 007 # 1,000,000",
)
EXPORT_VERSION = 2
TOO_LONG = "exceed_context_size_error"
BAD_SCHEMA = "JSON schema error"
BEHIND = 2
"""So many answers wait inside llama.cpp, so that no slot is empty until the next one is handed over."""
SEEDS = 2**32 - 1
"""One more than the largest seed: llama.cpp reads that one as none."""
ABLE: frozenset[Option] = frozenset({"frequency_penalty", "logit_bias", "logprobs", "response_format"})
"""Not `presence_penalty`: llama.cpp counts the prompt's tokens as well, which for this one cannot be undone."""
TOOLS: frozenset[Option] = frozenset({"tools"})
"""Where the model's template has a place for them."""


class LlamaCppEngine:
    """Converts safetensors to GGUF once, checks that both split texts into the same tokens, and runs it."""

    name = "llamacpp"
    quantisations = QUANTISATIONS

    def open(
        self,
        model: Path,
        *,
        adapter: Path | None = None,
        threads: int,
        cache: Path,
        context: int = 2048,
        parallel: int = 4,
        quantisation: str = "q8_0",
        kv_cache: str = "f16",
    ) -> TextSession:
        """Load a model; see `bakeoff.core.generation.TextEngine`."""
        _require()
        file = gguf_of(model, cache, quantisation)
        lora = None if adapter is None else adapter_gguf_of(model, adapter, cache)
        words = None if model.is_file() else ChatTokens.read(model)
        return _Session(file, lora, words, threads=threads, context=context, parallel=parallel, kv_cache=kv_cache)


def _require() -> None:
    for module in ("xllamacpp", "gguf", "transformers"):
        if importlib.util.find_spec(module) is None:  # not imported: serving needs none of them in this process
            raise MissingExtraError.of("the engine llamacpp", "llm", module)


def gguf_of(model: Path, cache: Path, quantisation: str = "q8_0") -> Path:
    """The model as GGUF: itself when it is a GGUF file, else converted once and kept in `cache` by content."""
    if model.is_file():
        with model.open("rb") as opened:
            magic = opened.read(4)
        if magic != b"GGUF":
            raise CandidateError(f"expected a GGUF file, found something else in {str(model)!r}; fetch it again")
        return model
    if not (model / "config.json").is_file():
        raise CandidateError(f"expected the folder of a language model, found no config.json in {str(model)!r}")
    if quantisation not in QUANTISATIONS:
        known = ", ".join(QUANTISATIONS)
        raise CandidateError(
            f"expected quantisation among {known}, received {quantisation!r} (llama.cpp's own llama-quantize makes "
            "others of an export in bf16)"
        )
    key = digest_json([EXPORT_VERSION, version("gguf"), quantisation, _digests(model)])

    def make(made: Path) -> None:
        from bakeoff.engines.gguf_export import model_to_gguf

        model_to_gguf(model, made, quantisation=quantisation, pre_tokenizer=_pre_tokenizer(model))

    return derived(cache / FOLDER / f"{key}.gguf", make)


def adapter_gguf_of(model: Path, adapter: Path, cache: Path) -> Path:
    """The adapter as GGUF, converted once and kept in `cache` by content."""

    def make(made: Path) -> None:
        from bakeoff.engines.gguf_export import adapter_to_gguf

        adapter_to_gguf(model, adapter, made)

    key = digest_json([EXPORT_VERSION, version("gguf"), _digests(adapter)])
    return derived(cache / FOLDER / f"lora-{key}.gguf", make)


def _digests(folder: Path) -> list[list[str]]:
    wanted = ("*.safetensors", "config.json", "adapter_config.json", "tokenizer*.json", "chat_template.jinja")
    files = sorted(file for pattern in wanted for file in folder.glob(pattern))
    return [[file.name, digest_file(file)] for file in files]


def _pre_tokenizer(model: Path) -> str:
    """llama.cpp's name of the rule that splits texts as the model's own tokenizer does, found by trying.

    Raises:
        CandidateError: none does.
    """
    from transformers import AutoTokenizer

    from bakeoff.engines.gguf_export import model_to_gguf

    tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    expected = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in PROBES]
    with tempfile.TemporaryDirectory() as scratch:
        small = Path(scratch) / "small"
        _shrink(model, small)
        for name in PRE_TOKENIZERS:
            file = Path(scratch) / f"{name}.gguf"
            model_to_gguf(small, file, quantisation="f16", pre_tokenizer=name)
            session = _Session(file, None, None, threads=1, context=64, parallel=1)
            try:
                if [session.tokenise(text, special=False) for text in PROBES] == expected:
                    return name
            finally:
                session.close()
    tried = ", ".join(PRE_TOKENIZERS)
    raise CandidateError(
        f"expected one of llama.cpp's pre-tokenizers ({tried}) to split texts as the model's own, found none; "
        "use engine transformers"
    )


def _shrink(model: Path, folder: Path) -> None:
    """A model with the same tokenizer and hardly any weights: enough to ask how llama.cpp splits texts."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1}
    config.update({**sizes, "num_key_value_heads": 1, "head_dim": 32})
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:1]
    with torch.random.fork_rng(), contextlib.redirect_stderr(io.StringIO()):  # its progress bar cannot be turned off
        AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)


class _Session:
    """One llama.cpp server in a process of its own."""

    def __init__(
        self,
        file: Path,
        lora: Path | None,
        words: ChatTokens | None,
        *,
        threads: int,
        context: int,
        parallel: int,
        kv_cache: str = "f16",
    ) -> None:
        self._words = words
        self.concurrency = parallel + BEHIND
        self.files = digests_of(file, lora)
        self.weights_bytes = sum(each.stat().st_size for each in (file, lora) if each is not None)
        self._context, self._schemas = context, SchemaCheck(self._ask)
        self._process = LlamaProcess(
            LlamaSettings(
                file=str(file),
                lora=None if lora is None else str(lora),
                threads=threads,
                context=context,
                parallel=parallel,
                answers=self.concurrency,
                kv_cache=kv_cache,
            )
        )

    def chat(self, messages: Messages, sampling: Sampling) -> Iterator[Piece]:
        """The answer, piece by piece; see `bakeoff.core.generation.TextSession`."""
        if sampling.tools and not self.takes_tools:
            raise OptionError(
                "tools", "expected it to be left out: the chat template of this model has no place for it"
            )
        sampling.require(ABLE | TOOLS if sampling.tools else ABLE, "the engine llamacpp")
        if self._words is not None:
            self._words.require(sampling.logit_bias)
        if sampling.json_schema is not None:
            self._schemas.require(sampling.json_schema)
        asked = self._request(messages, sampling)
        # Where it is given token ids, its own template and tokenizer have no say.
        path = "/v1/completions" if "prompt" in asked else "/v1/chat/completions"
        try:
            with contextlib.closing(self._process.stream(path, asked)) as chunks:
                yield from _pieces(chunks, sampling.top_logprobs, self._ends)
        except RefusedRequest as refused:
            raise _refusal(refused.body, _option_of(asked)) from refused

    def _request(self, messages: Messages, sampling: Sampling) -> dict[str, Any]:
        """The request in llama.cpp's dialect, whose defaults (min_p, top_k, the order of its steps) are not ours."""
        asked: dict[str, Any] = request_of(messages, sampling) | {
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "samplers": ["penalties", "temperature", "min_p", "top_k", "top_p"],
            "cache_prompt": True,
        }
        if sampling.tools:  # its own template and parser know how models write calls of tools
            self._refuse_control(messages)
            chosen = [tool for tool in sampling.tools if tool["name"] == sampling.tool_choice]
            asked |= {"parallel_tool_calls": sampling.parallel_tools}
            if chosen:  # it knows no choice by name: the others are not shown
                asked |= {"tools": functions_of(chosen), "tool_choice": "required"}
        elif self._words is not None:
            asked = _of_ids(asked, self._words.prompt(messages), sampling)
        if sampling.seed is not None:
            asked["seed"] = sampling.seed % SEEDS
        if sampling.top_logprobs is not None:
            asked["top_logprobs"] = max(1, sampling.top_logprobs)  # for none it gives no log-probabilities at all
        if sampling.frequency_penalty:
            # It looks back as far as it is told, at a price in memory for each token: no farther than there are tokens.
            # It takes the penalty off for the prompt's tokens too: their share of it is given back as a bias.
            given: list[int] | None = asked.get("prompt")
            shown = [each["function"] for each in asked.get("tools", ())]
            bias = Counter(given or self.own_render(messages, shown))
            weighed = {token: count * sampling.frequency_penalty for token, count in bias.items()}
            for token, own in sampling.logit_bias.items():
                weighed[token] = weighed.get(token, 0.0) + own
            asked |= {
                "repeat_last_n": self._context,
                "logit_bias": {str(token): value for token, value in weighed.items()},
            }
        return asked

    def _refuse_control(self, messages: Messages) -> None:
        """Where llama.cpp makes the tokens, a text that spells control tokens would be read as such."""
        if self._words is None:
            return
        for message in messages:
            written = json.dumps(dict(message), ensure_ascii=False)  # calls of earlier answers hold users' words, too
            control = [token for token in self._words.control if token in written]
            if control:
                raise DataError(
                    f"expected messages without the model's control tokens beside tools, received {control[0]!r}; "
                    "leave them out, or ask without tools"
                )

    @cached_property
    def _ends(self) -> frozenset[int]:
        """Tokens that end an answer and are no part of it: llama.cpp lists the one that came, without a text."""
        words = self._words
        return frozenset() if words is None else frozenset({*words.control.values(), words.end, words.eos} - {None})

    @cached_property
    def takes_tools(self) -> bool:
        """Whether the model's template has a place for tools."""
        return "tools" in str(self._ask("/props").get("chat_template", ""))

    def render(self, messages: Messages, tools: Sequence[Tool] = ()) -> list[int]:
        """The token ids of the prompt."""
        if self._words is None or (tools and self.takes_tools):
            return self.own_render(messages, tools)
        return self._words.prompt(messages)

    def own_render(self, messages: Messages, tools: Sequence[Tool] = ()) -> list[int]:
        """The token ids that the file's own template and tokenizer would make."""
        asked: dict[str, Any] = {"messages": [dict(message) for message in messages]}
        if tools:
            asked["tools"] = functions_of(tools)
        prompt = self._ask("/apply-template", asked)["prompt"]
        return self.tokenise(prompt, special=True)

    def own_special(self) -> tuple[str, str]:
        """See `bakeoff.engines.fidelity.OwnWords`."""
        told = self._ask("/props")
        return str(told.get("bos_token", "")), str(told.get("eos_token", ""))

    def tokenise(self, text: str, *, special: bool) -> list[int]:
        """Token ids of a text; `special`: with those that open a prompt, and special tokens in it are read as such."""
        return self._ask("/tokenize", {"content": text, "add_special": special, "parse_special": special})["tokens"]

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """This server generates; texts are embedded by the family `embedding`."""
        raise DataError(f"expected a chat request, received {len(texts)} texts to embed; serve an encoder for that")

    def close(self) -> None:
        """Free the model."""
        self._process.close()

    def _ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            return self._process.ask(path, body)
        except RefusedRequest as refused:
            raise _refusal(refused.body, _option_of(body or {})) from refused


def _of_ids(asked: dict[str, Any], ids: list[int], sampling: Sampling) -> dict[str, Any]:
    """The request for what follows token ids."""
    body = {key: value for key, value in asked.items() if key not in {"messages", "logprobs", "top_logprobs"}}
    body.pop("response_format", None)
    if sampling.json_schema is not None:
        body["json_schema"] = dict(sampling.json_schema)
    if sampling.top_logprobs is not None:
        body["logprobs"] = max(1, sampling.top_logprobs)  # for none it gives no log-probabilities at all
    return {**body, "prompt": ids}


def _pieces(
    chunks: Iterable[dict[str, Any]], top_logprobs: int | None, ends: frozenset[int] = frozenset()
) -> Iterator[Piece]:
    """Pieces from what the server says; the last one holds the reason of the end and the counts."""
    finish: Any = None
    usage: dict[str, Any] = {}
    for each in chunks:
        if "error" in each:
            raise _refusal(each["error"])
        usage = each.get("usage") or usage
        for choice in each.get("choices", ()):
            finish = choice.get("finish_reason") or finish
            piece = _piece(choice, top_logprobs, ends)
            if piece is not None:
                yield piece
    yield end_of(finish, usage)


def _piece(choice: dict[str, Any], top_logprobs: int | None, ends: frozenset[int]) -> Piece | None:
    delta = choice.get("delta") or {}
    text, calls = choice.get("text") or delta.get("content") or "", calls_of(delta)
    listed = (choice.get("logprobs") or {}).get("content") or ()
    said = [token for token in listed if token["token"] or token["id"] not in ends]
    if not text and not said and not calls:
        return None
    return Piece(
        text=text,
        calls=calls,
        tokens=tuple(
            Token(
                id=token["id"],
                text=token["token"],
                logprob=token["logprob"],
                top=tuple((other["token"], other["logprob"]) for other in token.get("top_logprobs", ())[:top_logprobs]),
            )
            for token in said
        ),
    )


def _option_of(asked: Mapping[str, Any]) -> str:
    """The option of a request that has a JSON schema."""
    return "tools" if asked.get("tools") and not asked.get("response_format") else "response_format"


def _refusal(error: Any, option: str = "response_format") -> Exception:
    if error.get("type") == TOO_LONG:
        return ContextLengthError(
            f"expected a prompt of at most {error.get('n_ctx')} tokens, received {error.get('n_prompt_tokens')}; "
            "shorten it, or serve with a longer context"
        )
    message = str(error.get("message", error))
    if BAD_SCHEMA in message:
        reason = message.partition(BAD_SCHEMA)[2].strip()
        return OptionError(option, f"expected a JSON schema that llama.cpp can hold to; {reason}")
    return DataError(f"llama.cpp refused the request: {message}")
