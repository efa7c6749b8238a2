"""The site in a real browser.

The site is built from what comes with the course; or it is the one in the folder that RADIOGEN_SITE names.
"""

import functools
import http.server
import itertools
import json
import os
import re
import threading
from pathlib import Path
from urllib.parse import unquote, urldefrag

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from radiogen_utils.course import site
from radiogen_utils.support import project_root

from . import needs

pytestmark = needs("sphinx", "myst_nb", "playwright")
WIDTHS, SCHEMES = (390, 1280), ("light", "dark")


@pytest.fixture(scope="session")
def html(tmp_path_factory):
    """The folder of the built site."""
    if named := os.environ.get("RADIOGEN_SITE"):
        return project_root() / named
    folder = tmp_path_factory.mktemp("site")
    site.gather(None, folder / "source")
    site.build(folder / "source", folder / "html")
    return folder / "html"


def pages(folder):
    """All pages but the listings of source code, which are many and alike, and the theme's templates."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.html")
        if not {"_modules", "_static"} & set(path.parts)
    )


@pytest.fixture(scope="session")
def address(html):
    """Where the site is served."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(html)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture
def tab(browser, address):
    """A page of desktop size; `tab.go("index.html")` opens one and waits until all is there."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=address)
    page = context.new_page()
    page.go = lambda name: (page.goto(name), page.wait_for_load_state("networkidle"))
    yield page
    context.close()


def test_every_page_is_sound_and_accessible(html, browser, address):
    """At both widths, light and dark; axe looks at a light phone and a dark desktop."""
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(base_url=address)
    page, faults, found = context.new_page(), [], {}
    context.route(lambda url: not url.startswith(address), lambda route: route.abort())  # a reader may be offline
    context.on("requestfailed", lambda request: faults.append(f"not loaded: {request.url}"))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    for name in pages(html):
        faults.clear()
        page.goto(name)
        page.wait_for_load_state("networkidle")
        broken = page.evaluate("[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)")
        told = [*faults, *(f"no picture: {src}" for src in broken)]
        odd = page.evaluate("[...document.querySelectorAll('mfrac')].filter(f => f.children.length !== 2).length")
        told += [f"{odd} fractions without two halves"] if odd else []
        for number, (width, scheme) in enumerate(itertools.product(WIDTHS, SCHEMES)):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme)
            over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            told += [f"{width}: {over} px too wide"] if over > 0 else []
            if number in (0, 3):
                violations = (
                    Axe().run(page, options={"preload": False, "resultTypes": ["violations"]}).response["violations"]
                )
                told += [
                    f"{width}, {scheme}: {v['id']}: {v['nodes'][0]['html'][:120]}"
                    for v in violations
                    if v["impact"] in ("serious", "critical")
                ]
        if told:
            found[name] = told
    context.close()
    assert not found, json.dumps(found, indent=1)


def test_every_internal_link_leads_somewhere(html):
    names, links = {}, []
    for path in {*html.rglob("*.html")} - {*html.rglob("_static/*.html")}:
        text = path.read_text(encoding="utf-8")
        names[path.resolve()] = set(re.findall(r'\bid="([^"]+)"', text)) | {""}
        links += [(path, link) for link in re.findall(r'<(?:a|link|img|script)\b[^>]*?\b(?:href|src)="([^"]+)"', text)]
    dead = []
    for path, link in links:
        if re.match(r"\w+:|//", link):
            continue
        file, anchor = urldefrag(link)
        target = (path.parent / unquote(file).partition("?")[0]).resolve() if file else path.resolve()
        if not target.exists() or (target in names and unquote(anchor) not in names[target]):
            dead.append(f"{path.relative_to(html)}: {link}")
    assert not dead
    assert len(links) > 1000


def test_the_search_finds_grad_cam(tab):
    tab.go("search.html?q=Grad-CAM")
    tab.wait_for_selector("#search-results li")
    assert any("glossary" in link.get_attribute("href") for link in tab.query_selector_all("#search-results li a"))


def test_solutions_and_answers_open(html, tab):
    closed = [name for name in pages(html) if "<summary>Solution</summary>" in (html / name).read_text()]
    tab.go(closed[0])
    solution = tab.locator("details", has=tab.locator("summary", has_text="Solution")).first
    code = solution.locator("pre").first
    assert not code.is_visible()
    solution.locator("summary").press("Enter")
    assert code.is_visible()


def test_a_term_tells_what_it_means(html, tab):
    linking = [
        name for name in pages(html) if re.search(r'href="glossary\.html#[^"]+" title="', (html / name).read_text())
    ]
    tab.go(linking[0])
    tab.locator("a.term").first.focus()
    assert tab.locator("#term-tip").is_visible() and len(tab.locator("#term-tip").inner_text()) > 20
    tab.keyboard.press("Escape")
    assert not tab.locator("#term-tip").is_visible()


def data_of(html, name):
    text = (html / "_static" / f"{name}-data.js").read_text(encoding="utf-8")
    return json.loads(re.fullmatch(r"window\.\w+ = (.*);\n", text)[1])


@pytest.mark.parametrize("width", WIDTHS)
def test_the_threshold_explorer_counts_as_scikit_learn_does(html, tab, width):
    """By the keyboard: every arm's AUC, and for one arm every threshold."""
    data = data_of(html, "explorer")
    tab.set_viewport_size({"width": width, "height": 900})
    tab.go("index.html")
    place = tab.locator(".explorer").first
    slider, chooser = place.locator("input"), place.locator("select")
    for number, arm in enumerate(data["arms"]):
        chooser.select_option(str(number))
        shown = float(place.get_attribute("data-auc"))
        assert shown == pytest.approx(roc_auc_score(data["y"], arm["scores"]), abs=1e-9)
        assert f"AUC {shown:.3f}" in place.inner_text()
    chooser.select_option("1")
    scores = np.array(data["arms"][1]["scores"])
    false, true, thresholds = roc_curve(data["y"], scores, drop_intermediate=False)
    slider.focus()
    tab.keyboard.press("Home")
    for threshold, false_rate, true_rate in zip(thresholds[::-1], false[::-1], true[::-1], strict=True):
        counts = {name: int(place.get_attribute(f"data-{name}")) for name in ("tn", "fp", "fn", "tp")}
        assert [*counts.values()] == confusion_matrix(data["y"], scores >= threshold, labels=[0, 1]).ravel().tolist()
        assert f"Sensitivity {np.floor(100 * true_rate + 0.5):.0f} %" in place.inner_text()
        cells = [int(cell) for cell in place.locator("td").all_inner_texts() if cell.strip()]
        assert cells == [counts["tp"], counts["fn"], counts["fp"], counts["tn"]]
        assert counts["fp"] / 86 == pytest.approx(false_rate)
        tab.keyboard.press("ArrowRight")


