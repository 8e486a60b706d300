"""Scores of one network on several chips."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import resources

import torch
from tokenizers import Tokenizer
from torch import Tensor

from ..engines import Engine, classify
from ..engines.analog import AnalogEngine, sample_kernels
from ..engines.answer import encode_text
from ..models.spiking import SpikingNetwork
from ..msu import ArrayBank
from ..training.data import Tokens
from ..training.evaluate import batches_of
from ..training.metrics import compute_metrics
from ..training.tasks import Task

Progress = Callable[[Iterable], Iterable]


@dataclass(frozen=True)
class Run:
    """A network and the rows it is scored on. ``sample``: kernels that capacitors are sized for (None: the worst)."""

    network: SpikingNetwork
    tokens: Tokens
    task: Task
    sample: Mapping[str, Tensor] | None = None

    def score(self, engine: Engine) -> float:
        """The task's main metric."""
        logits = torch.empty(len(self.tokens), len(self.network.classifier.bias))
        for rows, batch in batches_of(self.tokens, 32):
            inputs = batch["input_ids"], batch["token_type_ids"], batch["attention_mask"].bool()
            logits[rows] = classify(self.network, *inputs, engine)
        labels = torch.tensor(self.tokens.labels).numpy()
        return compute_metrics(self.task, logits.numpy(), labels)[self.task.metrics[0]]

    def on_chip(self, bank: ArrayBank, seconds: float = 0.0, progress: Progress = iter) -> AnalogEngine:
        """The network written to a chip; its reads are seeded by the chip's seed."""
        return AnalogEngine(
            self.network, bank, seconds=seconds, sample=self.sample, read_seed=bank.seed, progress=progress
        )

    def scores(
        self, bank: ArrayBank, seeds: Iterable[int], seconds: float = 0.0, progress: Progress = iter
    ) -> list[float]:
        """Scores of the bank's chips of these seeds."""
        return [self.score(self.on_chip(replace(bank, seed=seed), seconds)) for seed in progress(seeds)]


def spread(scores: list[float]) -> float:
    """Standard deviation over chips; 0 for one."""
    return statistics.stdev(scores) if len(scores) > 1 else 0.0


def sizing_sample(network: SpikingNetwork, tokenizer: Tokenizer) -> dict[str, Tensor]:
    """Kernels of the 24 sentences that come with the package: no row of any benchmark sizes a capacitor."""
    text = resources.files("matterhorn").joinpath("samples", "sst2.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    coded = [encode_text(tokenizer, row["sentence"], network.config.max_position_embeddings)[0][0] for row in rows]
    tokens = torch.nn.utils.rnn.pad_sequence(coded, batch_first=True)
    lengths = torch.tensor([len(one) for one in coded])
    present = torch.arange(tokens.shape[1]) < lengths[:, None]
    return sample_kernels(network, tokens, torch.zeros_like(tokens), present)
