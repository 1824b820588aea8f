"""The pages in a real browser: policy enforced, filters that say the same as DuckDB, keys, few cards in the page."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.report.browser import Browser
from tests.report.made_sets import HOSTILE, clip_with, dataset_of, hostile_clip, relabelled
from worldloom.catalogs.catalog import matching
from worldloom.catalogs.clip import Caption
from worldloom.catalogs.dataset import ShardDataset
from worldloom.pipeline.progress import Silent
from worldloom.report.site.columns import data_of_clips
from worldloom.report.site.script import read_data, write_data
from worldloom.report.site.write import write_site

CHOSEN = "worldloom.gallery.rows.map(row => worldloom.keyOf(worldloomData.clips, row))"
DRAWN = "[...document.querySelectorAll('#gallery .key')].map(one => one.textContent)"
TO_THE_CLIPS = "document.getElementById('gallery').scrollIntoView({behavior: 'instant'})"
COUNT = "Number(document.getElementById('count').textContent.split(' ')[0].replaceAll(',', ''))"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset whose clips differ in everything one filters by, and its site."""
    folder = tmp_path_factory.mktemp("made")
    clips = [clip_with(0, folder), hostile_clip(1, folder), relabelled(clip_with(2, folder), 3)]
    clips += [
        replace(
            clip_with(i, folder),
            captions=[Caption(f"a Walk through hall {i}, 100% 'true'", "human")],
            attributes={"scene": "hall" if i % 2 else "yard's end", "views": float(i), "indoors": i % 2 == 0},
        )
        for i in range(3, 8)
    ]
    dataset_of(folder / "set", clips)
    write_site(folder / "set", folder / "site", Silent(), pages=3)
    return folder


@pytest.fixture(scope="module")
def browser() -> Any:
    with Browser() as found:
        yield found


def opened(browser: Browser, made: Path, part: str = "", page: str = "index.html") -> Browser:
    browser.said.clear()
    browser.asked_for.clear()
    browser.open(made / "site" / page, part)
    browser.until("document.documentElement.dataset.ready")
    return browser


def test_the_page_runs_from_a_file_and_loads_nothing_else(browser: Browser, made: Path) -> None:
    opened(browser, made)
    assert browser.said == []
    assert browser.asked_for and all(one.startswith(("file://", "data:")) for one in browser.asked_for)
    assert browser.ask("document.querySelectorAll('script:not([src]), style').length") == 0
    browser.ask(TO_THE_CLIPS)
    assert browser.until(f"{DRAWN}.length === 8")
    assert browser.until("[...document.querySelectorAll('#gallery img')].every(one => one.naturalWidth === 480)")


def test_the_policy_stops_a_script_that_got_in(browser: Browser, made: Path, tmp_path: Path) -> None:
    page = (made / "site" / "index.html").read_text(encoding="utf-8")
    for name in ("assets", "data", "thumbs"):
        (tmp_path / name).symlink_to(made / "site" / name)
    (tmp_path / "index.html").write_text(
        page.replace("</main>", "<script>window.bad = 1</script><p onclick='x' style='color:red' id='p'>x</p></main>")
    )
    browser.open(tmp_path / "index.html")
    assert browser.ask("window.bad") is None
    assert browser.ask("getComputedStyle(document.getElementById('p')).color") != "rgb(255, 0, 0)"
    assert any("Content Security Policy" in said for said in browser.said)


def test_hostile_texts_are_texts_in_the_browser_too(browser: Browser, made: Path) -> None:
    opened(browser, made)
    data = read_data(made / "site" / "data" / "clips.js")
    same = browser.ask("JSON.stringify(worldloomData.clips)")
    import json

    assert json.loads(same) == data
    assert browser.ask("document.querySelectorAll('img[onerror], #gallery script').length") == 0
    assert HOSTILE[:20] in browser.ask("document.getElementById('side').textContent")


