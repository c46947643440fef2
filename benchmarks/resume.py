"""Fine-tuning that is killed at random moments, beside the same left alone: both must end at the same loss.

    python benchmarks/resume.py [--rows 480] [--kills 3] [--seed 0]

SmolLM2-135M-Instruct with adapters on short reviews. Each fit is a process of its own; kills are SIGKILL.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from finetune import BATCH, RATE, tables

CACHE = Path(".bench-cache").resolve()


def fit(folder, rows):
    """Fit in this process; print the validation losses."""
    from bakeoff.core.protocols import FitJob
    from bakeoff.core.types import Column, Schema
    from bakeoff.families.language.lora import LoraFamily, LoraParams

    train, held = tables(CACHE, rows)
    columns = (
        Column(name="text", kind="text", dtype="String"),
        Column(name="label", kind="categorical", dtype="String"),
    )
    job = FitJob(
        task="classification",
        schema=Schema(columns=columns, target="label", inputs=("text",)),
        train=train,
        validation=held,
        params=LoraParams(epochs=1, batch=BATCH, learning_rate=RATE, dropout=0.05, checks=5, patience=9),
        metric="accuracy",
        seed=0,
        threads=2,
        cache=folder,
        progress=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(json.dumps(LoraFamily().fit(job).chosen["validation_losses"]), flush=True)


def run(folder, rows, kill_after_s=None):
    """The losses of a fit in a process of its own; None when it was killed after so many seconds of training."""
    asked = [sys.executable, __file__, "--fit", str(folder), "--rows", str(rows)]
    process = subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "going on at" in line:
            print("  " + line.strip())
        if kill_after_s is not None and line.startswith(("step ", "going on at")):
            time.sleep(kill_after_s)
            process.kill()
            process.wait()
            return None
    losses = json.loads(process.stdout.read())
    process.wait()
    return losses


def prepared():
    folder = Path(tempfile.mkdtemp(dir=CACHE))
    (folder / "language").mkdir()
    (CACHE / "language" / "bases").mkdir(parents=True, exist_ok=True)
    (folder / "language" / "bases").symlink_to(CACHE / "language" / "bases")
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", type=Path)
    parser.add_argument("--rows", type=int, default=480)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.fit:
        fit(asked.fit, asked.rows)
        return
    CACHE.mkdir(exist_ok=True)
    alone = run(prepared(), asked.rows)
    folder, rng = prepared(), random.Random(asked.seed)
    for number in range(asked.kills):
        moment = rng.uniform(1, 12)
        print(f"kill {number + 1}: {moment:.1f} s after the first word of training")
        if run(folder, asked.rows, moment) is not None:
            print("  it was through before")
    resumed = run(folder, asked.rows)
    print("left alone      " + "  ".join(f"{step}: {loss:.6f}" for step, loss in alone))
    print("killed, resumed " + "  ".join(f"{step}: {loss:.6f}" for step, loss in resumed))
    print(f"final losses differ by {abs(resumed[-1][1] / alone[-1][1] - 1):.4%} (goal: 0.1 %)")


if __name__ == "__main__":
    main()
