"""Models on the Hugging Face hub, ``owner/name`` or ``owner/name@revision``. They are downloaded once and cached."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from ..errors import InputError

NAME = re.compile(r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>\w[\w./-]*))?", re.ASCII)

FILES = ("*.json", "*.json.gz", "*.safetensors", "*.py", "*.md")
"""What of a repository is fetched: no pickles, nothing of other formats."""


def is_remote(name: str) -> bool:
    """Whether a name may be one on the hub: two words and a slash, the first of them no folder here."""
    found = NAME.fullmatch(name)
    return found is not None and not Path(name.split("/")[0]).exists()


@cache
def fetch(name: str) -> Path:
    """Folder in the hub's cache that has a model's files; asked for once in a process, so that all of it is of one
    commit. Without the hub it is what was fetched before.

    Raises:
        InputError: there is no such repository or revision, or it can neither be fetched nor was before.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RevisionNotFoundError

    found = NAME.fullmatch(name)
    assert found is not None
    try:
        return Path(snapshot_download(found["repository"], revision=found["revision"], allow_patterns=list(FILES)))
    except RevisionNotFoundError:
        problem, cure = "the hub has no such revision of it", "give a branch, a tag or a commit behind the @"
    except LocalEntryNotFoundError:
        problem, cure = "no folder, not fetched before, and the hub does not answer", "go online, or give a folder"
    except HfHubHTTPError:
        problem, cure = "neither a folder nor on the hub", "check the name; a private repository wants HF_TOKEN"
    raise InputError(f"no model {name!r}: {problem}", field="model", cure=cure)
