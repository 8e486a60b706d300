"""The page of a study: one file that loads nothing, its figures those of the answer."""

from __future__ import annotations

import re

import pytest

from matterhorn.report.study import write_study_page
from matterhorn.study import run_plan

from ..study.fakes import Scored, plan_in
from .browser import CHROMIUM, DRIVER, Browser

pytest.importorskip("plotly", reason="the page needs plotly (extra: plot)")


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    answer = run_plan(Scored(), plan_in(folder), chips=2)
    answer |= {"task": "sst2", "model": "sst2", "n": 872, "metric": "accuracy"}
    write_study_page(folder / "page.html", answer)
    return folder / "page.html", answer


def test_the_page_is_one_file_that_loads_nothing(studied):
    text = studied[0].read_text()
    assert "<!--" not in re.sub(r"<script.*?</script>", "", text, flags=re.S)
    head = text.split('<script type="application/json"')[0]
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", head)
    assert "@import" not in head and "url(" not in head


@pytest.mark.slow
@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver (Debian: chromium-driver)")
@pytest.mark.parametrize("width", [1200, 390])
def test_figures_on_the_page_are_those_of_the_answer(studied, width):
    path, answer = studied
    with Browser(width, 900, phone=width < 640) as browser:
        browser.open(path)
        assert browser.complaints() == []
        text = lambda element: browser.run(f"return document.getElementById('{element}').textContent")  # noqa: E731
        assert text("headline") == f"{100 * answer['clean']:.1f} %"
        assert browser.run("return JSON.parse(document.getElementById('data').textContent).answer") == answer
        assert browser.run("return document.querySelectorAll('.chart .main-svg').length") >= 2 * 3
        for name, study in answer["studies"].items():
            for point in study["points"]:
                assert f"{100 * point['mean']:.2f} %" in text(f"table-{name}")
            drawn = browser.run(f"return document.getElementById('chart-{name}').data[3].y")
            assert drawn == [point["mean"] for point in study["points"]]
            assert study["title"] in text("needed")
        assert browser.run("return document.documentElement.scrollWidth") <= width
