"""What comes through pipes, other encodings, the keyboard, and from the operating system."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

import matterhorn.__main__ as entry
from matterhorn import cli
from matterhorn.cli.app import print_json
from matterhorn.errors import InputError
from matterhorn.program.files import find

from ..networks import small_program
from .entry import Stream, run


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "small"
    small_program(1).save(folder)
    return str(folder)


def test_texts_are_piped(model):
    code, out, _ = run("run", "-", "--model", model, "--json", stdin="ein\nzwei µ\n".encode())
    assert code == 0 and [row["text"] for row in json.loads(out)["texts"]] == ["ein", "zwei µ"]
    code, out, err = run("run", "-", "--model", model, stdin=b"\xff\xfe\n")
    assert code == 2 and not out and err == "error: -: not UTF-8; save it as UTF-8\n"
    code, _, err = run("run", "-", "--model", model)
    assert code == 2 and "no texts" in err and err.count("\n") == 1


def test_files_that_are_not_utf8_are_one_line(model, tmp_path):
    (tmp_path / "texts").write_bytes("schön".encode("latin-1"))
    code, _, err = run("run", "--model", model, "--file", str(tmp_path / "texts"))
    assert code == 2 and "not UTF-8" in err and err.count("\n") == 1


def test_letters_that_a_terminal_has_not_are_spelled(model):
    code, out, _ = run("chips", "rram-22nm", encoding="ascii")
    assert code == 0 and out.isascii()
    code, out, _ = run("run", "a µ → \U0001f600", "--model", model, encoding="ascii")
    assert code == 0 and "a u -> ?" in out


@pytest.mark.parametrize("text", ["a [/good] film", "[bold]", "[link=x]y", "\x1b[31mred\x07"])
def test_what_is_markup_elsewhere_is_text_here(model, text):
    code, out, _ = run("run", text, "--model", model)
    shown = text.replace("\x1b", "\\x1b").replace("\x07", "\\x07")
    assert code == 0 and shown in out and "\x1b" not in out
    code, _, err = run("info", text)
    assert code == 2 and shown in err and "\x1b" not in err and err.count("\n") == 1


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied", "there"), InputError("a\nb", cure="c")])
def test_errors_of_the_system_are_one_line(monkeypatch, error):
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    code, _, err = run()
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1


def test_the_keyboard_ends_it_however_early(monkeypatch):
    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "matterhorn.cli", SimpleNamespace(main=stop))
    with pytest.raises(SystemExit) as end:
        entry.main()
    assert end.value.code == 130


def test_no_rows_is_no_limit(model):
    code, _, err = run("run", "--model", model, "--data", "rows.csv", "--limit", "0")
    assert code == 2 and "limit" in err


def test_answers_are_json_whatever_was_computed(monkeypatch):
    out = Stream()
    monkeypatch.setattr(sys, "stdout", out)
    print_json({"a": [float("nan"), 1.5], "b": {"c": float("inf")}})
    monkeypatch.undo()
    assert json.loads(out.text()) == {"a": [None, 1.5], "b": {"c": None}}


def test_models_that_cannot_be_read_are_left_out_of_the_list(monkeypatch, model, tmp_path):
    own, old = Path(model).parent, {"model_type": "matterhorn-spiking", "format": 2}
    for name, config in {"bert": {"model_type": "bert"}, "old": old}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("matterhorn.program.files.folders", lambda: [tmp_path, own])
    code, out, err = run("info", "--json")
    assert code == 0 and [row["name"] for row in json.loads(out)["models"]] == ["small"]
    assert err.startswith("old is left out:") and "matterhorn upgrade" in err and err.count("\n") == 1


def test_only_the_first_texts_run_where_a_limit_is_given(model, tmp_path):
    (tmp_path / "texts").write_text("a\nb\nc\n")
    for texts in (("a", "b", "c"), ("-",), ("--file", str(tmp_path / "texts"))):
        _, out, _ = run("run", *texts, "--limit", "2", "--model", model, "--json", stdin=b"a\nb\nc\n")
        assert [row["text"] for row in json.loads(out)["texts"]] == ["a", "b"]


def test_what_run_would_not_look_at_is_refused(model, tmp_path):
    for arguments, message in (
        (("a", "--file", str(tmp_path / "gone")), "--file: texts and a file; give one"),
        (("a", "--text", "review"), "--text: without rows; give --data or --task"),
        (("--split", "train"), "--split: without rows"),
        (("-", "--label", "verdict"), "--label: without rows"),
    ):
        code, out, err = run("run", *arguments, "--model", model, stdin=b"a\n")
        assert (code, out) == (2, "") and message in err


def test_a_text_is_named_by_its_number_before_any_runs(monkeypatch, model, tmp_path):
    monkeypatch.setattr("matterhorn.runtime.Engine.classify", None)
    (tmp_path / "texts").write_text("a\n" + "a " * 99 + "\n")
    code, out, err = run("run", "--file", str(tmp_path / "texts"), "--model", model)
    assert (code, out) == (2, "") and "text 2: text of 101 tokens is too long" in err


def test_a_text_is_drawn_as_it_was_cut(model, tmp_path):
    picture = tmp_path / "spikes.png"
    code, _, err = run("run", "a " * 99, "--max-length", "9", "--model", model, "--plot", str(picture))
    assert code == 0 and picture.is_file(), err


def test_standard_input_is_asked_for_alone(model, tmp_path):
    for arguments in (("-", "hello"), ("-", "-")):
        code, out, err = run("run", *arguments, "--model", model, stdin=b"piped\n")
        assert (code, out) == (2, "") and "- beside other texts; give - alone" in err
    code, out, err = run("run", "--file", "/dev/null", "--model", model)
    assert (code, out) == (2, "") and "not a regular file" in err and "matterhorn run -" in err


def test_a_folder_of_models_that_is_none_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("MATTERHORN_MODELS", str(tmp_path / "typo"))
    with pytest.raises(InputError, match=r"typo: MATTERHORN_MODELS: no such folder"):
        find("sst2")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("upgrade", "a", "b", "out\u202eabc"), "unexpected extra argument"),
        (("run", "--n\u202e\x1b[1mo"), "No such option"),
        (("run", "--max-length", "x\x1b[1m"), "valid integer"),
        (("nothing\x1b[1m",), "No such command"),
        (("evaluate", "--data"), "requires an argument"),
        (("train", "--threads", "-3"), "greater than or equal to 0"),
    ],
)
def test_a_wrong_call_is_one_line(arguments, says):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "") and err.startswith("error: ") and says in err and err.count("\n") == 1
    assert "--help" in err and err[:-1].isprintable()


def test_a_command_without_its_arguments_shows_its_help():
    code, out, err = run("msu")
    assert code == 2 and "Usage:" in out + err


def test_a_warning_is_one_line_without_code(monkeypatch):
    def warn(**_: object) -> None:
        warnings.warn("two models\nof this name", stacklevel=1)

    monkeypatch.setattr(cli, "app", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run() == (0, "", "warning: two models of this name\n")
