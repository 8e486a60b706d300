from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from matterhorn.cli.app import app
from matterhorn.energy import energy_answer, load
from matterhorn.energy.words import NAMES, in_words, number_name
from matterhorn.report.energy_page import page_data
from matterhorn.topology import CONNECTION
from matterhorn.units import engineering

from ..energy import synthetic
from ..energy.synthetic import near
from .browser import CHROMIUM, DRIVER, Browser

pytest.importorskip("plotly", reason="the page needs plotly (extra: plot)")
pytestmark = pytest.mark.xdist_group("page")  # one page to look at, not one for each worker
skips = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver (Debian: chromium, chromium-driver)"
)


def needs_browser(test):
    """Slow, and skipped where there is none."""
    return pytest.mark.slow(skips(test))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    synthetic.minilm().save(folder / "run.json.gz")
    arguments = ["energy", "--trace", str(folder / "run.json.gz"), "--html", str(folder / "page.html"), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return folder / "page.html", json.loads(result.stdout)


@pytest.fixture(scope="module")
def desk():
    with Browser(1200, 900) as browser:
        yield browser


def test_the_page_is_one_file_that_loads_nothing(page):
    text = page[0].read_text()
    assert "<!--" not in re.sub(r"<script.*?</script>", "", text, flags=re.S)
    head = text.split('<script type="application/json"')[0]
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", head)
    assert "@import" not in head and "url(" not in head


def test_the_page_holds_the_answer_and_the_silence_of_every_connection(page):
    path, answer = page
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text())[1])
    assert data["answer"] == answer and data["front"] == []  # of a trace no score is known
    assert data["connections"] == list(CONNECTION)
    trace = synthetic.minilm()
    shown = data["silence"][answer["code"]]
    assert [len(row) for row in shown] == [8] * 6
    assert shown[5][0] == pytest.approx(trace.connections["block.5.query"].silent_share)
    quiet = data["quiet"][answer["code"]]
    assert quiet[5][0] == pytest.approx(shown[5][0])  # one fan-out: the two shares of a connection are the same
    joules = sum(sum(row) for row in data["mesh"]["joules"])
    moved = answer["by_category"]["spike_movement"] + answer["by_category"]["dense_movement"]
    assert 0 < joules < moved / answer["n"]  # partial sums between row groups are not drawn


def test_the_page_is_of_the_arrays_that_were_billed():
    """Of a chip whose capacitors are too small, these are digital."""
    trace, chip = synthetic.build(), load("rram-22nm", ["msu.capacitor=0.01 pF"])
    answer = energy_answer(trace, chip, model="a", length=16)
    data = page_data(trace, chip, answer)
    billed = sum(joules for lines in data["goes"].values() for joules in lines.values())
    assert answer["hardware"] == "digital" and billed == near(answer["total_j"])


def test_silence_at_the_own_code_is_what_was_counted():
    """Also of probabilities with a dead zone of their own."""
    trace, chip = synthetic.build(dead_zone=3), load("rram-22nm")
    for block in range(2):
        own = trace.connections[f"block.{block}.pv"]
        own.events, own.dead_zone = own.windows // 5, 1
    answer = energy_answer(trace, chip, model="a", length=16)
    shown = page_data(trace, chip, answer)["silence"][answer["code"]]
    counted = {name: c.silent_share for name, c in trace.connections.items()}
    assert [dict(zip(CONNECTION, row, strict=True)) for row in shown] == [
        {name: near(counted[f"block.{block}.{name}"]) for name in CONNECTION} for block in range(2)
    ]


