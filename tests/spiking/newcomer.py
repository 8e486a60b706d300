"""A newcomer's rows and classifier: three small sets under names of their own, a MiniLM fine-tuned by ``Trainer``.

Run as a program it prints how a set is spiked: ``python -m tests.spiking.newcomer GLUE_DIR OUTPUT`` lays rows and
classifiers; ``matterhorn spike`` does the rest (docs/your-bert.md has the figures).
"""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Row = tuple[str, ...]


class Case(NamedTuple):
    """A set: its columns of text, its label, and whether that is a score."""

    text: list[str]
    label: str
    is_score: bool = False


CASES = {
    "forum": Case(["ours", "theirs"], "verdict"),
    "kinds": Case(["line"], "kind"),
    "likeness": Case(["first", "second"], "likeness", is_score=True),
}
"""Two labels of a pair, four labels of a line, and a score of a pair."""

TRAIN, EVAL = 500, 400


def rows_of(glue_dir: Path, name: str) -> list[Row]:
    """Rows of a set in random order, texts and then the label."""
    draw = random.Random(7)

    def drawn(folder: str, *columns: str | int) -> list[Row]:
        lines = (glue_dir / folder / "train.tsv").read_text(encoding="utf-8-sig").split("\n")
        head = lines[0].rstrip("\r").split("\t")
        places = [column if isinstance(column, int) else head.index(column) for column in columns]
        cells = (line.rstrip("\r").split("\t") for line in lines[1:])
        rows = [tuple(row[i].strip() for i in places) for row in cells if len(row) > max(places)]
        rows = list(dict.fromkeys(row for row in rows if all(row)))
        draw.shuffle(rows)
        return rows

    if name == "likeness":
        return drawn("STS-B", "sentence1", "sentence2", "score")[: TRAIN + EVAL]
    if name == "forum":
        pairs = drawn("QQP", "question1", "question2", "is_duplicate")
        kinds = {"unrelated": [r[:2] for r in pairs if r[2] == "0"], "same": [r[:2] for r in pairs if r[2] == "1"]}
    else:
        sources = {"question": "question", "passage": "sentence"}
        kinds = {kind: drawn("QNLI", column) for kind, column in sources.items()}
        kinds |= {"caption": drawn("STS-B", "sentence1"), "grammar": drawn("CoLA", 3)}
    each = (TRAIN + EVAL) // len(kinds)
    rows = [(*row, kind) for kind, found in kinds.items() for row in found[:each]]
    draw.shuffle(rows)
    return rows


def lay(glue_dir: Path, folder: Path, name: str) -> float:
    """Write ``train.csv`` and ``dev.csv`` of a set and fine-tune its ``teacher``; returns the teacher's metric on
    ``dev.csv``."""
    case, rows = CASES[name], rows_of(glue_dir, name)
    folder.mkdir(parents=True)
    for split, some in (("train", rows[:TRAIN]), ("dev", rows[TRAIN:])):
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([(*case.text, case.label), *some])
    return fine_tune(folder, case, rows[:TRAIN], rows[TRAIN:])


def fine_tune(folder: Path, case: Case, train: list[Row], dev: list[Row]) -> float:
    """What a tutorial of Hugging Face does."""
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments, set_seed

    from matterhorn.distill.teacher import locate

    set_seed(0)
    base = locate("minilm-l6")
    tokenizer = AutoTokenizer.from_pretrained(base)
    names = [] if case.is_score else sorted({row[-1] for row in train})
    about: dict[str, Any] = {"num_labels": 1, "problem_type": "regression"}
    if names:
        about = {"id2label": dict(enumerate(names)), "label2id": {name: number for number, name in enumerate(names)}}
    model = AutoModelForSequenceClassification.from_pretrained(base, **about)
    model.bert.embeddings.requires_grad_(False)

    def dataset(rows: list[Row]) -> Dataset:
        texts = [list(column) for column in list(zip(*rows, strict=True))[:-1]]
        labels = [float(row[-1]) if case.is_score else names.index(row[-1]) for row in rows]
        return Dataset.from_dict({**tokenizer(*texts, truncation=True, max_length=128), "labels": labels})

    arguments = TrainingArguments(
        str(folder / "trainer"),
        num_train_epochs=6,
        per_device_train_batch_size=16,
        learning_rate=1.5e-4,
        warmup_steps=25,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    trainer = Trainer(model, arguments, train_dataset=dataset(train), processing_class=tokenizer)
    trainer.train()
    answers, labels, _ = trainer.predict(dataset(dev))
    for part in (model, tokenizer):
        part.save_pretrained(folder / "teacher")
    assert isinstance(answers, np.ndarray) and isinstance(labels, np.ndarray)
    if case.is_score:
        return float(np.corrcoef(answers[:, 0], labels)[0, 1])
    return float((answers.argmax(-1) == labels).mean())


if __name__ == "__main__":
    for chosen in CASES:
        print(chosen, lay(Path(sys.argv[1]), Path(sys.argv[2]) / chosen, chosen), flush=True)
