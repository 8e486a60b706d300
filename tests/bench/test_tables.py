from __future__ import annotations

from pathlib import Path

import pytest

from matterhorn.bench.clock import Timing
from matterhorn.bench.rows import rows_of
from matterhorn.bench.suite import PARTS, full_plan
from matterhorn.errors import InputError
from matterhorn.report.bench_table import MARKS, insert, markdown, tables


def rows() -> list[dict]:
    timings = {"fp32": Timing(4e-3, 1e-4, 9), "exact": Timing(2e-3, 1e-4, 9), "events": Timing(5e-4, 1e-5, 9)}
    shape = {"rows": 256, "in": 768, "out": 768}
    found = rows_of("connection", shape, timings, baselines=("fp32", "exact"), threads=1, silent_share=0.95)
    return [vars(row) for row in found]


def test_a_task_is_a_line_with_ratios_of_medians():
    title, columns, lines = next(iter(tables(rows())))
    assert title == "connection" and len(lines) == 1
    told = dict(zip(columns, lines[0], strict=True))
    assert told["events × fp32"] == "8.00" and told["events × exact"] == "4.00" and told["events × int8-dynamic"] == ""
    assert told["events"] == "500 (10) µs" and told["silent"] == "95.0 %"


def test_tables_go_between_the_marks():
    text = markdown(next(iter(tables(rows()))))
    page = f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter"
    twice = insert(text, insert(text, page, Path("page.md")), Path("page.md"))
    assert twice.startswith("before\n") and twice.endswith("\nafter") and twice.count(text) == 1 and "old" not in twice
    with pytest.raises(InputError, match="marks"):
        insert(text, "no marks", Path("page.md"))


def test_a_plan_takes_parts_by_name():
    assert full_plan().parts == PARTS and full_plan().only(["layer"]).parts == ("layer",)
    with pytest.raises(InputError, match="no part"):
        full_plan().only(["walk"])
