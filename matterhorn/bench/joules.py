"""Measure the energy that this machine takes for the dense network: of the processor by RAPL, of a GPU by NVML.

What cannot be measured is left out, with a reason. Nothing is estimated.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from ..topology import Shape
from .clock import Run

SECONDS, IDLE = 5.0, 1.0
"""Seconds that the network runs at least, and seconds for which the machine is idle before."""


class Measured(Protocol):
    """Seconds of a window, and the energy in J that each of RAPL's packages and NVML's GPUs took in it, by index."""

    time: float
    cpu_energy: dict[int, float] | None
    gpu_energy: dict[int, float]


class Monitor(Protocol):
    """The part of ``zeus.monitor.ZeusMonitor`` that is used."""

    def begin_window(self, key: str) -> None:
        """Begin a window."""

    def end_window(self, key: str) -> Measured:
        """End a window and return what was measured in it."""


def measure_dense(shape: Shape, vocabulary: int, tokens: int) -> dict[str, Any]:
    """Measure the energy of a sentence on this machine: a BERT in fp32 by PyTorch, with random weights and tokens.

    Args:
        shape: sizes of the BERT.
        vocabulary: number of tokens in its vocabulary.
        tokens: number of tokens of the sentence.

    Returns:
        ``tokens``; ``processor`` and ``gpu``, each the result of :func:`joules`, or None if it cannot be measured;
        ``absent``: the reason for each of these that is None.
    """
    import torch
    from zeus.device import get_cpus, get_gpus
    from zeus.monitor import ZeusMonitor

    from .opponents import bert_of

    model: Any = bert_of(shape, vocabulary, tokens)
    absent: dict[str, str] = {}
    rows = torch.randint(vocabulary, (1, tokens), generator=torch.Generator().manual_seed(0))
    found: dict[str, Any] = {"tokens": tokens, "processor": None, "gpu": None, "absent": absent}
    for name, device, present in (("processor", "cpu", get_cpus), ("gpu", "cuda", get_gpus)):
        try:
            present()
            own, given = model.to(device), rows.to(device)
        except Exception as error:  # (each library and driver raises its own)
            absent[name] = " ".join(str(error).split()) or type(error).__name__
            continue
        run = torch.inference_mode()(lambda own=own, given=given: own(given).logits.cpu())
        monitor = ZeusMonitor(gpu_indices=[0] if name == "gpu" else [], cpu_indices=[] if name == "gpu" else None)
        found[name] = joules(run, monitor, SECONDS)
        if found[name] is None:
            absent[name] = "its counter did not move"
    return found


def joules(run: Run, monitor: Monitor, seconds: float, idle: float = IDLE) -> dict[str, float] | None:
    """Measure the mean energy of a call of ``run``, over many calls in a row, after one that warms up.

    Returns:
        ``per_sentence_j``: energy per call in J, all that the counter saw, whatever used it; ``seconds`` per call;
        ``calls``; ``watts``: mean power; ``idle_w``: mean power in W while nothing ran. None if the counter did not
        move.
    """
    run()
    monitor.begin_window("idle")
    time.sleep(idle)
    quiet = monitor.end_window("idle")
    calls, deadline = 0, time.perf_counter() + seconds
    monitor.begin_window("run")
    while calls == 0 or time.perf_counter() < deadline:
        run()
        calls += 1
    busy = monitor.end_window("run")
    drawn, resting = _counted(busy), _counted(quiet)
    if not drawn:
        return None
    watts = {"watts": drawn / busy.time, "idle_w": resting / quiet.time}
    return {"per_sentence_j": drawn / calls, "seconds": busy.time / calls, "calls": calls, **watts}


def _counted(window: Measured) -> float:
    return sum((window.cpu_energy or {}).values()) + sum(window.gpu_energy.values())
