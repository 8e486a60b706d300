"""Building the quantised network from a fine-tuned BERT classifier, and calibrating its steps and silent levels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..coding import READ_UNIT, level_histogram, mean_of_silent, most_frequent
from ..nn import ActivationQuantiser, StoredQuantiser
from .config import MatterhornConfig, kind_of

if TYPE_CHECKING:
    from transformers import BertForSequenceClassification

    from .quantised import MatterhornForSequenceClassification

SHARED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
    "pad_token_id",
    "id2label",
    "label2id",
    "problem_type",
)

COPIES = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feed_forward.ffn1": "intermediate.dense",
    "feed_forward.ffn2": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
}
"""Where a block's weights come from in a BERT layer."""


def from_bert(teacher: BertForSequenceClassification, **options: Any) -> MatterhornForSequenceClassification:
    """A quantised network with a teacher's weights. ``options`` go to :class:`MatterhornConfig`.

    With an ``intermediate_size`` of several times the teacher's, every FFN neuron is there as often
    (:func:`~.widen.widen`). Steps are not set yet: run :func:`calibrate_steps` on some batches, then train.
    """
    from .quantised import MatterhornForSequenceClassification
    from .widen import widen

    middle = options.pop("intermediate_size", teacher.config.intermediate_size)
    shared = {name: getattr(teacher.config, name) for name in SHARED}
    student = MatterhornForSequenceClassification(MatterhornConfig(**shared, **options))
    bert = teacher.bert
    with torch.no_grad():
        for name in student.embeddings.TABLES:
            source = "token_type" if name == "segment" else name
            student.embeddings.fill(name, getattr(bert.embeddings, f"{source}_embeddings").weight)
        _copy(student.embeddings.norm, bert.embeddings.LayerNorm)
        student.embeddings.requires_grad_(False)
        for block, layer in zip(student.layers(), bert.encoder.layer, strict=True):
            for own, other in COPIES.items():
                _copy(block.get_submodule(own), layer.get_submodule(other))
        _copy(student.pooler, bert.get_submodule("pooler.dense"))
        _copy(student.classifier, teacher.classifier)
    return widen(student, middle)


def _copy(target: nn.Module, source: nn.Module) -> None:
    target.load_state_dict(source.state_dict())


Batches = Iterable[dict[str, Tensor]]


def calibrate_steps(model: MatterhornForSequenceClassification, batch: dict[str, Tensor]) -> None:
    """Start every learned step where it quantises one batch with the least squared error, layer after layer."""

    def start(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].detach().float()
        if isinstance(module, ActivationQuantiser):
            x = module.amplify(x).detach().flatten()
            best = least_squares_step(x, -module.zero, module.top - module.zero)
        else:
            assert isinstance(module, StoredQuantiser)
            best = x.abs().mean() if module.bits == 1 else least_squares_step(x, module.low, module.high)
        module.step.data.copy_(best)

    kinds = (ActivationQuantiser, StoredQuantiser)
    hooks = [m.register_forward_pre_hook(start) for m in model.modules() if isinstance(m, kinds)]
    run_batches(model, [batch])
    for hook in hooks:
        hook.remove()


def least_squares_step(x: Tensor, low: int, high: int, candidates: int = 40) -> Tensor:
    """Of steps from a fiftieth of the one that covers all of x up to that one, the one with the least squared error."""
    widest = x.abs().max().clamp(min=1e-3) / max(high, -low, 1)
    steps = widest * torch.logspace(-1.7, 0, candidates)
    errors = torch.stack([((x / s).round().clamp(low, high) * s - x).square().sum() for s in steps])
    return steps[errors.argmin()]


def existing(x: Tensor, present: Tensor, kind: str) -> Tensor:
    """Values of existing tokens, ``[n, neurons]``; of attention probabilities those between existing tokens."""
    if kind != "probabilities":
        return x[present]
    return x[(present[:, None, :, None] & present[:, None, None, :]).expand(x.shape)].unsqueeze(-1)


def level_histograms(model: MatterhornForSequenceClassification, batches: Batches) -> dict[str, Tensor]:
    """How often each neuron of each population holds each level before masking, int64 ``[neurons, T + 1]``."""
    counts: dict[str, Tensor] = {}
    present: list[Tensor] = []

    def count(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            rows = existing(module.levels(inputs[0]), present[0], kind_of(name))  # type: ignore[operator]
            own = level_histogram(rows, module.bits)  # type: ignore[arg-type]
            counts[name] = counts[name] + own if name in counts else own

        return hook

    hooks = [m.register_forward_pre_hook(count(name)) for name, m in model.populations().items()]
    for batch in batches:
        present[:] = [batch["attention_mask"].bool()]
        run_batches(model, [batch])
    for hook in hooks:
        hook.remove()
    return counts


def choose_silence(
    model: MatterhornForSequenceClassification,
    histograms: dict[str, Tensor],
    *,
    per: str | None = None,
    mean: bool = False,
) -> None:
    """Give every population its most frequent level as the silent one.

    Args:
        per: "neuron" or "tensor" (one level for all neurons); None: as the network's config says.
        mean: silence is read as the mean of what falls silent, else as the silent level itself.
    """
    per = per or model.config.silence_per
    for name, population in model.populations().items():
        histogram = histograms[name]
        if per == "tensor" or len(population.silent) == 1:
            histogram = histogram.sum(0, keepdim=True)
        silent = most_frequent(histogram)
        reads = mean_of_silent(histogram, silent, population.dead_zone) if mean else READ_UNIT * silent
        population.silent.copy_(silent.expand(len(population.silent)))
        population.reads.copy_(reads.expand(len(population.reads)))


def settle_silence(
    model: MatterhornForSequenceClassification, batches: list[dict[str, Tensor]], *, per: str | None = None
) -> None:
    """Choose silent levels from what the network does on some batches, its dead zone as it is.

    Silence is read as its mean if it is now. Once: choosing again from what the choice makes of the levels moves
    silence further from what was trained.
    """
    mean = any(population.code.reads is not None for population in model.populations().values())
    choose_silence(model, level_histograms(model, batches), per=per, mean=mean)


def run_batches(model: nn.Module, batches: Batches) -> None:
    """Run batches in evaluation, for what hooks do on the way."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for batch in batches:
            model(**{k: v for k, v in batch.items() if k != "labels"})
    model.train(was_training)
