"""The site builds without a warning, fetches nothing, and its notebooks run."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.pages import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
FETCHED = re.compile(r"""<(?:script|img|iframe)[^>]*\bsrc=["']?(https?:)?//|<link[^>]*stylesheet[^>]*(https?:)?//""")


@pytest.mark.slow
def test_the_site_builds_strictly_and_needs_no_other_server(tmp_path):
    offline = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = os.environ | offline | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr[-3000:]
    pages = {path.relative_to(tmp_path).as_posix(): path.read_text("utf-8") for path in tmp_path.rglob("*.html")}
    assert not [name for name, page in pages.items() if FETCHED.search(page) or 'class="mermaid"' in page]
    assert not [name for name, page in pages.items() if ":func:" in page or ":class:" in page]
    for command_ in ("run", "verify", "energy", "glue-table"):
        assert f'id="matterhorn-{command_}"' in pages["cli/index.html"]
    for verb in ("load", "runtime.verify.verify", "models.convert.convert", "distill.verb.distill"):
        assert f'id="matterhorn.{verb}"' in pages["api/index.html"], verb
    assert len(NOTEBOOKS) == 3 and all(f"notebooks/{path.stem}/index.html" in pages for path in NOTEBOOKS)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # those of Jupyter are not ours
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path, tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert any("image/png" in out.get("data", {}) for cell in notebook.cells for out in cell.get("outputs", []))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_small_and_tidy(path):
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert path.stat().st_size < 150_000 and notebook.cells[0].source.startswith("# ")
    assert sum(cell.source.startswith("## ") for cell in notebook.cells) >= 4
    assert outputs and not any(out.output_type == "error" or out.get("name") == "stderr" for out in outputs)
    assert not re.search(r"/(?:tmp|work|home|root)/", "".join(out.get("text", "") for out in outputs))
