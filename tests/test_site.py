"""The built site in a real browser: what it loads, links, draws and moves, and that it can be read."""

import json
import re
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from build_site import ROOT, badges, build

import depthkit

CHARACTERS = 90  # in the longest line of text at 1400 pixels
MEGABYTES = 5  # of a page
PAGE = """
const done = arguments[0], all = (kind, from = document) => [...from.querySelectorAll(kind)];
function lines(text) {  // characters in each line of a paragraph, as the browser broke it
  const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT), range = document.createRange(), counts = [0];
  let right = -Infinity;
  for (let node; node = walker.nextNode();) {
    if (node.parentElement.closest('mjx-container')) continue;
    for (const word of node.data.matchAll(/[^\\s-]+-*\\s*|-+\\s*/g)) {
      range.setStart(node, word.index); range.setEnd(node, word.index + word[0].trimEnd().length);
      const place = range.getClientRects()[0];
      if (!place) continue;
      if (place.left < right - 2) counts.push(0);
      right = place.right; counts[counts.length - 1] += word[0].length; } }
  return counts; }
function plain(node) { return node.nodeType == 3 ? node.data
  : node.matches?.('code, pre, script, style, mjx-container') ? '' : [...node.childNodes].map(plain).join(''); }
(window.MathJax?.startup?.promise ?? Promise.resolve()).then(() => done({
  anchors: all('[id]').map(e => e.id), links: all('a[href]').map(e => e.href),
  unnamed: all('img').filter(e => !e.alt.trim() || /\\.(png|svg|jpe?g)$/.test(e.alt)).map(e => e.src.slice(0, 200)),
  undrawn: all('.math').filter(e => !e.querySelector('mjx-container svg') || e.querySelector('[data-mjx-error]'))
    .map(e => e.textContent), dollars: plain(document.body).match(/\\$[^$]{0,30}/g) ?? [],
  formulas: all('mjx-container').length, moving: all('.moving-figure').length, text: document.body.innerText,
  widest: Math.max(0, ...all('article p, article li').filter(e => !e.querySelector('p, ul, ol, pre'))
    .flatMap(lines)) }));
"""
SHOWN = """return [...arguments[0].querySelectorAll('img, canvas')].map(e =>
  (e.src ?? e.toDataURL()) + getComputedStyle(e).clipPath).join(' ');"""
MOVE = """const bar = arguments[0]; bar.value = bar.value == bar.max ? bar.min : bar.max;
bar.dispatchEvent(new Event('input', {bubbles: true})); bar.dispatchEvent(new Event('change', {bubbles: true}));"""

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs Debian's chromium and chromium-driver, which .ci/run installs")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    flags = "headless no-sandbox disable-gpu no-first-run disable-background-networking disable-component-update"
    for flag in [*flags.split(), f"user-data-dir={tmp_path_factory.mktemp('browser')}"]:
        options.add_argument(f"--{flag}")
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    with webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver"))) as driver:
        yield driver


@pytest.fixture(scope="module")
def site(browser, tmp_path_factory):
    return build(tmp_path_factory.mktemp("site") / "html").parent


