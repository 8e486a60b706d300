"""What is not installed is said in one line, with the command that installs it, before any program is read."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from matterhorn import extras
from matterhorn.cli.app import app
from matterhorn.errors import InputError


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [
        ("run fine --plot a.png", "matplotlib", "plot"),
        ("bench --plot a.png", "matplotlib", "plot"),
        ("bench", "torch", "bench"),
        ("energy --html a.html", "plotly", "plot"),
        ("evaluate --backend analog --place-rows --device rram-wan --glue-dir .", "scipy", "msu"),
        ("msu study --place-rows --glue-dir .", "scipy", "msu"),
        ("msu study --html a.html --glue-dir .", "plotly", "plot"),
        ("verify --against network --glue-dir .", "torch", "train"),
        ("glue score sst2 --task sst2 --output a.json --teacher t --glue-dir .", "transformers", "train"),
        ("convert a b", "torch", "train"),
        ("train", "accelerate", "train"),
        ("publish a b", "torch", "train"),
    ],
)
def test_a_missing_extra_is_said_first(monkeypatch, command, package, extra):
    known = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == package else known(name))
    monkeypatch.setattr("matterhorn.program.files.parse_arrays", lambda *_: pytest.fail("a program was read"))
    found = CliRunner().invoke(app, command.split())
    assert isinstance(found.exception, InputError), found.output
    assert f'{package}, which is not installed; pip install "matterhorn-snn[{extra}]"' in str(found.exception)


def test_a_folder_of_the_name_of_a_package_is_none(tmp_path, monkeypatch):
    (tmp_path / "no_such_package").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not extras.present("no_such_package") and extras.present("json", "numpy")
    with pytest.raises(InputError, match="no_such_package, which is not installed"):
        extras.need("data", "no_such_package")


def test_rows_of_the_hub_need_datasets(monkeypatch):
    monkeypatch.delenv("MATTERHORN_GLUE_DIR", raising=False)
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    found = CliRunner().invoke(app, ["evaluate", "--task", "sst2"])
    assert 'pip install "matterhorn-snn[train]", or give --glue-dir' in str(found.exception)
