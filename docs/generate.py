"""What MkDocs makes while it builds: the page of the command line, a page for each notebook, examples in docstrings."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter

EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)
ROLE = re.compile(r":(?:func|class|meth|mod|data|attr):`([^`]+)`")


class Doctests(griffe.Extension):
    """Examples in docstrings as code, and their references as plain names."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Alter the docstring of anything that griffe has read."""
        if obj.docstring:
            text = EXAMPLE.sub(r"```pycon\n\g<0>\n```", ROLE.sub(r"`\1`", obj.docstring.value))
            obj.docstring.value = text.replace("\nExample:\n", "\n")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook."""
    for file in [file for file in files if file.src_uri.endswith(".ipynb") and file.abs_src_path]:
        text, pictures = notebook(Path(file.abs_src_path or ""))
        files.append(File.generated(config, file.src_uri.removesuffix("ipynb") + "md", content=text))
        for name, picture in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=picture))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Put every command and option, as Typer writes them down, on the page of the command line."""
    if page.file.src_uri != "cli.md":
        return markdown
    words = [sys.executable, "-m", "typer", "matterhorn.cli", "utils", "docs", "--name", "matterhorn"]
    commands = subprocess.run(words, check=True, capture_output=True, encoding="utf-8").stdout
    return f"{markdown}\n{commands[commands.index('## ') :]}"


def notebook(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook with the answers that are kept in it, as Markdown, and its pictures by file name."""
    own = {"unique_key": path.stem, "output_files_dir": "."}
    text, resources = MarkdownExporter().from_filename(str(path), resources=own)
    note = f"[Download this notebook]({path.name}){{ .md-button }}\n"
    head, title, rest = text.partition("\n")
    return f"{head}\n\n{note}{title}{rest}", resources["outputs"]
