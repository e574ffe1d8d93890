"""The report in a real browser, opened from disk; one browser for the file."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark import report
from benchmark.engine import run_record as record
from benchmark.engine.cells import Cell
from benchmark.engine.stage import bring_up_to_date
from benchmark.engine.stages.colour import Colour

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium and chromedriver are not installed")
webdriver = pytest.importorskip(
    "selenium.webdriver", reason="selenium is not installed; it comes with the extra `test`"
)

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LEFT, RIGHT, ESCAPE, ENTER = "\ue012", "\ue014", "\ue00c", "\ue007"  # WebDriver's codes of the keys


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def address(make_run: Callable[[Path], record.Record], tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("run")
    make_run(folder)
    return report.write(folder).as_uri()


@pytest.fixture
def page(driver: Any, address: str) -> Iterator[Any]:
    resize(driver, 1280, 860)
    driver.get(address)
    driver.execute_script("localStorage.clear()")
    driver.get(address)
    yield driver
    assert driver.get_log("browser") == []  # neither script errors nor what the policy blocked


@pytest.fixture(scope="module")
def wide_address(make_run: Callable[..., record.Record], tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("wide")
    make_run(folder, "all")
    return report.write(folder).as_uri()


def resize(driver: Any, width: int, height: int) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def one(driver: Any, selector: str) -> Any:
    return driver.find_element("css selector", selector)


def column(driver: Any, index: int) -> list[str]:
    script = "return [...document.querySelector('table.sortable').tBodies[0].rows].map(r => r.cells[arguments[0]]"
    return driver.execute_script(f"{script}.dataset.value ?? '')", index)


def press(driver: Any, keys: str) -> None:
    driver.switch_to.active_element.send_keys(keys)


def test_hostile_names_are_inert(page: Any) -> None:
    assert page.execute_script("return document.querySelectorAll('img[src=x], [onerror]').length") == 0
    assert page.title == "A run </script><script>alert(3)</script> & more"
    assert "<img src=x onerror=alert(1)>" in one(page, "#tables").text


def test_columns_sort_by_click_and_by_key(page: Any) -> None:
    heading = one(page, "table.sortable th:nth-child(2)")
    one(page, "table.sortable th:nth-child(2) .sort").click()
    values = column(page, 1)
    numbers = [float(value) for value in values if value]
    assert len(numbers) >= 4
    assert numbers == sorted(numbers, reverse=True)
    assert "" not in values[: len(numbers)]  # Broken has none and is last
    assert heading.get_attribute("aria-sort") == "descending"

    press(page, ENTER)
    values = column(page, 1)
    assert [float(value) for value in values if value] == sorted(numbers)
    assert values[-1] == ""
    assert heading.get_attribute("aria-sort") == "ascending"

    one(page, "table.sortable th .sort").click()
    assert heading.get_attribute("aria-sort") is None
    names = [name.lower() for name in column(page, 0)]
    assert names.index("average") < names.index("broken") < names.index("infrared") < names.index("visible")


def test_papers_rows_appear_on_demand(page: Any) -> None:
    row = one(page, "tr[data-origin=paper]")
    assert not row.is_displayed()
    one(page, "#show-paper").click()
    assert row.is_displayed()
    interval = one(page, "table.numbers td small")
    assert interval.is_displayed()
    one(page, "#show-intervals").click()
    assert not interval.is_displayed()


def test_gallery_enlarges_and_flicks(page: Any) -> None:
    shown = page.find_elements("css selector", "#images figcaption")
    assert [caption.text for caption in shown][:3] == ["Infrared", "Visible", "Average"]
    assert "Broken/fuse/00001.png is not there" in one(page, ".absent").text
    blank = "return [...document.querySelectorAll('.crops canvas')].filter(c => !c.getContext('2d').getImageData(0, 0, "
    assert page.execute_script(f"{blank}c.width, c.height).data.some(v => v)).length") == 0
    assert len(page.find_elements("css selector", ".crops canvas")) == 8

    one(page, "#images figure:nth-child(2) .open").click()
    title, viewed = one(page, "#viewer-title"), one(page, "#viewer-image")
    assert title.text == "Visible"
    before = viewed.get_attribute("src")
    press(page, "1")
    zoom = one(page, "#sheet").get_attribute("style")
    assert "scale(1)" not in zoom
    press(page, RIGHT)
    assert title.text == "Average"
    assert viewed.get_attribute("src") != before
    assert one(page, "#sheet").get_attribute("style") == zoom  # the same place, as large
    press(page, LEFT + LEFT)
    assert title.text == "Infrared"
    press(page, LEFT)
    assert title.text == "Broken"
    assert not viewed.is_displayed()
    one(page, "#labels button:nth-child(4)").click()
    assert title.text == "\"><script>alert(2)</script>'"
    press(page, ESCAPE)
    assert not one(page, "#viewer").is_displayed()


def test_fused_images_turn_to_colour(driver: Any, make_run: Callable[[Path], record.Record], tmp_path: Path) -> None:
    for part in make_run(tmp_path).parts:
        fused = Cell(tmp_path, part.title, "Average", "fuse").folder
        bring_up_to_date(Colour(part.pairs, fused), Cell(tmp_path, part.title, "Average", Colour.name))
    resize(driver, 1280, 860)
    driver.get(report.write(tmp_path).as_uri())
    sources = "return [...document.querySelectorAll('#images img')].map((image) => image.src)"
    grey = driver.execute_script(sources)
    one(driver, "#show-colour").click()
    coloured = driver.execute_script(sources)
    assert [before == after for before, after in zip(grey, coloured, strict=True)] == [True, True, False, True]
    one(driver, "#images figure:nth-child(3) .open").click()
    viewed, switch = one(driver, "#viewer-image"), one(driver, "#viewer-colour")
    assert (viewed.get_attribute("src"), switch.get_attribute("aria-pressed")) == (coloured[2], "true")
    press(driver, "c")
    assert (viewed.get_attribute("src"), switch.get_attribute("aria-pressed")) == (grey[2], "false")
    switch.click()
    assert viewed.get_attribute("src") == coloured[2]
    press(driver, ESCAPE)
    assert one(driver, "#show-colour").is_selected()
    one(driver, "#scene-after").click()  # the next scene stays in colour
    assert driver.execute_script(sources)[2] not in (grey[2], coloured[2])
    one(driver, "#show-colour").click()
    one(driver, "#scene-before").click()
    assert driver.execute_script(sources) == grey
    assert driver.get_log("browser") == []


def test_scene_chooser_and_marks_open_scenes(page: Any) -> None:
    one(page, "#scene-before").click()
    assert one(page, "#scene option:checked").text == "scene 'one' & \"two\""
    mark = page.execute_script("return document.querySelector('circle[data-scene=\"1\"]')")
    name = mark.get_attribute("data-tip").split(":")[0]
    page.execute_script("arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", mark)
    assert one(page, "#viewer-scene").text == f"M3FD, {name}"
    assert one(page, "#viewer-title").text == mark.get_attribute("data-method")


def test_theme_turns_and_is_kept(page: Any) -> None:
    paper = "return getComputedStyle(document.body).backgroundColor"
    before = page.execute_script(paper)
    one(page, "#theme").click()
    after = page.execute_script(paper)
    assert after != before
    page.refresh()
    assert page.execute_script(paper) == after


def test_phone_has_no_horizontal_scroll(page: Any) -> None:
    resize(page, 390, 844)
    page.refresh()
    for opened in ("", "document.querySelectorAll('details').forEach(d => d.open = true)"):
        page.execute_script(opened)
        assert page.execute_script("return document.documentElement.scrollWidth") == 390
    assert page.execute_script("const s = document.querySelector('.scroll'); return s.scrollWidth > s.clientWidth")
    page.execute_script("document.querySelector('#images .open').click()")
    assert page.execute_script("return document.querySelector('#stage').clientWidth") <= 390


TALLEST = 100  # pixels of a row: a name on three lines, or a number with its interval and spread
MEASURE = """
const shown = (element) => element.checkVisibility() && element.getBoundingClientRect().width > 1;
const boxes = [...document.querySelectorAll(".scroll")].filter(shown);
const overflows = (element) => element.scrollWidth > element.clientWidth + 1;
const clips = (element) => getComputedStyle(element).overflowX !== "visible" && overflows(element);
const rows = [...document.querySelectorAll("tbody tr")];
return {
  width: document.documentElement.scrollWidth,
  tall: rows.filter((row) => row.offsetHeight > arguments[0]).map((row) => row.innerText),
  silent: boxes.filter((box) => clips(box) && box.previousElementSibling.hidden).length,
  scrolling: boxes.filter(clips).length,
  clipped: [...document.querySelectorAll("main *")].filter((element) => shown(element) && !element.children.length
    && !element.matches(".away, svg *") && clips(element)).map((element) => element.textContent),
};
"""


@pytest.mark.parametrize("opened", [False, True], ids=["as opened", "all disclosed"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_row_is_tall_no_text_cut_off_and_wide_tables_say_so(
    driver: Any, wide_address: str, width: int, opened: bool
) -> None:
    resize(driver, width, 860)
    driver.get(wide_address)
    if opened:
        driver.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    driver.execute_script("document.querySelector('#show-paper').click()")
    driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    found = driver.execute_script(MEASURE, TALLEST)
    assert found["width"] <= width
    assert found["tall"] == []
    assert found["silent"] == 0
    assert found["clipped"] == []
    assert bool(found["scrolling"]) == (width == 390)


def test_metrics_stand_in_groups_and_sort_by_their_direction(driver: Any, wide_address: str) -> None:
    resize(driver, 1280, 860)
    driver.get(wide_address)
    titles = [title.text for title in driver.find_elements("css selector", "#tables h4")]
    assert titles[:4] == ["information", "structure", "gradient", "fidelity"]
    heading = next(th for th in driver.find_elements("css selector", "#tables th") if th.text.startswith("MSE ↓"))
    heading.find_element("css selector", ".sort").click()
    assert heading.get_attribute("aria-sort") == "ascending"