def test_the_threshold_can_be_dragged(tab):
    tab.go("index.html")
    place = tab.locator(".explorer").first
    place.scroll_into_view_if_needed()
    box = place.locator(".dots").bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 2, box["y"] + 60, steps=4)
    assert (place.get_attribute("data-fn"), place.get_attribute("data-tn")) == ("0", "0")
    tab.mouse.move(box["x"] + box["width"] - 1, box["y"] + 60, steps=4)
    tab.mouse.up()
    assert (place.get_attribute("data-tp"), place.get_attribute("data-fp")) == ("0", "0")


def test_a_specification_tells_its_choices(html, tab):
    data = data_of(html, "multiverse")
    tab.go("specifications.html")
    place = tab.locator(".explorer").first
    place.locator("input").focus()
    tab.keyboard.press("End")
    assert place.get_attribute("data-number") == str(data["number"][-1])
    for name, choice in data["choices"].items():
        assert place.locator(f"dt:text-is('{name}') + dd").inner_text() == (
            choice["levels"][choice["at"][-1]] or "none"
        )
    box = place.locator("svg").bounding_box()
    tab.mouse.move(box["x"] + box["width"] * 48 / 698, box["y"] + 50)  # where the curve begins
    assert place.get_attribute("data-number") == str(data["number"][0])


def test_the_site_works_from_a_disk(html, tab):
    faults = []
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.goto(Path(html, "index.html").as_uri())
    tab.wait_for_load_state("networkidle")
    assert not faults and tab.locator(".explorer").first.get_attribute("data-auc")