@needs_browser
def test_figures_on_the_page_are_those_of_the_json(page, desk):
    path, answer = page
    desk.open(path)
    assert desk.complaints() == []
    text = lambda element: desk.run(f"return document.getElementById('{element}').textContent")  # noqa: E731
    assert text("headline") == engineering(answer["per_sentence_j"])
    assert text("card-token") == engineering(answer["per_token_j"])
    assert text("card-silent") == f"{100 * answer['silent_share']:.1f} %"
    assert text("card-quiet") == f"{100 * answer['quiet_share']:.1f} %"
    assert text("card-rival") == f"{answer['ratio_min']:.2f}×" and text("card-dense") == f"{answer['ratio_dense']:.2f}×"
    worst = answer["worst_chip"]
    assert text("card-worst") == f"{worst['ratio_min']:.2f}×, {worst['ratio_dense']:.2f}×"
    low, high = (engineering(joules / answer["n"]) for joules in answer["interval"]["total_j"])
    assert text("subtitle").startswith(f"{low} to {high} in 90 % of draws")
    for rival in (*answer["rivals"], answer["dense"]):
        assert engineering(rival["total_j"]) in text("rival-table")
        assert engineering(rival["latency_s"], "s") in text("rival-table")
    assert "not measured" in text("rival-table") and f"in {100 * answer['wins']['dense']:.1f} %." in text("sure")
    shown = desk.run("return document.getElementById('drivers-total').data[0].y")
    assert shown == [number_name(row["key"]) for row in answer["drivers"]["total_j"][:8]]
    assert desk.run("return JSON.parse(document.getElementById('data').textContent).answer") == answer
    drawn = desk.run("return document.querySelectorAll('.chart .main-svg').length")
    assert drawn >= 2 * 10
    stacked = desk.run(
        "return document.getElementById('bills').data.map((t) => t.x.reduce((a, b) => a + b, 0))"
        ".reduce((a, b) => a + b, 0)"
    )
    shown = set(desk.run("return document.getElementById('bills').data[0].y"))
    label = lambda e: f"{in_words(e['code'])} · {NAMES[e['hardware']]}"  # noqa: E731
    total = sum(e["total_j"] for e in answer["encodings"] if label(e) in shown) / answer["n"]
    assert stacked * 1e-6 == pytest.approx(total, rel=1e-9)


@needs_browser
def test_the_front_has_a_mark_for_every_point(tmp_path, desk):
    made = CliRunner().invoke(app, ["energy", "--model", "sst2", "--html", str(tmp_path / "page.html")])
    assert made.exit_code == 0, made.output
    desk.open(tmp_path / "page.html")
    assert desk.complaints() == []
    points = desk.run("return D.front")
    names, marks = desk.run("const t = document.getElementById('front').data[1]; return [t.text, t.marker.symbol]")
    assert {"sst2, k = 3", "sst2-base, k = 3", "sst2, dense W1A4", "sst2, dense int8 ?", "Sorbet"} <= {*names}
    for point, name, mark in zip(points, names, marks, strict=True):
        assert name == point["name"] + (" ?" if point["value"] is None else "")
        assert mark == ("circle" if point["trained"] else "circle-open")


@needs_browser
def test_one_number_for_one_thing(page, desk):
    """Headline, slider at the own code, the bar of it and where it goes; waterfall and rivals on BERT-base."""
    path, answer = page
    desk.open(path)
    ours = engineering(answer["per_sentence_j"])
    text = lambda element: desk.run(f"return document.getElementById('{element}').textContent")  # noqa: E731
    assert text("headline") == text("slider-energy") == ours
    gone = desk.run("return document.getElementById('goes').data.flatMap((t) => t.x).reduce((a, b) => a + b, 0)")
    unit = desk.run("return document.getElementById('goes').layout.xaxis.title.text")[0]
    assert gone * {"µ": 1e-6, "n": 1e-9}[unit] == pytest.approx(answer["per_sentence_j"], rel=1e-9)
    base = engineering(answer["bert_base_per_sentence_j"])
    assert desk.run("return document.getElementById('waterfall').data[0].text.at(-1)") == base
    assert desk.run("return document.getElementById('rivals').data[0].text[0].trim()") == base
    star = desk.run("const m = document.getElementById('map-lengths').data[2]; return [m.x[0], m.y[0]]")
    assert star == [answer["silent_share"], str(answer["bert_base_tokens"])]


@needs_browser
def test_what_was_not_trained_is_pale_and_no_bar_has_more_than_six_colors(page, desk):
    path, answer = page
    desk.open(path)
    trained = {f"{in_words(e['code'])} · {NAMES[e['hardware']]}" for e in answer["encodings"] if e["trained"]}
    names, shades = desk.run("const t = document.getElementById('bills').data[0]; return [t.y, t.marker.opacity]")
    assert {name for name, shade in zip(names, shades, strict=True) if shade == 1} == trained & set(names)
    for chart in ("bills", "goes"):
        assert desk.run(f"return document.getElementById('{chart}').data.length") <= 6
    assert desk.run("k.value = 1; k.dispatchEvent(new Event('input')); "
                    "return document.getElementById('slider-score').textContent") == "not trained so"  # fmt: skip


