"""Fit a quantized network to its teacher without training, part by part, on rows without labels.

All rows pass through the network once. Just before a part runs, it is fitted to its actual inputs: levels to the values
that they represent, weights to what the teacher's corresponding part computes. Each part thus compensates for the
errors of the parts before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..errors import InputError
from ..nn import ActivationQuantizer, QuantizedLinear, StoredQuantizer
from ..topology import CONNECTION, Site
from .calibrate import existing, fit_store, mask_of, place_levels
from .encoders import encoder_of
from .placement import absolute_densities, scale_for_density
from .quantized import QuantizedForSequenceClassification
from .rounding import Moments, least_squares, round_weights
from .watching import Batch, evaluating, tensors, watching

TOKENS, VALUES = 12288, 2**20
"""Maximum numbers of tokens on which weights are fitted, and of values on which levels are placed."""

STIFFNESS, HEAD_STIFFNESS = 0.3, 1.0
"""Strength of the regularization toward the teacher's weights (:func:`~.rounding.least_squares`), of connections
and of the classifier. Few tokens alone do not determine the weights.
"""

NORMS = {"output": "attention_norm", "ffn2": "feed_forward_norm"}
"""For each connection that adds to the residual stream, the norm that reads the sum."""

RESIDUAL = {"output": "input", "ffn2": "hidden"}
"""For each connection that adds to the residual stream, the population that reads the stream before the sum."""


@torch.no_grad()
def match(
    network: QuantizedForSequenceClassification,
    teacher: PreTrainedModel,
    batches: Iterable[Batch],
    silent_share: float | None = None,
    densities: Mapping[str, float] | None = None,
) -> None:
    """Fit a network that :func:`matterhorn.quantize` made to what its teacher computes on some rows.

    It sets scales, gains, zero points, silent levels, weights and biases. Embeddings, norms and pooler stay.

    Args:
        network: a network that was not fitted or trained before.
        teacher: the model that it was quantized from.
        batches: rows to fit on; labels are not needed.
        silent_share, densities: see :func:`~.placement.place_densities`, for a network with a dead zone. If one is
            missing, levels are placed to lose as little as possible.

    Raises:
        InputError: the network was fitted or trained before, or belongs to another teacher.
    """
    if any(own.gain is not None and bool((own.gain != 1).any()) for own in network.populations().values()):
        cure = "quantize the teacher anew"
        raise InputError("a network that was fitted or trained before", field="network", cure=cure)
    batch = gather(batches, TOKENS)
    fit = _Fit(network, teacher, batch)
    if silent_share is not None and densities:
        fit.densities = absolute_densities(network.config.formats, fit.present, silent_share, densities)
    parts: dict[Site, nn.Module] = {**network.populations(), **network.stores(), **network.connections()}
    head = {Site(len(network.blocks), "classifier"): network.classifier}
    with watching(parts, fit.fit_part), watching(head, fit.fit_classifier), evaluating(network):
        network.run(**tensors(batch, network.device), every_token=True)


def gather(batches: Iterable[Batch], tokens: int) -> dict[str, Tensor]:
    """Combine random rows of all batches into one, up to this many tokens.

    The longest tenth of the rows is left out, because all others would have to be padded to their length.
    """
    rows: list[dict[str, Tensor]] = []
    for batch in batches:
        present = mask_of(batch)
        given = tensors(batch, torch.device("cpu"))
        given.setdefault("attention_mask", torch.ones_like(given["input_ids"]))
        rows += [{name: values[i][own] for name, values in given.items()} for i, own in enumerate(present)]
    rows = sorted(rows, key=lambda row: len(row["input_ids"]))[: len(rows) - len(rows) // 10]
    drawn: list[dict[str, Tensor]] = []
    room = tokens
    for i in torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)).tolist():
        room -= len(rows[i]["input_ids"])
        if room < 0 and drawn:
            break
        drawn.append(rows[i])
    return {name: nn.utils.rnn.pad_sequence([row[name] for row in drawn], batch_first=True) for name in drawn[0]}


class _Fit:
    """Fits a network part by part.

    Attributes:
        densities: density of events of each population. None: levels lose as little as possible.
        taught: outputs of the teacher's connections (:func:`teacher_outputs`).
        seen: values that reached the network's populations so far, ``[tokens, neurons]`` each.
        first: which tokens are the first of their row, bool ``[tokens]``.
    """

    def __init__(self, network: QuantizedForSequenceClassification, teacher: PreTrainedModel, batch: Batch):
        self.network, self.present = network, mask_of(batch)
        self.densities: Mapping[str, float] | None = None
        self.taught, self.logits = teacher_outputs(teacher, batch, network.config.teacher_blocks)
        for site, linear in network.connections().items():
            if site not in self.taught or self.taught[site].shape[1] != len(linear.weight):
                cure = "give the one that the network was quantized from"
                raise InputError("of other sizes than the network", field="teacher", cure=cure)
        self.seen: dict[Site, Tensor] = {}
        first = torch.zeros_like(self.present)
        first[:, 0] = True
        self.first = first[self.present]

    def fit_part(self, site: Site, module: nn.Module, x: Tensor) -> None:
        """Fit the part that is about to run on ``x``."""
        x = existing(x, self.present, site.part)
        if isinstance(module, ActivationQuantizer):
            self.seen[site] = x
            place_levels(module, thinned(x), site.part)
            if self.densities:
                scale_for_density(module, thinned(x), self.densities[site.part])
        elif isinstance(module, StoredQuantizer):
            fit_store(module, thinned(x))
        elif isinstance(module, QuantizedLinear):
            self.fit_weights(site, module, x)

    def fit_classifier(self, _: Site, classifier: nn.Linear, x: Tensor) -> None:
        """Fit the classifier to the teacher's logits."""
        moments = Moments.of(x, self.logits, torch.ones(len(x)))
        weight = least_squares(moments, classifier.weight, HEAD_STIFFNESS)
        classifier.weight.copy_(weight)
        classifier.bias.copy_(moments.y - weight @ moments.x)

    def fit_weights(self, site: Site, linear: QuantizedLinear, levels: Tensor) -> None:
        """Fit weights and bias of a connection."""
        feed = self.network.layers()[site.block].feed(site.part)
        weight = linear.weight if feed.gain is None else linear.weight / feed.positive_gain
        prior, wanted = self.goal(site, weight)
        moments = Moments.of(levels * feed.positive_scale, wanted, self.importance(site))
        real = least_squares(moments, prior, STIFFNESS)
        integers, scale = round_weights(real, moments.xx, linear.kind)
        linear.fill(integers, scale, real / scale[:, None])
        linear.bias.copy_(moments.y - scale * (integers @ moments.x))

    def importance(self, site: Site) -> Tensor:
        """Return the weight of each token in the fit.

        Where only the first token's output is used later, first tokens weigh as much as all others together.
        """
        first = self.first
        if CONNECTION[site.part].every_token or not self.network.config.formats.shape.is_cut(site.block):
            return torch.ones(len(first))
        return torch.where(first, 1 / first.sum(), 1 / (~first).sum().clamp(min=1))

    def goal(self, site: Site, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights that reproduce the teacher without quantization, and their outputs ``[tokens, out]``.

        Keys and values are centered, and their channels are scaled to similar sizes. The weights of the queries and of
        the output compensate for this.

        Args:
            weight: the teacher's weights for inputs without gains, ``[out, in]``.
        """
        wanted, name = self.taught[site].float(), site.part
        if name in NORMS:
            wanted = wanted - self.seen[Site(site.block, RESIDUAL[name])]
        if name == "output":
            return weight * self.size(Site(site.block, "value")), wanted
        if name in ("key", "query"):
            size = self.size(Site(site.block, "key"))
            if self.network.config.kv_bits > 1:  # (one bit keeps no size: then all of it goes to the queries)
                size = (size / self.size(Site(site.block, "query"))).sqrt()
            size = size if name == "key" else 1 / size
        elif name == "value":
            size = self.size(site)
        else:
            return weight, wanted
        center = 0 if name == "query" else wanted.mean(0)
        return weight / size[:, None], (wanted - center) / size

    def size(self, site: Site) -> Tensor:
        """Standard deviation of the teacher's outputs, ``[out]``."""
        return self.taught[site].float().std(0).clamp(min=1e-6)


def thinned(x: Tensor) -> Tensor:
    """Select evenly spaced rows of ``[n, neurons]``, so that there are at most :data:`VALUES` values."""
    return x[:: -(-x.numel() // VALUES)]


def teacher_outputs(
    teacher: PreTrainedModel, batch: Batch, blocks: Sequence[int] | None = None
) -> tuple[dict[Site, Tensor], Tensor]:
    """Run a teacher, and return the outputs of its connections and its logits.

    Args:
        blocks: numbers of the blocks to record. None: all. Sites of the result number these blocks from 0.

    Returns:
        Outputs for existing tokens, bfloat16 ``[tokens, out]`` by site. Those of the connections in :data:`NORMS`
        include the residual stream. The logits are float32 ``[batch, outputs]``.
    """
    found: dict[Site, Tensor] = {}
    present = mask_of(batch).to(teacher.device)
    layers = list(enumerate(encoder_of(teacher).parts(teacher, blocks)))
    norms = {Site(i, name): parts[norm] for i, parts in layers for name, norm in NORMS.items()}
    linears = {Site(i, name): parts[name] for i, parts in layers for name in ("query", "key", "value", "ffn1")}

    def keep(site: Site, module: nn.Module, x: Tensor) -> None:
        found[site] = (x[present] if site.part in NORMS else module.forward(x[present])).bfloat16()

    with watching(norms | linears, keep), evaluating(teacher):
        logits = teacher(**tensors(batch, teacher.device)).logits
    return found, logits.float()
