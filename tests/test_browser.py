"""Every explorer in a real JupyterLab in headless Chromium: run all, move the control, see the drawing change.

Screenshots go to the folder in DIFFERNET_SCREENSHOTS, or to pytest's tmp_path. Where Chromium or
playwright is missing the tests are skipped with a reason, unless CI=true: then they fail.
"""

from __future__ import annotations

import json
import os
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
CHROMIUM = os.environ.get("BROWSER_PATH") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip

# notebook, part of the explorer's label before a key is pressed, and after
EXPLORERS = [
    ("02_coupling_flows.ipynb", "after 0 of 6 blocks", "after 1 of 6 blocks"),
]

PANEL = "window.jupyterapp?.shell?.currentWidget"
KERNEL_IDLE = f"{PANEL}?.sessionContext?.session?.kernel?.status === 'idle'"
ALL_RUN = f"{KERNEL_IDLE} && {PANEL}.content.widgets.filter(c => c.model.type === 'code').every(c => c.model.executionCount)"
ERRORS = (
    f"{PANEL}.content.widgets.flatMap(c => c.model.type === 'code' ? c.model.outputs.toJSON() : []).filter(o => o.output_type === 'error')"
)


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
    """Address of a JupyterLab of our own, over a copy of the notebooks, with settings of its own."""
    try:
        import jupyterlab  # noqa: F401
    except ImportError:
        need(False, "jupyterlab is not installed")
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", home / "notebooks")
    folders = {name: home / name.lower() for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR")}
    settings = home / "settings"
    quiet = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    extra = {"JUPYTERLAB_SETTINGS_DIR": str(settings), "PYTHONPATH": path} | {name: str(folder) for name, folder in folders.items()}
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={home / 'notebooks'}",
        "--LabApp.expose_app_in_browser=True",
    ]  # fmt: skip
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, env=os.environ | extra, stdout=log, stderr=log, start_new_session=True)
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


def drawing(explorer) -> list[str]:
    """What is drawn in the explorer's first figure: its paths, and its heat maps' pictures."""
    return explorer.locator(".js-plotly-plot").first.evaluate(
        "f => [...f.querySelectorAll('path.js-line')].map(p => p.getAttribute('d'))"
        ".concat([...f.querySelectorAll('.heatmaplayer image')].map(i => i.getAttribute('href') || i.getAttribute('xlink:href')))"
    )


@pytest.mark.parametrize(("name", "before", "after"), EXPLORERS, ids=[name for name, _, _ in EXPLORERS])
def test_explorer_in_jupyterlab(browser, lab, screenshots, name, before, after):
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    try:
        page.goto(f"{lab}/lab/tree/{name}")
        page.wait_for_selector(".jp-NotebookPanel .jp-Notebook", timeout=90_000)
        page.wait_for_function(KERNEL_IDLE, timeout=90_000)
        page.evaluate("() => window.jupyterapp.commands.execute('editmenu:clear-all')")
        page.evaluate("() => { window.jupyterapp.commands.execute('runmenu:run-all') }")
        page.wait_for_function(ALL_RUN, timeout=240_000)
        assert page.evaluate(ERRORS) == []

        explorer = page.locator(".jp-OutputArea-output:has(.widget-slider):has(.js-plotly-plot)").first
        explorer.scroll_into_view_if_needed()
        explorer.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=60_000)
        explorer.get_by_text(before).first.wait_for(timeout=20_000)
        was = drawing(explorer)
        explorer.locator(".noUi-handle").first.focus()
        page.keyboard.press("ArrowRight")
        explorer.get_by_text(after).first.wait_for(timeout=10_000)
        page.wait_for_timeout(500)
        now = drawing(explorer)
        assert was and now and was != now
        for theme in ("Dark", "Light"):  # light last: the server remembers it
            page.evaluate(f"() => window.jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {theme}'}})")
            page.wait_for_selector(f"body[data-jp-theme-name='JupyterLab {theme}']", state="attached")
            page.wait_for_timeout(1000)
            explorer.scroll_into_view_if_needed()
            page.screenshot(path=screenshots / f"{Path(name).stem}_{theme.lower()}.png")
        assert problems == []
    finally:
        page.close()