FILTERS = [
    "source=folder",
    "licence=CC-BY-4.0&split=train",
    "status.depth=absent%3A+no_parallax",
    "status.depth=absent%3A+no+parallax",
    "status.events=ok&status.events=not+asked",
    "quality.sharpness=0.2..0.5",
    "quality.sharpness=0.25..<0.55",
    "quality.sharpness=..0.35",
    "attributes.views=4..",
    "attributes.scene=yard%27s+end",
    "attributes.scene=hall&attributes.scene=(none)",
    "attributes.indoors=yes",
    "attributes.indoors=no&attributes.indoors=(none)",
    "move=3",
    "move=3&move=1",
    "q=WALK+3",
    "q=100%25+%27true%27",
    "q=yard%27s",
    "q=%3Cscript%3E",
    "derived=no&size=48x32",
    "q=hall&attributes.views=3..<6&split=train",
]


@pytest.mark.parametrize("part", FILTERS)
def test_a_filter_says_the_same_as_its_condition_in_duckdb(browser: Browser, made: Path, part: str) -> None:
    opened(browser, made, part)
    table = ShardDataset(made / "set").table
    where = browser.ask("document.getElementById('where').textContent")
    if part == "status.depth=absent%3A+no_parallax":
        assert where == "" and browser.ask(COUNT) == 8, "no clip has it, so it is no filter"
        return
    assert where
    wanted = sorted(table["key"][int(i)].as_py() for i in matching(table, where))
    assert browser.ask(COUNT) == len(wanted)
    assert sorted(browser.ask(CHOSEN)) == wanted
    again = browser.ask("location.hash.slice(1)")
    opened(browser, made, again)
    assert browser.ask("document.getElementById('where').textContent") == where, "the address holds the filters"


def test_a_hostile_licence_is_quoted_in_the_condition(browser: Browser, made: Path) -> None:
    opened(browser, made)
    browser.ask(
        "[...document.querySelectorAll('#side label')].find(one => one.title.includes('alert')).firstChild.click()"
    )
    table = ShardDataset(made / "set").table
    where = browser.ask("document.getElementById('where').textContent")
    assert len(matching(table, where)) == 1 == browser.ask(COUNT)


def test_keys_lead_through_the_gallery(browser: Browser, made: Path) -> None:
    opened(browser, made)
    current = "[...document.querySelectorAll('.clip.current')].map(one => one.getAttribute('aria-posinset')).join()"
    browser.press("j")
    assert browser.ask(current) == "1"
    assert browser.ask("document.activeElement.closest('.clip').classList.contains('current')")
    browser.press("j")
    browser.press("ArrowRight")
    assert browser.ask(current) == "3"
    browser.press("k")
    assert browser.ask(current) == "2"
    browser.press("ArrowDown")
    columns = browser.ask("worldloom.gallery.columns")
    assert browser.ask(current) == str(2 + columns)
    browser.press("/")
    assert browser.ask("document.activeElement.id") == "search"
    for letter in "hall 4,":
        browser.press(letter)
    browser.until(f"{COUNT} === 1")
    browser.press("?")
    assert browser.ask("document.querySelectorAll('dialog[open]').length") == 0, "typed, not pressed"
    browser.press("Escape")
    browser.press("Escape")
    browser.until(f"{COUNT} === 8")
    browser.press("?")
    assert browser.ask("document.getElementById('keys').open")
    browser.press("Escape")
    browser.until("!document.getElementById('keys').open")


def test_enter_opens_the_page_of_a_clip_or_says_how_to_make_it(browser: Browser, made: Path) -> None:
    opened(browser, made)
    for _ in range(8):
        browser.press("j")
    browser.press("Enter")
    browser.until("document.getElementById('unmade').open")
    key = browser.ask("document.querySelector('.clip.current .key').textContent")
    assert browser.ask("document.getElementById('make').textContent").endswith(f"{made / 'set'} {key}")
    browser.press("Escape")
    opened(browser, made)
    browser.press("j")
    browser.press("Enter")
    browser.until("location.pathname.includes('/clips/')")


