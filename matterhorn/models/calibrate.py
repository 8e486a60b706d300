"""Calibration: set scales and silent levels from what a network does on some batches."""

from __future__ import annotations

from collections.abc import Container, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from ..coding import EIGHTHS, level_histogram, mean_of_silent, most_frequent
from ..errors import InputError
from ..nn import ActivationQuantizer, StoredQuantizer
from ..nn.quantizers import Limit
from ..program.text import batches_of
from ..topology import FEEDS_WEIGHTS, POPULATION, Site
from .quantized import QuantizedForSequenceClassification
from .watching import Batch, check_inputs, evaluating, tensors, watching

CANDIDATES = 40
"""Number of scales that are tried. The largest one covers all values; the smallest is a fiftieth of it, or a sixteenth
for single neurons.
"""

LOWEST = 1 - 1 / EIGHTHS
"""Maximum distance, in levels, between the lowest level and what it is read as when it is silent."""

WIDEST = 30
"""Maximum factor between the distance of a neuron's levels and the geometric mean of these distances."""


def calibrate(
    network: QuantizedForSequenceClassification,
    batches: Iterable[Batch] | Batch,
    *,
    teacher: PreTrainedModel | None = None,
    mean_silence: bool = True,
) -> None:
    """Set the scales and silent levels of a network. Afterward it can be run, trained and converted.

    Scales are set layer by layer on the largest batch; each minimizes the squared quantization error. The silent levels
    are the most frequent ones over all batches. With a teacher, everything that is possible without training is done as
    well: levels are placed neuron by neuron, and weights are fitted to the teacher's
    (:func:`matterhorn.models.matching.match`).

    Args:
        network: the result of :func:`matterhorn.quantize`. It is changed in place.
        batches: batches of training rows, or one batch. Each is a mapping with ``input_ids`` and, optionally,
            ``attention_mask`` and ``token_type_ids``: integers ``[batch, L]`` as tensors, arrays or lists. Other keys
            are ignored.
        teacher: the model that the network was quantized from. Give it if the network will not be trained.
        mean_silence: whether silence is read as the mean of the levels that fall silent, instead of as the silent
            level. It makes a difference only with a dead zone. With a teacher it is ignored.

    Raises:
        InputError: there is no batch; a batch has no ``input_ids``, or arrays of different shapes; a token or a
            position has no embedding; or ``teacher`` is given and the network was fitted or trained before.

    >>> from transformers import BertConfig, BertForSequenceClassification
    >>> from matterhorn.models import quantize
    >>> sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    >>> network = quantize(BertForSequenceClassification(BertConfig(vocab_size=50, **sizes)), dead_zone=1)
    >>> calibrate(network, [{"input_ids": np.array([[2, 7, 3], [2, 9, 3]])}])
    >>> network(torch.tensor([[2, 7, 3]])).logits.shape
    torch.Size([1, 2])
    """
    listed = batches_of(batches)
    if not listed:
        raise InputError("no batch", field="batches", cure="give at least one, of training rows")
    check_inputs(network, teacher, (batch["input_ids"] for batch in listed))
    if teacher is not None:
        from .matching import match  # (imported late: it imports this module)

        return match(network, teacher, listed)
    dead_zone = network.config.dead_zone
    network.set_dead_zone(0)
    try:
        set_scales(network, max(listed, key=lambda batch: int(np.prod(batch["input_ids"].shape))))
        histograms = level_histograms(network, listed)
    finally:
        network.set_dead_zone(dead_zone)
    choose_silence(network, histograms, mean=mean_silence)


def set_scales(network: QuantizedForSequenceClassification, batch: Batch) -> None:
    """Set every scale, layer by layer, to minimize the squared quantization error on one batch.

    Only existing tokens count, not padding.
    """
    present = mask_of(batch).to(network.device)

    def start(site: Site, module: ActivationQuantizer | StoredQuantizer, x: Tensor) -> None:
        x = existing(x.detach().float(), present, site.part)
        if isinstance(module, ActivationQuantizer):
            module.scale.copy_(least_squares_scale(module.amplify(x), *module.limits))
        else:
            fit_store(module, x)

    modules: dict[Site, ActivationQuantizer | StoredQuantizer] = {**network.populations(), **network.stores()}
    with watching(modules, start):
        run_batches(network, [batch])


