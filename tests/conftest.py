"""Settings and fixtures of all tests. Small networks to test with are in ``tests/networks.py``."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def glue_dir() -> Path:
    """A folder of GLUE files, named by MATTERHORN_GLUE_DIR."""
    folder = os.environ.get("MATTERHORN_GLUE_DIR")
    if not folder:
        pytest.skip("set MATTERHORN_GLUE_DIR to a folder of GLUE files")
    return Path(folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What one worker does alone, and takes longest, begins first."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)
