"""Every committed report in a real browser: what a reader sees first, on a phone and on a screen, light and dark."""

from __future__ import annotations

import functools
import importlib.util
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.report.comparison import compare_reports
from bench.report.frontier import frontiers
from bench.report.index import row_of
from bench.report.render import render
from bench.report.site import index
from bench.results.bundle import FOLDER, bundled_names

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
PACKAGES = ("playwright", "axe_playwright_python")
MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None] + ([] if BROWSER else ["chromium"])

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(not bundled_names(), reason="no results bundles here"),
    pytest.mark.filterwarnings("default"),  # of the packages that drive the browser
]

PHONE, SCREEN = {"width": 390, "height": 844}, {"width": 1440, "height": 900}
NAMES = bundled_names()
SMALLEST = 11
SERIOUS = ("serious", "critical")

FACTS = """() => {
  const box = each => { const r = each.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
  const visible = each => each.checkVisibility() && each.getClientRects().length > 0;
  const texts = [], outside = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    if (!text || !visible(parent) || ["SCRIPT", "STYLE"].includes(parent.tagName)) continue;
    const svg = parent.closest("svg"), size = parseFloat(getComputedStyle(parent).fontSize);
    const drawn = svg && svg.getBoundingClientRect(), own = svg && svg.viewBox.baseVal;
    const scale = svg ? Math.min(drawn.width / own.width, drawn.height / own.height) : 1;
    texts.push([text, size * scale]);
  }
  for (const svg of document.querySelectorAll("figure svg")) {
    if (!visible(svg)) continue;
    const [left, top, right, bottom] = box(svg);
    for (const text of svg.querySelectorAll("text")) {
      const [l, t, r, b] = box(text);
      if (l < left - 1 || t < top - 1 || r > right + 1 || b > bottom + 1) outside.push([svg.getAttribute("aria-label"), text.textContent]);
    }
  }
  const scrolled = [...document.querySelectorAll(".drawing")].filter(visible)
    .filter(each => each.scrollWidth > each.clientWidth + 1 || each.scrollHeight > each.clientHeight + 1);
  const rect = selector => { const each = document.querySelector(selector); return each && box(each); };
  const targets = [...document.querySelectorAll("a")].map(each => each.getAttribute("href"));
  return {
    small: texts.filter(([, size]) => size < 10.95), texts: texts.length, outside, targets,
    scrolled: scrolled.map(each => each.getAttribute("aria-label")),
    lost: targets.filter(each => each.startsWith("#") && !document.getElementById(each.slice(1))),
    wide: document.documentElement.scrollWidth - innerWidth,
    answer: rect(".answer"), hero: rect(".hero svg"), frame: rect(".hero"), chips: rect(".chips"),
    main: [...document.querySelectorAll("table.results tbody tr")].map(row => box(row.cells[row.cells.length > 1 ? 1 : 0])),
    cells: [...document.querySelectorAll("table.results tbody tr td:not(.more)")].map(box),
  };
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Name of a committed ablation -> its page, rendered from the bundle alone when it is first asked for."""
    folder = tmp_path_factory.mktemp("site")
    return functools.cache(lambda name: render(bench.load(name, source=FOLDER / name).results, folder))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


class Opened:
    """A page in the browser, with everything that went wrong or left the page."""

    def __init__(self, browser: Any, path: Path, size: dict[str, int], scheme: str = "light") -> None:
        self.page = browser.new_page(viewport=size, color_scheme=scheme)
        self.problems: list[str] = []
        self.page.on("console", lambda message: message.type == "error" and self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self._requested(request.url, path))
        self.page.goto(path.as_uri())

    def _requested(self, url: str, path: Path) -> None:
        if url.partition("#")[0] != path.as_uri() and not url.startswith("data:"):
            self.problems.append(f"requested {url}")

    def __enter__(self) -> Any:
        return self.page

    def __exit__(self, *exception: object) -> None:
        self.page.close()
        assert not self.problems