def fit_store(module: StoredQuantizer, x: Tensor) -> None:
    """Set the scale of stored keys or values to the best one for ``x``."""
    one_bit = module.bits == 1
    module.scale.data.copy_(x.abs().mean() if one_bit else least_squares_scale(x, module.low, module.high))


def least_squares_scale(x: Tensor, low: Limit, high: Limit) -> Tensor:
    """Choose the candidate scale with the least squared error when ``x`` (any shape) is rounded to ``low … high``."""
    furthest = torch.maximum(torch.as_tensor(high), -torch.as_tensor(low)).max().clamp(min=1)
    widest = x.abs().max().clamp(min=1e-3) / furthest
    scales = widest * torch.logspace(-1.7, 0, CANDIDATES, device=x.device)
    errors = torch.stack([((x / s).round().clamp(low, high) * s - x).square().sum() for s in scales])
    return scales[errors.argmin()]


def existing(x: Tensor, present: Tensor, population: str) -> Tensor:
    """Select the values of existing tokens.

    Args:
        x: ``[batch, L, neurons]``, or ``[batch, heads, L, L]`` for probabilities.
        present: bool ``[batch, L]``.
        population: name of the population.

    Returns:
        Values ``[n, neurons]``; for probabilities those between existing tokens, ``[n, 1]``.
    """
    if population != "probabilities":
        return x[present]
    return x[(present[:, None, :, None] & present[:, None, None, :]).expand(x.shape)].unsqueeze(-1)


def level_histograms(
    network: QuantizedForSequenceClassification, batches: Iterable[Batch]
) -> dict[Site, NDArray[np.int64]]:
    """Count how often each neuron of each population has each level before masking.

    Returns:
        Counts by site, int64 ``[neurons, T + 1]``.

    Raises:
        InputError: the network's scales are not set.
    """
    network.check_calibrated()
    counts: dict[Site, NDArray[np.int64]] = {}
    for batch in batches:
        present = mask_of(batch).to(network.device)

        def count(site: Site, module: ActivationQuantizer, x: Tensor, present: Tensor = present) -> None:
            own = level_histogram(as_levels(module, existing(x, present, site.part)), module.bits)
            counts[site] = counts[site] + own if site in counts else own

        with watching(network.populations(), count):
            run_batches(network, [batch])
    return counts


def mask_of(batch: Batch) -> Tensor:
    """Return which tokens of a batch exist, bool ``[batch, L]``."""
    given = batch.get("attention_mask")
    return torch.ones(batch["input_ids"].shape, dtype=torch.bool) if given is None else torch.as_tensor(given).bool()


def as_levels(module: ActivationQuantizer, x: Tensor) -> NDArray[np.uint8]:
    """Return the levels of real values before masking, as a NumPy array."""
    levels: NDArray[np.uint8] = module.levels(x).to(torch.uint8).cpu().numpy()
    return levels


def choose_silence(
    network: QuantizedForSequenceClassification,
    histograms: dict[Site, NDArray[np.int64]],
    *,
    mean: bool = False,
) -> None:
    """Set the silent levels of populations to their most frequent levels.

    Args:
        histograms: how often each neuron has each level, by site. Populations that are missing stay as they are.
        mean: whether silence is read as the mean of the levels that fall silent, instead of as the silent level.
    """
    populations = network.populations()
    for site, histogram in histograms.items():
        set_silence(populations[site], histogram, mean=mean)


@torch.no_grad()
def set_silence(population: ActivationQuantizer, histogram: NDArray[np.int64], *, mean: bool) -> None:
    """Set the silent levels of one population to its most frequent ones, and what silence is read as.

    Args:
        histogram: how often each neuron has each level, ``[neurons, T + 1]``.
        mean: as in :func:`choose_silence`.
    """
    if len(population.silent) == 1:
        histogram = histogram.sum(0, keepdims=True)
    silent = most_frequent(histogram)
    value = mean_of_silent(histogram, silent, population.dead_zone) if mean else EIGHTHS * silent
    population.silent.copy_(torch.from_numpy(silent))
    population.silent_value.copy_(torch.from_numpy(value))


