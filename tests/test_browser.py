"""The notebooks in headless Chromium, as readers meet them.

Every explorer in a real JupyterLab: run, move the control, see it change. The quiz there by
keyboard alone. Stored figures there, in nbconvert's pages without JavaScript, and in the pages of
`make site` without a network.

Screenshots go to the folder in DIFFERNET_SCREENSHOTS, or to pytest's tmp_path. Where Chromium or
playwright is missing the tests are skipped with a reason, unless CI=true: then they fail.
"""

from __future__ import annotations

import dataclasses
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
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHROMIUM = os.environ.get("BROWSER_PATH") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@dataclasses.dataclass(frozen=True)
class Explorer:
    """How to drive one explorer.

    Labels are told by patterns: their digits come from trained models.

    Args:
        notebook: its file; its cells up to the explorer's are run.
        before: pattern of the label when it appears.
        after: pattern of the label when it has been moved.
        shows: the last line of its cell.
        slider: which of its sliders to move; None runs the next code cell instead.
        presses: of the arrow key.
        slow: a button that makes it compute, and the pattern of the label when it has: until then
            it says so.
    """

    notebook: str
    before: str
    after: str
    shows: str = "explorer"
    slider: int | None = 0
    presses: int = 1
    slow: tuple[str, str] | None = None


EXPLORERS = [
    Explorer("02_coupling_flows.ipynb", r"after 0 of 6 blocks", r"after 1 of 6 blocks"),
    Explorer("03_multi_scale_features.ipynb", r"turned by 0 degrees", r"turned by 7\.5 degrees"),
    Explorer(
        "04_training.ipynb",
        r"waiting for the first epoch",
        r"epoch (\d+) of \1:",
        shows="live",
        slider=None,
    ),
    Explorer(
        "06_threshold_choice.ipynb",
        r"θ = [\d.]+, guarantees α ≤ 5.0%",
        r"θ = [\d.]+, guarantees",
        presses=3,
    ),
    Explorer(
        "07_gradient_localization.ipynb",
        r"^good 000: .* distance map, blur 4 px",
        r"^blocked_hole 000: .* distance map, blur 4 px",
        presses=3,
        slow=("gradient", r"^blocked_hole 000: .* gradient map of 8 rotations"),
    ),
]
COMPUTING = 900_000  # ms, for cells: a cold feature bank on a slow machine

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
    try:
        import jupyterlab  # noqa: F401
    except ImportError:
        need(False, "jupyterlab is not installed")
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", home / "notebooks")
    folders = {
        name: home / name.lower()
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    }
    settings = home / "settings"
    quiet = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    extra = {"JUPYTERLAB_SETTINGS_DIR": str(settings), "PYTHONPATH": path} | {
        name: str(folder) for name, folder in folders.items()
    }
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        "--IdentityProvider.token=",
        f"--ServerApp.root_dir={home / 'notebooks'}",
        "--LabApp.expose_app_in_browser=True",
    ]
    # Features are kept where notebooks keep them, so that `make test` computes them once.
    kept = {name: text for name, text in os.environ.items() if name != "DIFFERNET_LITE_CACHE"}
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            command, env=kept | extra, stdout=log, stderr=log, start_new_session=True
        )
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


