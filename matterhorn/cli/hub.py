"""Check once whether the Hugging Face hub can be reached, so that libraries do not each try repeatedly."""

from __future__ import annotations

import os
import sys
from http.client import HTTPException
from threading import Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import typer

HUB = "https://huggingface.co"
READERS = ("huggingface_hub.constants", "datasets.config")
"""Modules that read ``HF_HUB_OFFLINE`` once, when they are imported."""

PATIENCE = 4.0
"""Seconds to wait for a first answer."""


def notice_offline() -> None:
    """Test whether the hub answers, unless ``HF_HUB_OFFLINE`` is set.

    If it does not answer, print a message and make its libraries use only their caches, whether they are imported
    already or not.
    """
    if "HF_HUB_OFFLINE" in os.environ:
        return
    place, answers = os.environ.get("HF_ENDPOINT", HUB), list[bool]()
    probe = Thread(target=lambda: answers.append(_answers(place)), daemon=True)
    probe.start()
    probe.join(PATIENCE)  # a DNS lookup has no timeout of its own
    if answers != [True]:
        os.environ["HF_HUB_OFFLINE"] = "1"
        for name in READERS:
            if name in sys.modules:
                sys.modules[name].HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
        typer.echo(f"offline: {place} does not answer; only cached files are used", err=True)


def _answers(place: str) -> bool:
    try:
        urlopen(Request(place, method="HEAD"), timeout=PATIENCE).close()
    except HTTPError:
        return True
    except (OSError, HTTPException, ValueError):
        return False
    return True
