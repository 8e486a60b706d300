"""The command as its entry point runs it, in this process."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from matterhorn import cli


class Stream(io.TextIOWrapper):
    """A stream in memory, in an encoding."""

    def __init__(self, data: bytes = b"", encoding: str = "utf-8"):
        super().__init__(io.BytesIO(data), encoding=encoding, newline="")

    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined]


def run(*arguments: str, stdin: bytes = b"", encoding: str = "utf-8") -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    out, err, code = Stream(encoding=encoding), Stream(encoding=encoding), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["matterhorn", *arguments])
        for name, stream in {"stdin": Stream(stdin), "stdout": out, "stderr": err}.items():
            patch.setattr(sys, name, stream)
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
    return code, out.text(), err.text()


def answer(*arguments: str) -> dict[str, Any]:
    """What it says as JSON."""
    code, out, err = run(*arguments, "--json")
    assert code == 0, err
    return dict(json.loads(out))
