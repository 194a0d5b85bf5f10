"""The explorers and the stored notebooks in headless Chromium, as readers meet them.

Every explorer in a real JupyterLab, on small data: run it, move its control, see it change. Stored
figures there, and in the pages of `make site`, without a network and without JavaScript.

Screenshots go to the folder in DIFFERNET_SCREENSHOTS, or to pytest's tmp_path. Where Chromium or
playwright is missing the tests are skipped with a reason, unless CI=true: then they fail.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest

import differnet_course.widgets

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHROMIUM = os.environ.get("BROWSER_PATH") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
START = """\
import numpy as np
from differnet_course.flows import MADE, AdditiveCoupling, Chain, two_moons
from differnet_course.gradient_maps import GradientMaps
from differnet_course.widgets import *
from differnet_course.widgets import __all__ as names
from differnet_lite import DifferNet, Transformations
rng = np.random.default_rng(0)
images = list(rng.integers(0, 255, (9, 64, 64, 3), dtype=np.uint8))
print(*names)"""


class Explorer(NamedTuple):
    """How to drive one explorer: its code, and patterns of its label before and after a move.

    It is moved by the code `moved_by`, or else by an arrow key on its first slider.
    """

    code: str
    before: str
    after: str
    moved_by: str | None = None


EXPLORERS = {
    "DensityExplorer": Explorer(
        "explorer = DensityExplorer(Chain([MADE(2), AdditiveCoupling(2)]), two_moons(200))",
        r"after 0 of 2 blocks",
        r"after 0.05 of 2 blocks",
    ),
    "RotationExplorer": Explorer(
        "features = {'black': rng.normal(size=(3, 5)), 'reflection': rng.normal(size=(3, 5))}\n"
        "explorer = RotationExplorer(images[0], (0.0, 7.5, 90.0), features)",
        r"turned by 0 degrees",
        r"turned by 7\.5 degrees",
    ),
    "LiveLoss": Explorer(
        "explorer = LiveLoss(3)",
        r"waiting for the first epoch",
        r"epoch 2 of 3:",
        moved_by="explorer(2, {'epoch': [1, 2], 'train': [3.0, 2.0], 'held_out': [4.0, 3.0]})",
    ),
    "ThresholdExplorer": Explorer(
        "kinds = ['good'] * 6 + ['dent'] * 3\n"
        "scores = rng.normal(5, 1, 9)\n"
        "explorer = ThresholdExplorer(rng.normal(5, 1, 39), scores, kinds, images=images)",
        r"θ = [\d.]+, guarantees α ≤ 5.0%",
        r"θ = [\d.]+, guarantees",
    ),
    "LocalizationExplorer": Explorer(
        "small = {'size': 256, 'hidden': 8, 'n_blocks': 2, 'epochs': 1, 'calibration': 'none'}\n"
        "views = Transformations.grid(8)\n"
        "model = DifferNet(transformations=views, cache=None, progress=False, **small)\n"
        "maps = GradientMaps(model.fit(images), images)\n"
        "kept = KeptMaps(maps, images[:2], images[2:4])\n"
        "explorer = LocalizationExplorer(kept, titles=['one', 'two'], masks=[None, None])",
        r"^one: .* times the level",
        r"^two: .* times the level",
        moved_by="explorer.image_menu.value = 1",  # noise may have no colour in its map
    ),
}
COMPUTING = 300_000  # ms, for cells on a slow machine

PANEL = "window.jupyterapp?.shell?.currentWidget"
KERNEL_IDLE = f"{PANEL}?.sessionContext?.session?.kernel?.status === 'idle'"
CODE = f"{PANEL}.content.widgets.filter(c => c.model.type === 'code')"
ERRORS = f"{CODE}.flatMap(c => c.model.outputs.toJSON()).filter(o => o.output_type === 'error')"


def need(condition: object, reason: str) -> None:
    """Skip, but never in CI."""
    if not condition:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    need(sync_playwright, "playwright is not installed")
    need(CHROMIUM, "no Chromium found: install it, or name it in BROWSER_PATH")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of a JupyterLab of our own, over a copy of the notebooks, with its own settings."""
    need(importlib.util.find_spec("jupyterlab"), "jupyterlab is not installed")
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", home / "notebooks")
    cells = [START, *(f"{one.code}\nexplorer" for one in EXPLORERS.values()), "moved = 0"]
    notebook = nbformat.read(NOTEBOOKS[0], as_version=4)  # with the name of a kernel
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in cells]
    nbformat.write(notebook, home / "notebooks" / "explorers.ipynb")
    settings = home / "settings"
    quiet = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    extra = {"JUPYTERLAB_SETTINGS_DIR": str(settings), "PYTHONPATH": path}
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR"):
        extra[name] = str(home / name.lower())
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    command += ["--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True"]
    command += [f"--ServerApp.root_dir={home / 'notebooks'}"]
    with (home / "log").open("w") as log:
        streams = {"stdout": log, "stderr": log, "start_new_session": True}
        server = subprocess.Popen(command, env=os.environ | extra, **streams)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for_server(address, server, home / "log")
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def wait_for_server(address: str, server: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/api/status", timeout=2).close()
        except OSError:
            time.sleep(0.3)
        else:
            return
    pytest.fail(f"JupyterLab did not answer:\n{log.read_text()[-2000:]}")


@pytest.fixture
def screenshots(tmp_path):
    folder = Path(os.environ.get("DIFFERNET_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def watched(tab) -> list[str]:
    """The errors of a page and of its console, as they come."""
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    return problems


class Page:
    """A notebook in a tab: runs cells, and looks at the output of one."""

    def __init__(self, page, address: str, name: str) -> None:
        self.page = page
        # its own workspace: nothing is restored into it
        page.goto(f"{address}/lab/workspaces/{Path(name).stem}/tree/{name}")
        page.wait_for_selector(".jp-NotebookPanel .jp-Notebook", timeout=90_000)
        ready = f"{PANEL}.context.isReady && {CODE}.length > 2"
        loaded = f"{PANEL}?.context?.path === '{name}' && {ready}"  # not one restored from before
        page.wait_for_function(f"({loaded}) && ({KERNEL_IDLE})", timeout=90_000)
        self.places = page.evaluate(f"{CODE}.map(c => {PANEL}.content.widgets.indexOf(c))")

    def output(self, k: int):
        """What is drawn of a code cell, scrolled to, whatever it has put out."""
        self.page.evaluate(f"() => {PANEL}.content.scrollToItem({self.places[k]}, 'start')")
        return self.page.locator(f".jp-Cell[data-windowed-list-index='{self.places[k]}']")

    def run(self, k: int) -> None:
        """Run one code cell, and wait for its end."""
        before = self.page.evaluate(f"{CODE}[{k}].model.executionCount")
        self.page.evaluate(f"() => {{ ({PANEL}).content.activeCellIndex = {self.places[k]} }}")
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell') }")
        count = f"{CODE}[{k}].model.executionCount"
        done = f"({KERNEL_IDLE} && {count} && {count} !== {json.dumps(before)})"
        self.page.wait_for_function(f"{done} || {ERRORS}.length > 0", timeout=COMPUTING)
        assert self.page.evaluate(ERRORS) == []

    def run_new(self, k: int, source: str) -> None:
        """Run other code in a code cell."""
        text = json.dumps(source)
        self.page.evaluate(f"() => {{ {CODE}[{k}].model.sharedModel.setSource({text}) }}")
        self.run(k)

    def show(self, k: int):
        """The output of a code cell, scrolled into view."""
        output = self.output(k).locator(".jp-Cell-outputWrapper")
        output.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=60_000)
        return output


def label(output) -> str:
    return " ".join(output.locator(".widget-html-content").first.inner_text().split())


def wait_for(read: Callable[[], Any], good: Callable[[Any], object]) -> Any:
    """Wait until what is read is good."""
    end = time.monotonic() + 60
    value = read()
    while not good(value):
        assert time.monotonic() < end, f"after a minute it is still {value!r}"
        time.sleep(0.1)
        value = read()
    return value


def drawn(output) -> list[str]:
    """What the explorer's first figure shows: its paths, its photographs and heat maps."""
    return output.locator(".js-plotly-plot").first.evaluate(
        "f => [...f.querySelectorAll('path.js-line, .shapelayer path')]"
        ".map(p => p.getAttribute('d'))"
        ".concat([...f.querySelectorAll('image')]"
        ".map(i => i.getAttribute('href') || i.getAttribute('xlink:href')))"
    )


@pytest.mark.parametrize("name", EXPLORERS)
def test_explorer_in_jupyterlab(browser, lab, screenshots, name):
    explorer = EXPLORERS[name]
    tab = browser.new_page(viewport={"width": 1400, "height": 1000})
    problems = watched(tab)
    try:
        page = Page(tab, lab, "explorers.ipynb")
        cell = 1 + list(EXPLORERS).index(name)
        page.run(0)
        page.run(cell)
        output = page.show(cell)
        text = wait_for(lambda: label(output), lambda now: re.search(explorer.before, now))
        was = drawn(output)  # of LiveLoss nothing, at first
        if explorer.moved_by is None:
            output.locator(".noUi-handle").first.focus()
            tab.keyboard.press("ArrowRight")
        else:
            page.run_new(len(EXPLORERS) + 1, explorer.moved_by)
            output = page.show(cell)
        after = explorer.after
        wait_for(lambda: label(output), lambda now: now != text and re.search(after, now))
        wait_for(lambda: drawn(output), lambda now: now and now != was)
        output.screenshot(path=screenshots / f"{name}.png")
        # anywidget complains of a widget that takes 3 s to come up; what was drawn above came up
        assert [text for text in problems if "Failed to initialize model" not in text] == []
    finally:
        tab.close()


def test_every_explorer_is_driven():
    assert {*EXPLORERS, "KeptMaps"} == set(differnet_course.widgets.__all__)


def test_stored_figures_in_jupyterlab(browser, lab, screenshots):
    tab = browser.new_page(viewport={"width": 1400, "height": 1000})
    try:
        page = Page(tab, lab, "02_coupling_flows.ipynb")
        kinds = tab.evaluate(
            f"{CODE}.map(c => c.model.outputs.toJSON().flatMap(o => Object.keys(o.data || {{}})))"
        )
        figures = ["application/vnd.plotly.v1+json" in found for found in kinds]
        figure = figures.index(True)
        assert "image/jpeg" in kinds[figure]
        page.show(figure)  # waits for Plotly's drawing
        assert page.output(figure).locator(".jp-RenderedImage").count() == 0
        explorer = next(k for k, found in enumerate(kinds) if found == ["image/jpeg", "text/plain"])
        picture = page.output(explorer).locator(".jp-RenderedImage img")
        picture.wait_for(timeout=20_000)
        page.output(explorer).screenshot(path=screenshots / "explorer_as_stored.png")
    finally:
        tab.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages of `make site`."""
    need(importlib.util.find_spec("latex2mathml"), "latex2mathml is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, ROOT / "scripts" / "write_site.py", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def offline(browser):
    """Makes a tab that has no network, and lists what goes wrong in it."""
    contexts = []

    def make(*, javascript: bool):
        contexts.append(browser.new_context(java_script_enabled=javascript, offline=True))
        tab = contexts[-1].new_page()
        problems = watched(tab)
        local = ("file:", "data:")
        tab.on("request", lambda r: r.url.startswith(local) or problems.append(r.url))
        return tab, problems

    yield make
    for context in contexts:
        context.close()


def test_the_site_draws_figures_and_formulas_without_a_network(site, offline, screenshots):
    tab, problems = offline(javascript=True)
    formulas = 0
    pages = sorted(site.glob("*.html"))
    assert len(pages) == 1 + len(NOTEBOOKS)
    for path in pages:
        tab.goto(path.as_uri())
        tab.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
        figures = tab.locator(".figure")
        for k in range(figures.count()):
            figures.nth(k).scroll_into_view_if_needed()
            figures.nth(k).locator(".main-svg").first.wait_for(timeout=20_000)
            figures.nth(k).locator("img").wait_for(state="hidden", timeout=20_000)
        if figures.count():
            figures.last.screenshot(path=screenshots / f"site_{path.stem}.png")
        formulas += tab.locator("math").count()
        assert tab.locator("merror").count() == 0
        assert "$" not in " ".join(tab.locator(".jp-MarkdownOutput").all_inner_texts())
    assert formulas > 100 and problems == []


def test_pictures_and_answers_show_without_javascript(site, offline):
    tab, problems = offline(javascript=False)
    for notebook in NOTEBOOKS:
        outputs = [
            output.get("data", {})
            for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]
            for output in cell.get("outputs", ())
        ]
        pictures = sum(any(mime.startswith("image/") for mime in data) for data in outputs)
        tab.goto((site / f"{notebook.stem}.html").as_uri())
        for answer in tab.locator("summary").all():
            answer.click()
        images = tab.locator(".jp-OutputArea img").all()
        assert len(images) == pictures > 0
        for image in images:
            box = image.bounding_box()
            assert image.is_visible() and box["width"] > 200 and box["height"] > 100
    assert problems == []
