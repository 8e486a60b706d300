"""Division of a command's rows among several processes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..extras import need

if TYPE_CHECKING:
    from accelerate import Accelerator

WORLD_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Environment variables in which launchers (torchrun, MPI) store the number of processes."""


def launched() -> Accelerator | None:
    """Return an accelerator for the processes that ``accelerate launch`` started; None if there is only one process."""
    for name in WORLD_SIZES:
        if not os.environ.get(name, "1").isdecimal():
            raise InputError(f"{os.environ[name]!r} is not a number", field=f"${name}", cure="unset it")
    if all(int(os.environ.get(name, "1")) < 2 for name in WORLD_SIZES):
        return None
    need("train", "torch", "accelerate")
    import torch
    from accelerate import Accelerator

    return Accelerator(cpu=not torch.cuda.is_available())


def shared(accelerator: Accelerator | None) -> dict[str, Any]:
    """Return arguments for :func:`matterhorn.tasks.evaluate.evaluate` that divide its rows among the processes."""
    if accelerator is None:
        return {}
    from accelerate.utils import gather_object

    shard = accelerator.process_index, accelerator.num_processes
    return {"shard": shard, "gather": lambda own: gather_object([own])}
