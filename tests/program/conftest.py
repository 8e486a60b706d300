"""A small program, and a folder that it was saved to."""

from __future__ import annotations

import pytest

from ..networks import small_program


@pytest.fixture(scope="module")
def program():
    return small_program(k=2)


@pytest.fixture
def folder(program, tmp_path):
    program.save(tmp_path / "own")
    return tmp_path / "own"