@pytest.mark.parametrize("name", NAMES)
def test_a_report(site: Callable[[str], Path], browser: Any, name: str):
    """First screen, text, figures, links and accessibility, on a phone and on a screen, in light and in dark."""
    path, scheme = site(name), ("light", "dark")[NAMES.index(name) % 2]
    with Opened(browser, path, PHONE, scheme) as page:
        check_first_screen(page.evaluate(FACTS), PHONE)
        check_opened(page, path)
        page.set_viewport_size(SCREEN)
        check_opened(page, path)
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = false; })")
        check_first_screen(page.evaluate(FACTS), SCREEN)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            check_accessible(page)


def check_accessible(page: Any) -> None:
    """axe finds nothing serious."""
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(page).response["violations"]
    assert not [f"{each['id']}: {each['nodes'][0]['html']}" for each in violations if each["impact"] in SERIOUS]


def check_first_screen(facts: dict[str, Any], size: dict[str, int]) -> None:
    """The whole answer card with its hero figure is within the window, and no main column is cut."""
    for part in ("answer", "chips", *(("frame", "hero") if facts["hero"] else ())):
        left, top, right, bottom = facts[part]
        assert left >= 0, part
        assert right <= size["width"], part
        assert 0 <= top < bottom <= size["height"], part
    assert facts["cells"]
    assert all(left >= 0 and right <= size["width"] for left, _, right, _ in facts["cells"])


def check_opened(page: Any, path: Path) -> None:
    """With all details open nothing is too small, too wide, outside of its figure, or linked and missing."""
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    facts = page.evaluate(FACTS)
    files = [target for target in facts["targets"] if not target.startswith("#")]
    assert facts["texts"] > 20
    assert facts["wide"] <= 0
    assert not facts["small"]
    assert not facts["outside"]
    assert not facts["scrolled"]
    assert not facts["lost"]
    assert not [target for target in files if not (path.parent / target).is_file()]


def test_dark_and_light_differ_and_both_are_legible(site: Callable[[str], Path], browser: Any):
    looks = {}
    for scheme in ("light", "dark"):
        with Opened(browser, site("fcn_skips"), SCREEN, scheme) as page:
            style = "getComputedStyle(document.{}).{}"
            looks[scheme] = (
                page.evaluate(style.format("body", "backgroundColor")),
                page.evaluate(style.format("querySelector('.hero svg')", "color")),
            )
    assert looks["light"][0] == "rgb(255, 255, 255)"
    assert looks["dark"][0] == "rgb(15, 19, 24)"
    assert looks["light"][1] != looks["dark"][1]


def test_sort_and_filter_by_keyboard(site: Callable[[str], Path], browser: Any):
    with Opened(browser, site("fcn_skips"), SCREEN) as page:
        scores = (
            "[...document.querySelectorAll('table.results tbody tr')].map(row => Number(row.cells[2].dataset.sort))"
        )
        page.focus("table.results thead th:nth-child(3) button")
        page.keyboard.press("Enter")
        assert page.evaluate(scores) == sorted(page.evaluate(scores))
        page.keyboard.press("Space")
        assert page.evaluate(scores) == sorted(page.evaluate(scores), reverse=True)
        page.focus("#filter")
        page.keyboard.type("fcn-8s")
        shown = page.evaluate(
            "[...document.querySelectorAll('table.results tbody tr')].filter(r => r.checkVisibility()).length"
        )
        assert shown == 1
        assert page.inner_text("#filtered") == "1 of 6 variants"
        page.focus("#all-metrics")
        hidden = "document.querySelector('table.results .more').checkVisibility()"
        assert not page.evaluate(hidden)
        page.keyboard.press("Space")
        assert page.evaluate(hidden)


def test_a_global_receptive_field_sorts_above_all(site: Callable[[str], Path], browser: Any):
    """Of every page that has one."""
    with Opened(browser, site("segmentation_frontier"), SCREEN) as page:
        page.check("#all-metrics")
        head = page.locator("table.results thead button", has_text="receptive field")
        column = "document.activeElement.closest('th').cellIndex"
        head.focus()
        page.keyboard.press("Enter")
        index = page.evaluate(column)
        texts = page.evaluate(
            f"[...document.querySelectorAll('table.results tbody tr')].map(row => row.cells[{index}].textContent)"
        )
        places = [i for i, text in enumerate(texts) if "global" in text]
        assert places == list(range(len(texts) - len(places), len(texts)))
        assert places


