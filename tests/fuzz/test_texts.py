"""Any text at all: an answer, or one line; and never more of it on a terminal than its letters."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import unicodedata
from contextlib import redirect_stdout

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matterhorn.errors import InputError
from matterhorn.report.page_file import in_page
from matterhorn.report.tables import print_table
from matterhorn.runtime import Engine
from matterhorn.units import parse

from ..networks import small_program

TEXT = st.text() | st.text(st.characters(categories=["Cs", "Cc", "Cf", "Ll"]))


@pytest.fixture(scope="module")
def program():
    return small_program(1)


@given(texts=st.lists(TEXT | st.tuples(TEXT, TEXT), max_size=3))
@settings(max_examples=150)
def test_texts_are_answered_or_refused(program, texts):
    try:
        answers = Engine(program, "exact", threads=1).classify(texts, max_length=16)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert len(answers) == len(texts) and all(np.isfinite(answer.score) for answer in answers)
        json.dumps([answer.text for answer in answers], allow_nan=False).encode()


@given(title=TEXT, cells=st.lists(st.lists(TEXT, min_size=2, max_size=2), max_size=3))
@settings(max_examples=50)
def test_tables_show_text_as_it_is(title, cells):
    with redirect_stdout(io.StringIO()) as written:
        print_table(title, ("a", "[b]"), cells)
    categories = {unicodedata.category(letter) for letter in written.getvalue().replace("\n", "")}
    assert not categories & {"Cc", "Cs", "Zl", "Zp"} and "[b]" in written.getvalue()


@given(st.dictionaries(st.text(), st.text() | st.floats(), max_size=3))
def test_data_in_a_page_end_no_script(plain):
    text = in_page(plain)
    assert not {*"<>&"} & {*text} and set(json.loads(text)) == set(plain)


@given(st.text() | st.from_regex(r"[-+.\d]{1,6}([eE]\d{1,4})?\s?[a-zµ%/]{0,4}", fullmatch=True))
def test_quantities_are_numbers_or_errors(text):
    try:
        value, unit = parse(text)
    except ValueError:
        return
    assert np.isfinite(value) and unit


@pytest.mark.slow
def test_ten_thousand_lines_take_little_memory(tmp_path, program):
    program.save(tmp_path / "small")
    (tmp_path / "lines").write_text("a film of some words\n" * 10_000)
    places = ["--model", str(tmp_path / "small"), "--file", str(tmp_path / "lines")]
    command = [sys.executable, "-m", "matterhorn", "run", "--json", *places]
    with (tmp_path / "answers").open("wb") as answers:
        child = subprocess.Popen(command, stdout=answers)
        _, status, used = os.wait4(child.pid, 0)  # this child's memory alone
        child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0 and json.loads((tmp_path / "answers").read_bytes())["n"] == 10_000
    assert used.ru_maxrss < 1.5 * 2**20
