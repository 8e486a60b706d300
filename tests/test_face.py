"""The face of the package: verbs that a newcomer can guess, lazy, with examples that run."""

from __future__ import annotations

import doctest
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import matterhorn

HOME = Path(matterhorn.__file__).parent
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(HOME.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in HOME.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
VERBS = [name for name in matterhorn.__all__ if name not in ("InputError", "Program", "Trace")]


@pytest.mark.parametrize("name", matterhorn.__all__)
def test_every_name_is_there_and_says_what_it_is(name):
    found = getattr(matterhorn, name)
    assert inspect.getdoc(found)
    assert name in dir(matterhorn)


@pytest.mark.parametrize("name", [*VERBS, "Program", "Trace"])
def test_every_verb_names_its_arguments_and_errors_and_has_an_example(name):
    found = getattr(matterhorn, name)
    text = inspect.getdoc(found) or ""
    assert ">>> " in text
    if name in VERBS:
        assert "Raises:" in text
        named = [one.name for one in inspect.signature(found).parameters.values() if one.kind != one.VAR_KEYWORD]
        assert not [one for one in named if not re.search(rf"\b{one}\b", text)]


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


def test_without_an_extra_its_names_are_missing_and_imports_name_it():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import inspect, pydoc, matterhorn\n"
        "assert not hasattr(matterhorn, 'convert') and hasattr(matterhorn, 'load')\n"
        "assert 'load' in dict(inspect.getmembers(matterhorn)) and pydoc.render_doc(matterhorn)\n"
        "from matterhorn import *\n"
        "assert 'load' in globals() and 'convert' not in [*globals(), *dir(matterhorn)]\n"
        "for attempt in ('matterhorn.convert', 'from matterhorn import convert'):\n"
        "    try:\n"
        "        exec(attempt)\n"
        "    except matterhorn.InputError as error:\n"
        "        assert 'this needs torch, which is not installed; pip install' in str(error)\n"
        "    else:\n"
        "        raise AssertionError(attempt)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="spikes"):
        _ = matterhorn.spikes