def test_the_printed_main_table_is_whole(site: Callable[[str], Path], browser: Any):
    """Landscape A4 with margins of 1 cm is 277 mm wide, 1047 px."""
    with Opened(browser, site("fcn_skips"), {"width": 1047, "height": 718}) as page:
        page.emulate_media(media="print")
        facts = page.evaluate(FACTS)
        assert len(facts["cells"]) == 6 * 4
        assert all(left >= 0 and right <= 1047 and bottom > top for left, top, right, bottom in facts["cells"])
        cut = "[...document.querySelectorAll('.results, .results *')].filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth).length"
        assert page.evaluate(cut) == 0


@pytest.fixture(scope="module")
def index_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index over all bundles; the pages that it links to are empty files."""
    folder = tmp_path_factory.mktemp("index")
    every = [bench.load(name, source=FOLDER / name).results for name in NAMES]
    for name in NAMES:
        (folder / name).mkdir()
        (folder / name / "index.html").touch()
    return index([row_of(each) for each in every], folder, frontiers(every))


ROWS = "[...document.querySelectorAll('#{} tbody tr')].filter(row => row.checkVisibility())"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_index_is_legible_on_a_phone_and_on_a_screen(index_page: Path, browser: Any, scheme: str):
    for size in (PHONE, SCREEN):
        with Opened(browser, index_page, size, scheme) as page:
            facts = page.evaluate(FACTS)
            assert facts["wide"] <= 0
            assert not facts["small"]
            assert not facts["outside"]
            targets = {target.partition("#")[0] for target in facts["targets"]}
            assert {f"{name}/index.html" for name in NAMES} <= targets
            assert not [target for target in targets if target and not (index_page.parent / target).is_file()]
            assert all(left >= 0 and right <= size["width"] for left, _, right, _ in facts["cells"])
            check_accessible(page)


def test_the_index_is_filtered_and_sorted_by_keyboard(index_page: Path, browser: Any):
    with Opened(browser, index_page, SCREEN) as page:
        names = ROWS.format("ablations") + ".map(row => row.cells[0].textContent)"
        assert page.evaluate(names) == list(NAMES)
        page.focus("form[data-table=ablations] select[name=family]")
        page.keyboard.type("unet")
        page.keyboard.press("Enter")
        some = page.evaluate(names)
        assert "unet_skips" in some
        assert "vae_knee" not in some
        page.focus("form[data-table=ablations] input")
        page.keyboard.type("unet_skips")
        assert page.evaluate(names) == ["unet_skips"]
        verdicts = ROWS.format("ledger") + ".map(row => row.cells[1].textContent)"
        assert page.evaluate(verdicts)[0] == "contradicted"
        page.focus("form[data-table=ledger] select")
        page.keyboard.type("reproduced")
        page.keyboard.press("Enter")
        assert {*page.evaluate(verdicts)} == {"reproduced"}
        claims = ROWS.format("ledger") + ".map(row => row.cells[0].dataset.sort)"
        page.focus("#ledger thead button")
        page.keyboard.press("Enter")
        assert page.evaluate(claims) == page.evaluate(claims + ".sort((a, b) => a.localeCompare(b))")


def test_a_comparison_of_two_reports_is_legible(tmp_path: Path, browser: Any):
    one, other = (bench.load(name, source=FOLDER / name).results for name in ("fcn_skips", "unet_skips"))
    for size, scheme in ((PHONE, "dark"), (SCREEN, "light")):
        with Opened(browser, compare_reports(one, other, tmp_path), size, scheme) as page:
            facts = page.evaluate(FACTS)
            assert facts["wide"] <= 0
            assert not facts["small"]
            assert all(left >= 0 and right <= size["width"] for left, _, right, _ in facts["cells"])
            check_accessible(page)
