"""Fuse the element-wise parts of training into single passes with ``torch.compile``."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def compiles() -> bool:
    """Whether there is a compiler that is not turned off."""
    has_compiler = torch.cuda.is_available() or any(shutil.which(name) for name in ("c++", "g++", "clang++"))
    return has_compiler and os.environ.get("TORCH_COMPILE_DISABLE") != "1"


def fused(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a pure function on first use. Without a C++ compiler, or with TORCH_COMPILE_DISABLE=1, run it as it is.

    Only training uses this. Evaluation is plain PyTorch, so that its results do not depend on a compiler. The compiler
    takes seconds to import, so this happens only when there is something to train.
    """

    @functools.cache
    def compiled() -> Callable[P, R]:
        return torch.compile(function, dynamic=True) if compiles() else function

    @functools.wraps(function)
    def run(*arguments: P.args, **options: P.kwargs) -> R:
        return compiled()(*arguments, **options)

    return run