def test_dragging_over_a_histogram_chooses_a_range(browser: Browser, made: Path) -> None:
    opened(browser, made)
    box = browser.ask(
        "(() => { const one = [...document.querySelectorAll('.figure')].find(one => one.textContent.startsWith("
        "'quality.sharpness')).querySelector('svg'); one.scrollIntoView({block: 'center', behavior: 'instant'});"
        "const b = one.getBoundingClientRect(); return [b.left, b.top, b.width, b.height] })()"
    )
    middle = box[1] + box[3] / 2
    browser.drag((box[0] + box[2] * 0.55, middle), (box[0] + box[2] * 0.99, middle))
    browser.until(f"{COUNT} < 8")
    where = browser.ask("document.getElementById('where').textContent")
    table = ShardDataset(made / "set").table
    assert len(matching(table, where)) == browser.ask(COUNT) > 0
    assert "quality.sharpness" in browser.ask("location.hash")


def test_without_scripts_the_first_clips_and_all_tables_are_there(made: Path) -> None:
    with Browser(scripts=False) as browser:
        browser.open(made / "site" / "index.html")
        root = browser.call("DOM.getDocument")["root"]["nodeId"]

        def there(selector: str) -> int:
            return len(browser.call("DOM.querySelectorAll", nodeId=root, selector=selector)["nodeIds"])

        assert there("#gallery .clip img") == 8
        assert there("table.funnel tbody tr") >= 4
        assert there(".script-only:not([hidden])") == 0


def test_a_narrow_window_is_not_wider_than_itself(made: Path, tmp_path: Path) -> None:
    with Browser(400, 800) as browser:
        for page in ("index.html",):
            opened(browser, made, page=page)
            assert browser.ask("document.documentElement.scrollWidth") == 400
            assert browser.ask("worldloom.gallery.columns") == 1
            assert not browser.ask("document.getElementById('side').offsetParent")
            browser.ask("document.getElementById('panels').click()")
            assert browser.ask("document.getElementById('side').offsetParent !== null")
        write_site(made / "set", tmp_path, Silent(), against=str(made / "set"), pages=0)
        browser.open(tmp_path / "compare.html")
        assert browser.ask("document.querySelectorAll('.duo td').length") > 10
        # A reason that has become another is the longest thing that stands in a table there.
        browser.ask(
            "document.querySelectorAll('.duo td:last-child').forEach(cell => cell.innerHTML = "
            "'<span class=\"chip absent\">absent (too_little_parallax) → absent (restarts_disagree)</span>')"
        )
        assert browser.ask("document.documentElement.scrollWidth") == 400


def test_thousands_of_clips_put_few_cards_into_the_page(browser: Browser, made: Path, tmp_path: Path) -> None:
    chosen = random.Random(1)
    row = ShardDataset(made / "set").table.drop_columns(["members", "offset", "length"]).to_pylist()[0]
    rows = [
        {**row, "key": f"{i:026d}", "quality": {**row["quality"], "sharpness": chosen.random()}} for i in range(3000)
    ]
    for name in ("assets", "thumbs"):
        (tmp_path / name).symlink_to(made / "site" / name)
    (tmp_path / "index.html").write_bytes((made / "site" / "index.html").read_bytes())
    write_data(tmp_path / "data" / "clips.js", "clips", data_of_clips(rows, {}, ()))
    browser.open(tmp_path / "index.html")
    browser.until("document.documentElement.dataset.ready")
    assert browser.ask(COUNT) == 3000
    browser.ask(TO_THE_CLIPS)
    browser.until("document.querySelectorAll('#gallery .clip').length > 0")
    assert 0 < browser.ask("document.querySelectorAll('#gallery .clip').length") < 60
    browser.ask("scrollTo({top: document.body.scrollHeight / 2, behavior: 'instant'})")
    browser.until("Number(document.querySelector('#gallery .clip').getAttribute('aria-posinset')) > 1000")
    assert browser.ask("document.querySelectorAll('#gallery .clip').length") < 60
    browser.ask("(() => { const s = document.getElementById('sort'); s.value = 'quality.sharpness';"
                "s.dispatchEvent(new Event('change')) })()")  # fmt: skip
    best = max(rows, key=lambda one: one["quality"]["sharpness"])["key"]
    browser.ask("document.getElementById('order').click()")
    browser.ask(TO_THE_CLIPS)
    assert browser.until(f"({DRAWN}).includes('{best}')")
    assert browser.until(f"({CHOSEN})[0] === '{best}'")
