# pyright: basic
# torch comes without complete types
"""The training loop: AdamW, warm-up and cosine, the best weights by validation loss, resumable at any moment.

Source: I. Loshchilov, F. Hutter (2019), "Decoupled Weight Decay Regularization" (AdamW); (2017), "SGDR" (cosine).
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from bakeoff.core.deadline import Deadline
from bakeoff.core.errors import CandidateError
from bakeoff.core.memory import peak_resident_bytes
from bakeoff.core.protocols import Progress
from bakeoff.families.language.backbone import by_length
from bakeoff.families.language.checkpoints import Checkpoint, Position
from bakeoff.families.language.distributed import Group
from bakeoff.families.language.examples import Example, epoch_batches, with_rejected
from bakeoff.families.language.network import Network
from bakeoff.families.language.objectives import Objective

__all__ = ["Recipe", "Trainer"]

Tensor: TypeAlias = Any
TOLD_EVERY_S = 5.0
SAVED_EVERY_S = 30.0
TRAINING = 0.8
"""Of the time of a fit, what training may take."""
MEASURED_STEPS = 3
"""Steps whose time says how many fit into the minutes that are allowed."""
HELD_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train; see the parameters of `lora`."""

    learning_rate: float
    epochs: float
    batch: int
    accumulate: int
    warmup: float
    weight_decay: float
    checks: int
    patience: int
    max_minutes: float | None
    seed: int
    clip: float = 1.0

    def planned(self, rows: int) -> int:
        """Steps in all."""
        return max(1, round(math.ceil(rows / (self.batch * self.accumulate)) * self.epochs))

    def rate(self, step: int, planned: int) -> float:
        """The learning rate of a step: up to the full rate, then down to nothing."""
        up = max(1, round(self.warmup * planned))
        return self.learning_rate * min(1.0, (step + 1) / up) * 0.5 * (1 + math.cos(math.pi * step / planned))


