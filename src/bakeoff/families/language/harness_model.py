# pyright: basic, reportMissingImports=false
# torch, transformers and lm_eval come without complete types, lm_eval only with the extra `harness`
"""A language model of ours as the LM Evaluation Harness asks for it."""

import json
from collections.abc import Sequence
from typing import Any

from bakeoff.core.errors import CandidateError
from bakeoff.core.protocols import Progress
from bakeoff.families.language.backbone import Backbone, by_length
from bakeoff.families.language.library_output import quietly

__all__ = ["harness_model"]

MAX_NEW_TOKENS = 256
"""What a task that names no limit gets, as in the harness's own models."""


def harness_model(loaded: Backbone, *, batch: int, progress: Progress) -> Any:
    """An `lm_eval.api.model.LM` of a decoder that reads `batch` texts at once."""
    from lm_eval.api.model import TemplateLM

    class Model(_Answers, TemplateLM):
        """What the harness knows of tokens and contexts, with answers of ours."""

    return Model(loaded, batch=batch, progress=progress)


class _Answers:
    """Likelihoods and answers of the trained weights; texts become tokens as in the harness's own models."""

    def __init__(self, loaded: Backbone, *, batch: int, progress: Progress) -> None:
        super().__init__()
        self._loaded, self._batch, self._progress = loaded, batch, progress
        self.tokenizer = loaded.tokenizer
        self._device = loaded.device

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return self.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        """The token before a text that follows nothing."""
        first = self.tokenizer.bos_token_id
        return self.eot_token_id if first is None else first

    @property
    def max_length(self) -> int:
        """The most tokens that the model can read."""
        return self._loaded.context

    @property
    def tokenizer_name(self) -> str:
        """What tells this tokenizer from others."""
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:  # noqa: FBT001 - the harness's shape
        """Token ids; special tokens as the tokenizer adds them, unless the text begins with the first one."""
        if add_special_tokens is None:
            add_special_tokens = not string.startswith(self.tokenizer.decode(self.prefix_token_id))
        return self.tokenizer.encode(string, add_special_tokens=add_special_tokens)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:  # noqa: FBT001, FBT002 - the harness's shape
        """A conversation as the model was taught to read it."""
        return self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:  # noqa: ARG002, FBT001, FBT002 - the harness's shape
        """The log-probability of each whole text; one that is longer than the context is read in windows."""
        from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

        windows: list[tuple[None, list[int], list[int]]] = []
        owners: list[int] = []
        for number, request in enumerate(requests):
            rolling = get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0]),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )
            found = [(None, *make_disjoint_window(window)) for window in rolling]
            windows += found
            owners += [number] * len(found)
        total_n = [0.0] * len(requests)
        for owner, (likely, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            total_n[owner] += likely
        return total_n

    def _loglikelihood_tokens(self, requests: Any, **_: Any) -> list[tuple[float, bool]]:
        """The log-probability of each answer after its context, and whether greedy decoding would say it.

        What several requests let the model read (answers that differ in the last token alone) is read once.
        """
        found: list[tuple[float, bool]] = [(0.0, True)] * len(requests)
        asked: dict[tuple[int, ...], list[int]] = {}
        for at, (_text, context, answer) in enumerate(requests):
            if len(answer) > self.max_length:
                raise CandidateError(
                    f"expected texts of at most {self.max_length} tokens after a prompt, received one of {len(answer)}"
                )
            if answer:
                asked.setdefault(tuple([*context, *answer][-(self.max_length + 1) : -1]), []).append(at)
        inputs = list(asked)
        done = 0
        for batch in by_length(inputs, self._batch):
            answers = {i: {at: requests[at][2] for at in asked[inputs[i]]} for i in batch}
            for told in self._read([inputs[i] for i in batch], [answers[i] for i in batch]):
                for at, outcome in told.items():
                    found[at] = outcome
            done += len(batch)
            self._tell(done, len(inputs))
        return found

    def _read(
        self, inputs: Sequence[Sequence[int]], answers: Sequence[dict[int, list[int]]]
    ) -> list[dict[int, tuple[float, bool]]]:
        import torch

        first_b = [len(ids) - max(map(len, each.values())) for ids, each in zip(inputs, answers, strict=True)]
        kept = sorted({t for ids, first in zip(inputs, first_b, strict=True) for t in range(first, len(ids))})
        place = {t: at for at, t in enumerate(kept)}
        with torch.inference_mode():
            ids_bt, _ = self._loaded.padded(inputs)
            kept_t = torch.tensor(kept, device=ids_bt.device)
            logits_btv = self._loaded.model(input_ids=ids_bt, use_cache=False, logits_to_keep=kept_t).logits
            found: list[dict[int, tuple[float, bool]]] = []
            for b, (ids, each) in enumerate(zip(inputs, answers, strict=True)):
                rows = [place[t] for t in range(first_b[b], len(ids))]
                logprob_tv = logits_btv[b, rows].float().log_softmax(-1)
                found.append({at: _of(logprob_tv[-len(answer) :], answer) for at, answer in each.items()})
        return found

    def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:  # noqa: ARG002, FBT001, FBT002 - the harness's shape
        """The answer to each prompt up to the first of its stop strings."""
        from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

        said = [""] * len(requests)
        alike: dict[str, list[int]] = {}
        for at, request in enumerate(requests):
            alike.setdefault(json.dumps(request.args[1], sort_keys=True), []).append(at)
        done = 0
        for rows in alike.values():
            settings: dict[str, Any] = dict(normalize_gen_kwargs(dict(requests[rows[0]].args[1]), MAX_NEW_TOKENS))
            stops = [
                stop for stop in handle_stop_sequences(settings.pop("until"), eos=self.tokenizer.eos_token) if stop
            ]
            most = settings.pop("max_gen_toks")
            if most >= self.max_length:
                raise CandidateError(
                    f"expected a task whose answers leave room for a prompt in {self.max_length} tokens, received one "
                    f"with answers of {most}; set max_gen_toks in its generation_kwargs"
                )
            prompts = [self.tok_encode(requests[at].args[0])[most - self.max_length :] for at in rows]
            for batch in by_length(prompts, self._batch):
                answers = self._generate([prompts[i] for i in batch], stops, most, settings)
                for i, answer in zip(batch, answers, strict=True):
                    said[rows[i]] = answer
                done += len(batch)
                self._tell(done, len(requests))
        return said

    def _generate(
        self, prompts: Sequence[Sequence[int]], stops: list[str], most: int, settings: dict[str, Any]
    ) -> list[str]:
        """Answers to prompts that are padded at the left, so that all end at the same place."""
        import torch

        width, fill = max(map(len, prompts)), int(self.tokenizer.pad_token_id or 0)
        ids_bt = torch.tensor([[*[fill] * (width - len(ids)), *ids] for ids in prompts], device=self._device)
        mask_bt = torch.tensor([[*[0] * (width - len(ids)), *[1] * len(ids)] for ids in prompts], device=self._device)
        if not settings.get("do_sample"):
            settings = {key: value for key, value in settings.items() if key not in {"temperature", "top_p", "top_k"}}
        with torch.inference_mode(), quietly():
            out_bt = self._loaded.model.generate(
                input_ids=ids_bt,
                attention_mask=mask_bt,
                max_new_tokens=most,
                pad_token_id=fill,
                stop_strings=stops,
                tokenizer=self.tokenizer,
                **settings,
            )
        texts = self.tokenizer.batch_decode(out_bt[:, width:], skip_special_tokens=True)
        return [_until(text, stops) for text in texts]

    def _tell(self, done: int, of: int) -> None:
        step = max(1, of // 10)
        if done == of or done // step > (done - self._batch) // step:
            self._progress(f"{done:,} of {of:,} requests")


def _of(logprob_tv: Any, answer: list[int]) -> tuple[float, bool]:
    import torch

    told_t = torch.tensor(answer, device=logprob_tv.device)
    likely = logprob_tv.gather(1, told_t[:, None]).double().sum()
    return float(likely), bool((logprob_tv.argmax(-1) == told_t).all())


def _until(text: str, stops: Sequence[str]) -> str:
    for stop in stops:
        text = text.partition(stop)[0]
    return text