def wait_for_server(address: str, server: subprocess.Popen, log: Path, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
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


class Page:
    """A notebook in a tab: runs cells, and looks at the output of one."""

    def __init__(self, page, address: str, name: str, *, clear: bool = True) -> None:
        self.page = page
        # its own workspace: nothing is restored into it
        page.goto(f"{address}/lab/workspaces/{Path(name).stem}/tree/{name}")
        page.wait_for_selector(".jp-NotebookPanel .jp-Notebook", timeout=90_000)
        ready = f"{PANEL}.context.isReady && {CODE}.length > 5"
        loaded = f"{PANEL}?.context?.path === '{name}' && {ready}"  # not one restored from before
        page.wait_for_function(f"({loaded}) && ({KERNEL_IDLE})", timeout=90_000)
        if clear:
            self.clear()
        self.sources: list[str] = page.evaluate(f"{CODE}.map(c => c.model.sharedModel.getSource())")
        self.places: list[int] = page.evaluate(
            f"{CODE}.map(c => {PANEL}.content.widgets.indexOf(c))"
        )

    def clear(self) -> None:
        """Remove all outputs and execution counts."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('editmenu:clear-all')")

    def output(self, k: int):
        """What is drawn of a code cell, scrolled to, whatever it has put out."""
        self.page.evaluate(f"() => {PANEL}.content.scrollToItem({self.places[k]}, 'start')")
        return self.page.locator(f".jp-Cell[data-windowed-list-index='{self.places[k]}']")

    def run(self, last: int) -> None:
        """Run code cells up to this one, those that have not been run yet."""
        todo = f"{CODE}.slice(0, {last + 1})"
        for k in range(last + 1):
            if not self.page.evaluate(f"{CODE}[{k}].model.executionCount"):
                self.page.evaluate(
                    f"() => {{ ({PANEL}).content.activeCellIndex = {self.places[k]} }}"
                )
                self.page.evaluate(
                    "() => { window.jupyterapp.commands.execute('notebook:run-cell') }"
                )
        done = (
            f"({KERNEL_IDLE} && {todo}.every(c => c.model.executionCount)) || {ERRORS}.length > 0"
        )
        self.page.wait_for_function(done, timeout=COMPUTING, polling=500)
        assert self.page.evaluate(ERRORS) == []

    def show(self, k: int):
        """The output of a code cell, scrolled into view."""
        output = self.output(k).locator(".jp-Cell-outputWrapper")
        output.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=60_000)
        return output

    def theme(self, name: str) -> None:
        self.page.evaluate(
            "() => window.jupyterapp.commands.execute("
            f"'apputils:change-theme', {{theme: 'JupyterLab {name}'}})"
        )
        self.page.wait_for_selector(
            f"body[data-jp-theme-name='JupyterLab {name}']", state="attached"
        )
        self.page.wait_for_timeout(1000)


def label(output) -> str:
    return " ".join(output.locator(".widget-html-content").first.inner_text().split())


def wait_for_label(output, pattern: str, seconds: float, *, other_than: str = "") -> float:
    """Seconds until the label has changed and matches."""
    start = time.monotonic()
    while not (re.search(pattern, text := label(output)) and text != other_than):
        assert time.monotonic() < start + seconds, (
            f"expected a label like {pattern!r}, got {text!r}"
        )
        time.sleep(0.01)
    return time.monotonic() - start


def drawing(output) -> list[str]:
    """What is drawn in the explorer's first figure: its paths, and its heat maps' pictures."""
    return output.locator(".js-plotly-plot").first.evaluate(
        "f => [...f.querySelectorAll('path.js-line')].map(p => p.getAttribute('d'))"
        ".concat([...f.querySelectorAll('.heatmaplayer image')]"
        ".map(i => i.getAttribute('href') || i.getAttribute('xlink:href')))"
    )


def test_no_explorer_is_left_out():
    shown = {
        path.name
        for path in (ROOT / "notebooks").glob("*.ipynb")
        if re.search(r"\b\w+Explorer\(|\bLiveLoss\(", path.read_text())
    }
    assert shown <= {explorer.notebook for explorer in EXPLORERS}


@pytest.mark.parametrize("explorer", EXPLORERS, ids=[explorer.notebook for explorer in EXPLORERS])
def test_explorer_in_jupyterlab(browser, lab, screenshots, explorer):
    tab = browser.new_page(viewport={"width": 1400, "height": 1000})
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on(
        "console",
        lambda message: problems.append(message.text) if message.type == "error" else None,
    )
    try:
        page = Page(tab, lab, explorer.notebook)
        cell = next(
            k
            for k, source in enumerate(page.sources)
            if source.strip().split("\n")[-1] == explorer.shows
        )
        page.run(cell)
        output = page.show(cell)
        wait_for_label(output, explorer.before, 20)
        text, was = label(output), drawing(output)
        if explorer.slider is None:
            page.run(cell + 1)
            output = page.show(cell)
            wait_for_label(output, explorer.after, 20)
        else:
            output.locator(".noUi-handle").nth(explorer.slider).focus()
            for _ in range(explorer.presses):
                tab.keyboard.press("ArrowRight")
            seconds = wait_for_label(output, explorer.after, 20, other_than=text)
            with (screenshots / "reactions.txt").open(
                "a"
            ) as file:  # 200 ms is the aim on an idle machine
                file.write(f"{explorer.notebook}: {1000 * seconds:.0f} ms\n")
        tab.wait_for_timeout(500)
        now = drawing(output)
        assert now and was != now
        if explorer.slow:
            button, computed = explorer.slow
            output.locator("button", has_text=button).click()
            wait_for_label(output, r"^computing", 10)
            wait_for_label(output, computed, 300)
            tab.wait_for_timeout(500)
            assert drawing(output) != now
        for theme in ("Dark", "Light"):  # light last: the server remembers it
            page.theme(theme)
            page.show(cell).screenshot(
                path=screenshots / f"{Path(explorer.notebook).stem}_{theme.lower()}.png"
            )
        assert problems == []
    finally:
        tab.close()


def test_the_quiz_by_keyboard_alone(browser, lab, screenshots):
    """Wrong first, then right, and the focus is never taken away; nothing but the server is asked.

    The first choice of this question is wrong, the second is right.
    """
    tab = browser.new_page(viewport={"width": 1400, "height": 1000})
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("websocket", lambda socket: asked.append(socket.url))
    try:
        page = Page(tab, lab, "10_self_assessment.ipynb")
        cell = page.sources.index('assessment.ask("unit")')
        page.run(cell - 1)
        tab.evaluate(
            f"() => {{ const notebook = {PANEL}.content; notebook.mode = 'command';"
            f" notebook.activeCellIndex = {page.places[cell]}; notebook.activate(); }}"
        )
        tab.keyboard.press("Control+Enter")
        output = page.output(cell).locator(".jp-Cell-outputWrapper")
        radios, button = output.get_by_role("radio"), output.get_by_role("button", name="Answer")
        group = output.get_by_role("group", name=re.compile("Lengths have density p"))
        group.wait_for(timeout=60_000)
        assert group.get_by_role("radio").count() == radios.count() == 3 and button.is_disabled()
        for _ in range(5):  # past the cell's toolbar
            tab.keyboard.press("Tab")
            if focused(tab, radios.first):
                break
        assert focused(tab, radios.first)
        tab.keyboard.press("Space")
        output.locator("button:enabled", has_text="Answer").wait_for(timeout=20_000)
        tab.keyboard.press("Tab")
        assert focused(tab, button)
        tab.keyboard.press("Enter")
        told = output.get_by_role("alert")
        told.get_by_text("✗ wrong").wait_for(timeout=20_000)
        assert told.get_by_text("✓ right").count() == 0
        tab.keyboard.press("Shift+Tab")
        tab.keyboard.press("ArrowDown")
        assert focused(tab, radios.nth(1)) and radios.nth(1).is_checked()
        tab.keyboard.press("Tab")
        assert focused(tab, button)
        tab.keyboard.press("Space")
        told.get_by_text("✓ right").wait_for(timeout=20_000)
        output.get_by_text("1 of 15 right, 0 of them at the first attempt").wait_for(timeout=20_000)
        for theme in ("Dark", "Light"):
            page.theme(theme)
            output.screenshot(path=screenshots / f"10_self_assessment_{theme.lower()}.png")
        local = (lab, lab.replace("http", "ws"), "blob:", "data:")
        assert asked and [url for url in asked if not url.startswith(local)] == []
    finally:
        tab.close()


def focused(tab, element) -> bool:
    return tab.evaluate("one => one === document.activeElement", element.element_handle())


def test_stored_figures_and_folded_answers_in_jupyterlab(browser, lab, screenshots):
    tab = browser.new_page(viewport={"width": 1400, "height": 1000})
    try:
        page = Page(tab, lab, "02_coupling_flows.ipynb", clear=False)
        mimes = tab.evaluate(
            f"{CODE}.map(c => c.model.outputs.toJSON().flatMap(o => Object.keys(o.data || {{}})))"
        )
        folded = tab.evaluate(f"{CODE}.map(c => Boolean(c.outputHidden))")
        figure = next(
            k
            for k, kinds in enumerate(mimes)
            if "application/vnd.plotly.v1+json" in kinds and not folded[k]
        )
        assert any(mime.startswith("image/") for mime in mimes[figure])
        page.show(figure)  # waits for Plotly's drawing
        assert page.output(figure).locator(".jp-RenderedImage").count() == 0
        explorer = next(k for k, s in enumerate(page.sources) if s.endswith("\nexplorer"))
        picture = page.output(explorer).locator(".jp-RenderedImage img")
        picture.wait_for(timeout=20_000)
        page.output(explorer).screenshot(path=screenshots / "explorer_as_stored.png")
        answer = folded.index(True)
        cell = page.output(answer)
        cell.locator(".jp-OutputPlaceholder").wait_for(timeout=20_000)
        assert not cell.locator(".jp-OutputArea-output").first.is_visible()
        page.clear()
        page.run(answer)
        cell = page.output(answer)
        cell.locator(".jp-OutputArea-output").first.wait_for(timeout=20_000)
        assert cell.locator(".jp-OutputPlaceholder").count() == 0
    finally:
        tab.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages of `make site`."""
    need(importlib.util.find_spec("latex2mathml"), "latex2mathml is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, ROOT / "scripts" / "write_site.py", "--out", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def offline(browser):
    """Makes a tab that has no network, and lists what goes wrong in it."""
    contexts = []

    def make(*, javascript: bool):
        context = browser.new_context(
            java_script_enabled=javascript, offline=True, viewport={"width": 1280, "height": 900}
        )
        contexts.append(context)
        tab, problems = context.new_page(), []
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        tab.on(
            "request",
            lambda r: None if r.url.startswith(("file:", "data:")) else problems.append(r.url),
        )
        return tab, problems

    yield make
    for context in contexts:
        context.close()


def pages(site: Path) -> list[Path]:
    found = sorted(site.glob("*.html"))
    assert len(found) == 1 + len(NOTEBOOKS)
    return found


def test_the_site_draws_figures_and_formulas_without_a_network(site, offline, screenshots):
    tab, problems = offline(javascript=True)
    formulas = 0
    for path in pages(site):
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


def test_the_sites_figures_answer_the_mouse_and_its_pages_are_linked(site, offline):
    tab, problems = offline(javascript=True)
    tab.goto((site / "index.html").as_uri())
    tab.locator("h2 a").nth(1).click()
    tab.locator("details:has(.figure) summary").first.click()
    plot = tab.locator(".figure .nsewdrag").first
    plot.wait_for(timeout=20_000)
    plot.scroll_into_view_if_needed()
    plot.hover()
    tab.locator(".hoverlayer .hovertext").first.wait_for(timeout=10_000)
    assert problems == []


def test_pictures_show_without_javascript(site, offline, tmp_path):
    """In the site, and in what nbconvert makes of a notebook by itself."""
    tab, problems = offline(javascript=False)
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--output-dir", tmp_path]
    subprocess.run([*command, *NOTEBOOKS], check=True, capture_output=True, timeout=300)
    for notebook in NOTEBOOKS:
        outputs = [
            output.get("data", {})
            for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]
            for output in cell.get("outputs", ())
        ]
        pictures = sum(any(mime.startswith("image/") for mime in data) for data in outputs)
        figures = sum("application/vnd.plotly.v1+json" in data for data in outputs)
        assert pictures and pictures >= figures
        for folder in (site, tmp_path):
            tab.goto((folder / f"{notebook.stem}.html").as_uri())
            for answer in tab.locator("summary").all():
                answer.click()
            images = tab.locator(".jp-OutputArea img").all()
            assert len(images) == pictures
            for image in images:
                box = image.bounding_box()
                assert image.is_visible() and box["width"] > 200 and box["height"] > 100
    assert problems == []