@pytest.fixture(scope="module")
def pages(browser, site):
    return visit(browser, site)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def visit(browser, folder):
    """{page: what it holds, asked for, complained of and moved} of all pages in a folder, served to the browser."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/"
    try:
        names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.html"))]
        return {name: look(browser, base, name) for name in names if name != "index.html" and "_static" not in name}
    finally:
        server.shutdown()


def look(browser, base, name):
    resize(browser, 1400)
    browser.get(base + name)
    page = browser.execute_async_script(PAGE)
    page["links"] = [link.removeprefix(base) for link in page["links"] if link.startswith(base)]
    page["still"] = [i for i, bar in enumerate(bars(browser)) if not moves(browser, bar)]
    resize(browser, 390)
    page["overflow"] = browser.execute_script("return document.documentElement.scrollWidth") - 390
    page["complaints"] = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    page["foreign"] = [url[:200] for url in asked if not url.startswith((base, "data:", "blob:", "chrome:"))]
    return page


def resize(browser, width):
    metrics = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def bars(browser):
    return browser.find_elements("css selector", ".moving-figure input[type=range]")


def moves(browser, bar):
    """Whether another picture shows, or another part of one, once the slider stands elsewhere."""
    figure = bar.find_element("xpath", "ancestor::*[contains(@class, 'moving-figure')]")
    before = browser.execute_script(SHOWN, figure)
    browser.execute_script(MOVE, bar)
    return browser.execute_script(SHOWN, figure) != before


def broken_links(pages, folder):
    for name, page in pages.items():
        for link in set(page["links"]):
            target, _, anchor = link.partition("#")
            known = pages[target]["anchors"] if target in pages else []
            if not (folder / target.partition("?")[0]).is_file() or (anchor and anchor not in known):
                yield f"{name}: {link}"


def faults(pages, folder):
    """What is wrong with each page, by kind."""
    found = {"links": list(broken_links(pages, folder))}
    for kind in ("complaints", "foreign", "unnamed", "undrawn", "dollars", "still"):
        found[kind] = [f"{name}: {what}" for name, page in pages.items() for what in page[kind]]
    found["wide"] = [f"{name}: {page['widest']}" for name, page in pages.items() if page["widest"] > CHARACTERS]
    found["overflow"] = [f"{name}: {page['overflow']}" for name, page in pages.items() if page["overflow"] > 0]
    return {kind: list_ for kind, list_ in found.items() if list_}


def test_every_page_loads_reads_links_and_moves_without_a_request_elsewhere(pages, site):
    assert faults(pages, site) == {}
    assert max(path.stat().st_size for path in site.rglob("*.html")) < MEGABYTES * 1e6


def test_every_notebook_is_a_page_with_its_badges_formulas_and_moving_figures(pages, site):
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        page, cells = pages[f"notebooks/{path.stem}.html"], json.loads(path.read_text(encoding="utf-8"))["cells"]
        html = (site / "notebooks" / f"{path.stem}.html").read_text(encoding="utf-8")
        assert all(address in html for address in re.findall(r"\]\((https[^)]+)", badges(path.name, ""))), path.name
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        moving = sum("moving-figure" in "".join(output.get("data", {}).get("text/html", "")) for output in outputs)
        assert page["moving"] == moving, path.name
        text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        assert page["formulas"] >= text.count("$$") / 2 > 0 or "$$" not in text, path.name
        assert "import subprocess" not in page["text"], f"{path.name}: the cell that installs is not folded"


def test_the_reference_names_all_that_the_kit_exports(pages):
    assert {f"depthkit.{name}" for name in depthkit.__all__} <= set(pages["docs/reference.html"]["anchors"])


def test_faults_are_seen(browser, tmp_path):
    (tmp_path / "good.html").write_text('<!doctype html><link rel="icon" href="data:,"><p id="here">text</p>')
    assert faults(visit(browser, tmp_path), tmp_path) == {}
    slider = '<div class="moving-figure"><img alt="a map" src="data:,"><input type="range" max="9"></div>'
    broken = {
        "links": '<a href="good.html#there">to nowhere</a>',
        "foreign": '<img alt="a badge" src="https://example.org/badge.svg">',
        "unnamed": "<img src=\"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>\">",
        "undrawn": '<span class="math">x</span>',
        "dollars": "<p>a depth $z$</p>",
        "still": slider,
        "complaints": "<script>console.error('no')</script>",
        "wide": f"<article><p>{'word ' * 60}</p></article>",
        "overflow": '<div style="width: 500px">wide</div>',
    }
    for kind, body in broken.items():
        (tmp_path / "bad.html").write_text(f'<!doctype html><link rel="icon" href="data:,">{body}')
        assert kind in faults(visit(browser, tmp_path), tmp_path), kind


def test_a_broken_reference_stops_the_build(tmp_path, capfd):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# A page\n\n[itself](index.md)\n")
    assert build(tmp_path / "html", source=tmp_path).is_file()
    (tmp_path / "docs" / "index.md").write_text("# A page\n\n[no page](nowhere.md)\n")
    with pytest.raises(SystemExit):
        build(tmp_path / "html", source=tmp_path)
    assert "nowhere.md" in capfd.readouterr().err