@torch.no_grad()
def place_levels(population: ActivationQuantizer, x: Tensor, name: str) -> None:
    """Set scale, gains, zero points and silence of one population to lose as little as possible of ``x [n, neurons]``.

    Silence of a population that feeds weights is read as the mean of the values that fall silent. This costs nothing at
    run time.
    """
    real = population.activated(x)
    if not population.zero and not population.activation:  # unsigned levels imply a ReLU
        real = real.clamp(min=0)
    if population.gain is None:
        population.scale.copy_(least_squares_scale(real, *population.limits))
    else:
        pitch, center = least_squares_pitch(population, real)
        population.scale.copy_(pitch.log().mean().exp())
        population.gain.copy_(population.scale / pitch)
        if population.zeros is not None:
            population.zeros.copy_((population.zero - center / pitch).round())
    levels, fractional = population.levels(x), real / population.pitch + population.origin
    if len(population.silent) == 1:
        levels, fractional = levels.reshape(-1, 1), fractional.reshape(-1, 1)
    silent = torch.from_numpy(most_frequent(level_histogram(levels.to(torch.uint8).numpy(), population.bits)))
    value = EIGHTHS * silent
    if name in FEEDS_WEIGHTS:
        falls, reach = (levels - silent).abs() <= population.dead_zone, EIGHTHS * (population.dead_zone + 1) - 1
        mean = (fractional * falls).sum(0) / falls.sum(0).clamp(min=1)
        value = (EIGHTHS * mean).round().clamp(value - reach, value + reach)
    population.silent.copy_(silent)
    population.silent_value.copy_(value)


def least_squares_pitch(population: ActivationQuantizer, x: Tensor) -> tuple[Tensor, Tensor]:
    """Choose each neuron's distance between levels to lose as little as possible of ``x [n, neurons]``.

    The lowest level of unsigned populations is read as the mean of the values that fall on it.

    Returns:
        The distances, ``[neurons]``; and the values around which levels are centered, which are the means of neurons
        with their own zero points, and else 0, ``[neurons]``.
    """
    zero, top = population.zero, population.top
    center = torch.zeros(x.shape[1]) if population.zeros is None else x.mean(0)
    widest = (x - center).abs().amax(0).clamp(min=1e-3) / max(zero, top - zero)
    least, best = torch.full_like(widest, torch.inf), widest
    for share in torch.logspace(-1.2, 0, CANDIDATES):
        pitch = widest * share
        origin = zero if population.zeros is None else (zero - center / pitch).round()
        levels = ((x / pitch).round() + origin).clamp(0, top)
        read = (levels - origin) * pitch
        if not zero:
            lowest = levels == 0
            mean = (x * lowest).sum(0) / lowest.sum(0).clamp(min=1)
            read = torch.where(lowest, mean.clamp(-LOWEST * pitch, LOWEST * pitch), read)
        error = (read - x).square().mean(0)
        least, best = torch.minimum(error, least), torch.where(error < least, pitch, best)
    typical = best.log().mean().exp()
    return best.clamp(typical / WIDEST, typical * WIDEST), center


def settle_silence(
    network: QuantizedForSequenceClassification, batches: Iterable[Batch], names: Container[str] = POPULATION
) -> None:
    """Choose the silent levels of some populations from what the network does with its present dead zone.

    Silence is read as a mean if it is now. This is done only once: to choose again from the resulting levels would move
    silence further away from what was trained.

    Args:
        batches: batches on which to count levels.
        names: names of the populations.
    """
    mean = any(population.has_fractions for population in network.populations().values())
    histograms = level_histograms(network, batches)
    choose_silence(network, {site: own for site, own in histograms.items() if site.part in names}, mean=mean)


@torch.no_grad()
def run_batches(network: QuantizedForSequenceClassification, batches: Iterable[Batch]) -> None:
    """Run all tokens of some batches through every block, in evaluation mode, so that hooks see the values."""
    with evaluating(network):
        for batch in batches:
            network.run(**tensors(batch, network.device), every_token=True)
