"""A real server on a real stage, and real Chromium."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HERO = ROOT / "scenes" / "packaging_line" / "scene.usda"
CHROMIUM_ARGS = [
    "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip

FEED_LINE = """#usda 1.0
(
    defaultPrim = "World"
    metersPerUnit = 1
    upAxis = "Z"
)
def Xform "World"
{
    class Scope "Goods"
    {
        def Xform "Carton" (
            prepend references = @_assets/goods/carton.usda@
            prepend apiSchemas = ["TwinItemAPI"]
        )
        {
        }
    }
    def Xform "Hatch" (
        prepend references = @_assets/infeed_hatch.usda@
    )
    {
        double3 xformOp:translate = (0, 0, 0)
        uniform token[] xformOpOrder = ["xformOp:translate"]
        double twin:source:interarrival:mean = 2
        rel twin:source:items = </World/Goods/Carton>
        rel twin:next = </World/Feed>
    }
    def Xform "Feed" (
        prepend references = @_assets/belt_conveyor.usda@
    )
    {
        uniform token[] xformOpOrder = []
        double twin:conveyor:speed = 1
    }
}
"""
"""A hatch that feeds a belt with cartons."""


class Server:
    """``twin serve`` in a process of its own."""

    def __init__(self, project: Path, *options: str, stage: Path = HERO) -> None:
        self.project, self._options, self._stage = project, options, stage
        self._port = 0
        self.process: subprocess.Popen[str] | None = None
        self.ready: dict[str, str] = {}

    def start(self) -> "Server":
        command = [sys.executable, "-m", "twin.cli.main", "serve", str(self._stage), "--port", str(self._port)]
        command += ["--project", str(self.project), *self._options]
        self.project.mkdir(parents=True, exist_ok=True)
        with (self.project / "server.log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.project / "server.log").read_text()
        self.ready = json.loads(line)
        self._port = int(self.ready["url"].rsplit(":", 1)[1])
        return self

    def kill(self) -> None:
        """Like a power cut."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self.process.stdout.close()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
            self.process.stdout.close()

    def get(self, path: str):
        request = urllib.request.Request(self.ready["url"] + path, headers={"Authorization": f"Bearer {self.ready['token']}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


@pytest.fixture
def serve(tmp_path):
    """Starts servers that end with the test."""
    if not (ROOT / "twin" / "server" / "static" / "index.html").exists():
        pytest.skip("the web client is not built (make build)")
    started = []

    def start(*options, **fields):
        server = Server(tmp_path / "project", *options, **fields).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()
        log = (server.project / "server.log").read_text()
        assert "Traceback" not in log, log


@pytest.fixture(scope="module")
def chromium():
    """One browser a module: while Playwright runs, this thread has an event loop, which other tests must not find."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def person(chromium):
    """Opens the page as one more person: a context of its own. Fails the test on any error in the page's console."""
    contexts, problems = [], []

    def open(server, name=""):
        context = chromium.new_context(viewport={"width": 1600, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(150_000)  # a processor draws, and may have other work
        page.on("pageerror", lambda error: problems.append(str(error)))
        # a processor draws here: the cheapest picture, and no probing which it is
        page.add_init_script("localStorage.setItem('twin.quality', 'fast'); localStorage.setItem('twin.graphics', 'software')")
        page.add_init_script("localStorage.setItem('twin.tour', 'seen')")
        if name:
            page.add_init_script(f"localStorage.setItem('twin.name', {json.dumps(name)})")
        page.goto(server.ready["open_url"], timeout=150_000)
        page.wait_for_function("() => window.__twin?.ready", timeout=150_000)
        return page

    yield open
    for context in contexts:
        context.close()
    assert problems == []


def until(condition, timeout_s=60.0, what="condition"):
    """Polls until ``condition()`` is true; returns its value."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what} did not come true within {timeout_s} s"
        time.sleep(0.05)


@pytest.fixture
def feed_line(tmp_path):
    """The stage file of ``FEED_LINE`` in a folder with the parts library."""
    shutil.copytree(ROOT / "scenes" / "_assets", tmp_path / "_assets")
    (tmp_path / "twin.toml").touch()
    stage = tmp_path / "line.usda"
    stage.write_text(FEED_LINE)
    return stage


@pytest.fixture(name="until")
def _until():
    return until


os.environ.setdefault("PYTHONUNBUFFERED", "1")
