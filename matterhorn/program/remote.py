"""Models on the Hugging Face hub, ``owner/name`` or ``owner/name@revision``. They are downloaded once and cached."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..storage.manifest import ASIDE

NAME = re.compile(r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>\w[\w./-]*))?", re.ASCII)

FILES = ("*.json", "*.json.gz", "*.safetensors", "*.py", "*.md")
"""Files of a repository to download: no pickles, and nothing in other formats."""


def is_remote(name: str) -> bool:
    """Whether a name may be one on the hub: ``owner/name``, where ``owner`` is not a file or folder here."""
    found = NAME.fullmatch(name)
    return found is not None and not os.path.exists(name.split("/")[0])


@cache
def fetch(name: str) -> Path:
    """Return the folder in the hub's cache that has a model's files (:func:`download`).

    A repository is requested only once per process, so that all files are of one commit.
    """
    return download(name)


def download(name: str, revision: str | None = None, **options: Any) -> Path:
    """Download a model's files, or find them in the cache. Without a connection, the cached files are used.

    Args:
        name: ``owner/name`` or ``owner/name@revision`` (:func:`is_remote`).
        revision: branch, tag or commit, if ``name`` has none.
        options: other options of ``huggingface_hub.snapshot_download``.

    Raises:
        InputError: no repository can have this name, there is no such repository or revision, or it can neither be
            downloaded nor is cached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RevisionNotFoundError,
    )

    found = NAME.fullmatch(name)
    assert found is not None
    options |= {"allow_patterns": list(FILES), "ignore_patterns": [f"{ASIDE}*", f"*/{ASIDE}*"]}
    try:
        return Path(snapshot_download(found["repository"], revision=found["revision"] or revision, **options))
    except HFValidationError:
        problem, cure = "neither a folder nor a name that the hub allows", "check the spelling"
    except RevisionNotFoundError:
        problem, cure = "the hub has no such revision of it", "give a branch, a tag or a commit after the @"
    except LocalEntryNotFoundError:
        problem, cure = "not a folder, not in the cache, and the hub does not answer", "go online, or give a folder"
    except HfHubHTTPError:
        problem, cure = "neither a folder nor on the hub", "check the name; a private repository needs HF_TOKEN"
    raise InputError(f"no model {name!r}: {problem}", field="model", cure=cure)