@needs_browser
def test_nothing_is_said_to_a_mouse_alone_and_no_code_name_is_left(page, desk):
    desk.open(page[0])
    hover = (
        "[...document.querySelectorAll('.chart')].flatMap((c) => c.data).some((t) => t.hovertext || t.hovertemplate)"
    )
    assert desk.run(f"return {hover} || document.querySelectorAll('[title]').length > 0") is False
    shown = "p, li, .chart text, .cards, .readout, #code-table, #rival-table, #lines"
    seen = desk.run(f"return [...document.querySelectorAll('{shown}')].map((e) => e.textContent).join(' ')")
    assert not re.search(r"mttfs|msu|ttfs|large_sram|spike_movement|noc\.|block\.\d", seen)
    blocks = desk.run("return document.getElementById('mesh').layout.annotations.map((a) => a.text)")
    assert blocks == ["embedding", *(f"block {block}" for block in range(6))]


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(page, desk, scheme):
    desk.prefer(scheme)
    desk.open(page[0])

    def luminance(of, what):
        parts = re.findall(r"\d+", desk.run(f"return getComputedStyle({of}).{what}"))[:3]
        return sum(weight * int(part) for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))

    card = luminance("document.querySelector('section:not(.cards)')", "backgroundColor")
    assert (card > 128) == (scheme == "light")
    for of in ("document.querySelector('#verdict li')", "document.querySelector('#bills .ytick text')"):
        ink = luminance(of, "fill" if "tick" in of else "color")
        assert abs(ink - card) > 120, of
    desk.prefer("light")


@needs_browser
def test_the_slider_shows_the_other_dead_zones(page, desk):
    path, answer = page
    desk.open(path)
    for k in range(4):
        for suffix in ("", "-neuron"):
            for hardware in ("digital", "msu"):
                found = desk.run(
                    f"k.value = {k}; document.getElementById('per-neuron').checked = {str(bool(suffix)).lower()};"
                    f"msu.checked = {str(hardware == 'msu').lower()}; k.dispatchEvent(new Event('input'));"
                    "return document.getElementById('slider-energy').textContent"
                )
                wanted = next(
                    e for e in answer["encodings"]
                    if (e["code"], e["hardware"]) == (f"mttfs-k{k}{suffix}", hardware)
                )  # fmt: skip
                assert found == engineering(wanted["total_j"] / answer["n"])
                quiet = desk.run("return document.getElementById('slider-quiet').textContent")
                assert quiet == f"{100 * wanted['quiet_share']:.1f} %"
    assert desk.complaints() == []


@needs_browser
def test_the_page_fits_a_phone(page):
    with Browser(390, 844, phone=True) as browser:
        browser.open(page[0])
        assert browser.complaints() == []
        assert browser.run("return document.documentElement.scrollWidth") <= 390
        assert browser.run("return Math.min(...[...document.querySelectorAll('p, li, td')].map((e) => "
                           "parseFloat(getComputedStyle(e).fontSize)))") >= 13  # fmt: skip
        for table in ("rival-table", "code-table"):
            browser.run("document.querySelectorAll('details').forEach((d) => (d.open = true))")
            box = f"document.getElementById('{table}').parentElement"
            assert browser.run(f"return {box}.scrollWidth > {box}.clientWidth")
            assert "swipe" in browser.run(f"return getComputedStyle({box}, '::before').content")
        wide = browser.run("return [...document.querySelectorAll('.chart')].filter((c) => "
                           "c.getBoundingClientRect().right > innerWidth).map((c) => c.id)")  # fmt: skip
        assert wide == []


@needs_browser
def test_a_digital_chip_has_a_page_too(tmp_path, desk):
    synthetic.minilm().save(tmp_path / "run.json.gz")
    arguments = ["energy", "--trace", str(tmp_path / "run.json.gz"), "--chip", "loihi", "--html",
                 str(tmp_path / "page.html")]  # fmt: skip
    assert CliRunner().invoke(app, arguments).exit_code == 0
    desk.open(tmp_path / "page.html")
    assert desk.complaints() == []
    assert desk.run("return getComputedStyle(document.getElementById('msu-switch')).display") == "none"