class Trainer:
    """Trains what learns of a network and an objective on examples; alone, or in step with a group of processes."""

    def __init__(
        self,
        network: Network,
        objective: Objective,
        recipe: Recipe,
        *,
        progress: Progress,
        group: Group | None = None,
        deadline: Deadline | None = None,
    ) -> None:
        import torch

        self._network, self._objective, self._recipe, self._progress = network, objective, recipe, progress
        self._deadline = deadline
        self.late = False
        """Whether the deadline ended the training before its time; the checkpoint then stays, to go on from."""
        self._group = group or Group()
        model = network.backbone.model
        self.learned = [*(p for p in model.parameters() if p.requires_grad), *objective.parameters()]
        self._optimiser = torch.optim.AdamW(
            self.learned, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=False
        )
        self._told = self._saved = 0.0

    def run(
        self,
        train: Sequence[Example],
        held: Sequence[Example],
        checkpoint: Checkpoint,
        *,
        planned: int | None = None,
        stop: int | None = None,
    ) -> Position:
        """Train to the planned number of steps (by the recipe unless given) or to `stop`; the best weights stay.

        Without `held` examples the last weights do. Where the same training was cut off, it goes on.

        Raises:
            CandidateError: there is no memory for it.
        """
        import torch

        try:
            return self._run(train, held, checkpoint, planned, stop)
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise self._no_memory() from error
        except RuntimeError as error:
            if "allocate memory" not in str(error):
                raise
            raise self._no_memory() from error

    def _no_memory(self) -> CandidateError:
        batch = self._recipe.batch
        return CandidateError(
            f"no memory for batches of {batch} rows: set batch = {max(1, batch // 2)} with accumulate = 2, "
            "checkpointing = true, fewer layers, a smaller max_tokens or a smaller model (bakeoff models available)"
        )

    def _run(
        self,
        train: Sequence[Example],
        held: Sequence[Example],
        checkpoint: Checkpoint,
        planned: int | None,
        stop: int | None,
    ) -> Position:
        # On other machines a process may have another checkpoint, or none.
        restored = checkpoint.restore(self.learned, self._optimiser) if self._group.agrees(checkpoint.step()) else None
        at = Position(planned=planned or self._recipe.planned(len(train)))
        best: list[Tensor] | None = None
        if restored is not None:
            at, best = restored
            at.resumed.append(at.step)
            self._progress(f"going on at step {at.step} of {at.planned}")
        self._told = self._saved = time.monotonic()
        fits_minutes = planned is None and self._recipe.max_minutes is not None
        for batch in self._batches(train, at):
            if at.step >= (stop or at.planned) or self._is_hopeless(at):
                break
            started = time.monotonic()
            self._step(train, batch, at)
            at.seconds += time.monotonic() - started
            if fits_minutes and at.step == MEASURED_STEPS:
                (seconds,) = self._group.summed(0.0 if self._group.rank else at.seconds)  # all go by the first one's
                most = int((self._recipe.max_minutes or 0) * 60 / seconds * MEASURED_STEPS)
                at.planned = max(MEASURED_STEPS + 1, min(at.planned, most))
            if held and self._is_check(at):
                best = self._checked(held, at, best)
                self._save(checkpoint, at, best)
            self._tell(at)
            if time.monotonic() - self._saved > SAVED_EVERY_S:
                self._save(checkpoint, at, best)
            if self._is_late(at, stop):
                self._save(checkpoint, at, best)  # as it was without the check that follows: it goes on there
                best = self._checked(held, at, best) if held else best
                break
        if best is not None:
            import torch

            with torch.no_grad():
                for tensor, value in zip(self.learned, best, strict=True):
                    tensor.copy_(value)
        else:
            at.best_step = at.step
        return at

    def _checked(self, held: Sequence[Example], at: Position, best: list[Tensor] | None) -> list[Tensor] | None:
        """The best weights so far, the present ones among them."""
        loss = self.loss("held", held)
        at.checks.append((at.step, loss))
        self._progress(f"step {at.step} of {at.planned}: validation loss {loss:.4f}")
        if loss > min(value for _, value in at.checks):
            return best
        at.best_step = at.step
        return [tensor.detach().clone() for tensor in self.learned]

    def _is_late(self, at: Position, stop: int | None) -> bool:
        self.late = at.step < (stop or at.planned) and self._deadline is not None and self._deadline.passed(TRAINING)
        return self.late

    def _save(self, checkpoint: Checkpoint, at: Position, best: Sequence[Tensor] | None) -> None:
        if not self._group.rank:
            checkpoint.save(at, self.learned, self._optimiser, best)
        self._saved = time.monotonic()

    def _batches(self, train: Sequence[Example], at: Position) -> Iterator[list[list[int]]]:
        """The batches of each step from the position on, each in `accumulate` pieces."""
        lengths = [example.length for example in train]
        pieces, size = self._recipe.accumulate, self._recipe.batch
        per_epoch = math.ceil(math.ceil(len(train) / size) / pieces)
        epoch, skip = divmod(at.step, per_epoch)
        while True:
            batches = epoch_batches(lengths, size, seed=self._recipe.seed, epoch=epoch)
            for start in range(skip * pieces, len(batches), pieces):
                yield batches[start : start + pieces]
            epoch, skip = epoch + 1, 0

    def _step(self, train: Sequence[Example], pieces: Sequence[Sequence[int]], at: Position) -> None:
        import torch

        # Dropout of a step is the same after a resume, and another one in each process.
        torch.manual_seed(self._recipe.seed * 1_000_003 + at.step + self._group.rank * 2**40)
        self._network.backbone.model.train()
        for group in self._optimiser.param_groups:
            group["lr"] = self._recipe.rate(at.step, at.planned)
        self._optimiser.zero_grad(set_to_none=True)
        total = weight = 0.0
        for rows in pieces:
            at.tokens += sum(train[row].tokens for row in rows)
            mine = self._group.share(rows)
            if mine:
                summed, count = self._summed("train", mine, train)
                summed.backward()
                total, weight = total + float(summed.detach()), weight + count
        total, weight = self._group.summed(total, weight)
        self._group.sum_gradients(self.learned)
        for tensor in self.learned:
            if tensor.grad is not None:
                tensor.grad /= weight
        torch.nn.utils.clip_grad_norm_(self.learned, self._recipe.clip)
        self._optimiser.step()
        at.step += 1
        share = min(at.step, 20)
        at.smooth_loss += (total / weight - at.smooth_loss) / share

    def _summed(self, part: str, rows: Sequence[int], examples: Sequence[Example]) -> tuple[Tensor, float]:
        """The summed loss of some examples, and what to divide sums by."""
        rows, some = with_rejected(rows, [examples[row] for row in rows])
        return self._objective.loss(*self._network.hidden(part, rows, some), some)

    def loss(self, part: str, examples: Sequence[Example]) -> float:
        """The mean loss over examples."""
        import torch

        self._network.backbone.model.eval()
        total = weight = 0.0
        with torch.no_grad():
            for rows in self._group.share(by_length([range(example.length) for example in examples], HELD_BATCH)):
                summed, count = self._summed(part, rows, examples)
                total, weight = total + float(summed), weight + count
        total, weight = self._group.summed(total, weight)
        return total / weight

    def _is_check(self, at: Position) -> bool:
        every = max(1, at.planned // self._recipe.checks)
        return at.step == at.planned or (at.step % every == 0 and at.planned - at.step >= every // 2)

    def _is_hopeless(self, at: Position) -> bool:
        """Whether as many checks as patience lasts brought nothing better than one before."""
        losses = [loss for _, loss in at.checks]
        late = self._recipe.patience
        return len(losses) > late and min(losses[-late:]) > min(losses[:-late])

    def _tell(self, at: Position) -> None:
        now = time.monotonic()
        if now - self._told < TOLD_EVERY_S:
            return
        self._told = now
        left_s = at.seconds / at.step * (at.planned - at.step)
        gigabytes = peak_resident_bytes() / 2**30
        self._progress(
            f"step {at.step} of {at.planned}: loss {at.smooth_loss:.4f}, {at.tokens / at.seconds:,.0f} tokens/s, "
            f"{left_s / 60:.1f} min left, {gigabytes:.1f} GB"
        )
