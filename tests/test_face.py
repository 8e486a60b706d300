"""The face of the package: verbs that a newcomer can guess, lazy, with examples that run."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from importlib import import_module

import pytest

import matterhorn

WITH_EXAMPLES = (
    "matterhorn",
    "matterhorn.program.files",
    "matterhorn.runtime.engine",
    "matterhorn.runtime.verify",
    "matterhorn.energy.study",
    "matterhorn.models.quantize",
    "matterhorn.models.calibrate",
    "matterhorn.models.convert",
    "matterhorn.distill.verb",
)


@pytest.mark.parametrize("name", matterhorn.__all__)
def test_every_name_is_there_and_says_what_it_is(name):
    found = getattr(matterhorn, name)
    assert inspect.getdoc(found)
    assert name in dir(matterhorn)


@pytest.mark.parametrize("verb", ["load", "bill", "verify", "quantize", "calibrate", "distill", "convert", "Engine"])
def test_every_verb_names_its_errors_and_has_an_example(verb):
    text = inspect.getdoc(getattr(matterhorn, verb)) or ""
    assert "Raises:" in text and ">>>" in text


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_run(module):
    result = doctest.testmod(import_module(module), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.attempted and not result.failed


def test_importing_the_package_imports_nothing_heavy():
    heavy = ("numpy", "numba", "torch", "typer", "tokenizers")
    code = f"import sys, matterhorn; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_running_a_program_imports_no_torch():
    code = (
        "import sys, matterhorn as mh; p = mh.load('sst2'); e = mh.Engine(p, threads=1);"
        "out = e(**p.encode(['A fine film.']), trace=True); mh.bill(out.trace); mh.verify(p, ['A fine film.']);"
        "print([m for m in ('torch', 'transformers', 'scipy.sparse') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="spikes"):
        _ = matterhorn.spikes
