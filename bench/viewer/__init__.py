"""The page in Chromium without a graphics card: time to the first picture, and frames a second beside bare three.js.

The yardstick (``web_viewer/bench``) draws the same instances with the same lights, shadows, materials and size, and nothing
else: no page around it, no stream, no labels. Each has a browser of its own and both take turns of a few frames, so that other
work on the machine meets both; the browser whose turn it is not is stopped whole, since a page in the background goes on drawing
there. Processor time (of a browser with all its threads, the page's stream and panels included) says what a frame costs where
the machine is busy.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
STAGE = ROOT / "scenes" / "packaging_line" / "scene.usda"
CLIENT = ROOT / "web_viewer"
CHROMIUM = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-gpu-vsync"]
SIZE = {"width": 1600, "height": 900}
MEASURE_S = 45.0
"""Of each quality, for page and bare together."""
LEAST_TURNS = 4
READY = "() => window.__twin?.ready"
COUNT = "() => window.__twin.viewport.renderer.info.render.frame"
CONTEXT = "() => window.__twin.viewport.renderer.getContext()"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def _bare(folder: Path) -> tuple[http.server.ThreadingHTTPServer, str]:
    """Builds the yardstick and serves it on loopback."""
    command = ["npx", "vite", "build", "bench", "--outDir", str(folder), "--emptyOutDir", "--base", "./", "--logLevel", "error"]
    subprocess.run(command, cwd=CLIENT, check=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}/index.html"


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended
        children.setdefault(parent, []).append(int(entry.name))
    return children


def _family(root: int) -> list[int]:
    """A process and all that it started, itself first."""
    children = _children()
    family = [root]
    for pid in family:
        family += children.get(pid, [])
    return family


def _processor_s(root: int) -> float:
    """Processor time of a browser with all its threads, those that have ended too [s]."""
    ticks = 0
    for pid in _family(root):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class _Tab:
    """A page in a browser of its own, which can be stopped whole."""

    def __init__(self, playwright: Any, program: str, name: str, count: str, context: str, storage: dict[str, str]) -> None:
        mark = f"--twin-bench={name}"
        self.browser = playwright.chromium.launch(executable_path=program, args=[*CHROMIUM, mark])
        self._root = next(pid for pid in _family(os.getpid()) if _is_browser(pid, mark))
        profile = self.browser.new_context(viewport=SIZE)
        profile.set_default_timeout(180_000)
        profile.add_init_script(f"for (const [k, v] of Object.entries({json.dumps(storage)})) localStorage.setItem(k, v)")
        self.page = profile.new_page()
        self._count, self._context = count, context
        self.passes = 1
        self.seconds: list[float] = []
        self.costs: list[float] = []

    def halt(self, on: bool) -> None:
        for pid in _family(self._root):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP if on else signal.SIGCONT)

    def wait(self, frames: int) -> None:
        """Until the page has asked for so many frames more."""
        self.page.evaluate(
            f"""(enough) => new Promise((done) => {{
              const count = {self._count};
              const begin = count();
              const look = () => (count() - begin >= enough ? done() : setTimeout(look, 3));
              look();
            }})""",
            self.passes * frames,
        )

    def _drawn(self) -> int:
        """Frames that were drawn, all that was asked of the graphics done: they may lag behind the page by some frames."""
        drawn: int = self.page.evaluate(
            f"""() => {{
              const gl = ({self._context})();
              gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
              return ({self._count})();
            }}"""
        )
        return drawn

    def turn(self, frames: int) -> None:
        self.halt(False)
        self.page.evaluate("() => { window.keep = true; }")
        self.wait(1)
        begin = self._drawn()
        at, used = time.monotonic(), _processor_s(self._root)
        self.wait(frames)
        drawn = (self._drawn() - begin) / self.passes
        self.seconds.append((time.monotonic() - at) / drawn)
        self.costs.append(1000 * (_processor_s(self._root) - used) / drawn)
        self.page.evaluate("() => { window.keep = false; }")
        self.halt(True)

    def close(self) -> None:
        self.halt(False)
        self.browser.close()


def _is_browser(pid: int, mark: str) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return False
    return mark in command and not any(part.startswith("--type=") for part in command)


def _measure(playwright: Any, program: str, open_url: str, bare_url: str, quality: str) -> list[dict[str, Any]]:
    mine = _Tab(playwright, program, "page", COUNT, CONTEXT, {"twin.quality": quality, "twin.tour": "seen"})
    bare = _Tab(playwright, program, "bare", "() => window.drawn", "() => window.context", {})
    try:
        page = mine.page
        begin = time.monotonic()
        page.goto(open_url)
        page.wait_for_function(f"() => ({READY})() && !document.querySelector('.opening')", timeout=180_000)
        first = time.monotonic() - begin
        page.wait_for_timeout(3000)
        # A page that steps down on the way would draw fewer pixels than the yardstick.
        level = page.evaluate("() => { const q = window.__twin.viewport.quality; q.measure = () => false; return q.level; }")
        drawing = page.evaluate((CLIENT / "bench" / "drawing.js").read_text().split("\n", 1)[1])
        # every frame is drawn, as while the camera moves
        mine.passes = page.evaluate(
            f"""() => {{
              const go = () => {{
                if (window.keep) window.__twin.viewport.invalidate();
                requestAnimationFrame(go);
              }};
              go();
              const count = {COUNT};
              const before = count();
              window.__twin.viewport.render();
              return count() - before;
            }}"""
        )
        mine.halt(True)
        bare.page.goto(bare_url)
        bare.page.evaluate("(d) => window.bare(d)", drawing)
        bare.page.evaluate("() => { window.keep = true; }")
        bare.wait(3)
        bare.page.evaluate("() => { window.keep = false; }")
        bare.halt(True)
        frames = 16 if level["plain"] else 6
        end = time.monotonic() + MEASURE_S
        while time.monotonic() < end or len(mine.costs) < LEAST_TURNS:
            for tab in (mine, bare):
                tab.turn(frames)
    finally:
        mine.close()
        bare.close()
    rate = {name: 1 / statistics.mean(tab.seconds) for name, tab in (("page", mine), ("bare", bare))}
    ratios = [b / m for m, b in zip(mine.costs, bare.costs, strict=True)]
    instances = sum(mesh["count"] for mesh in drawing["meshes"])
    materials = "plain" if level["plain"] else "full"
    meshes = f"{instances} instances in {len(drawing['meshes'])} meshes"
    what = f"{meshes}, {materials} materials, {drawing['ratio']} pixels for one of the page"
    return [
        {"name": f"first picture, {quality}", "value": round(first, 2), "unit": "s"},
        {"name": f"frames a second, {quality}", "value": round(rate["page"], 2), "bare": round(rate["bare"], 2), "note": what},
        {"name": f"ratio to bare three.js, {quality}", "value": round(rate["page"] / rate["bare"], 3)},
        {
            "name": f"processor time of a frame, {quality}",
            "value": round(statistics.mean(mine.costs)),
            "unit": "ms",
            "bare": round(statistics.mean(bare.costs)),
        },
        {
            "name": f"ratio of processor time, bare to page, {quality}",
            "value": round(sum(bare.costs) / sum(mine.costs), 3),
            "median": round(statistics.median(ratios), 3),
            "note": f"{len(ratios)} turns of {frames} frames each",
        },
    ]


def run() -> list[dict[str, Any]]:
    """Rows for the qualities that the page chooses by itself and that it offers."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        return [{"name": "viewer", "value": "left out", "note": "Chromium is not installed"}]
    with tempfile.TemporaryDirectory() as folder:
        server, bare_url = _bare(Path(folder) / "bare")
        command = [sys.executable, "-m", "twin.cli.main", "serve", str(STAGE), "--port", "0", "--project", f"{folder}/project"]
        twin = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
        try:
            assert twin.stdout is not None
            ready = json.loads(twin.stdout.readline())
            with sync_playwright() as playwright:
                return [
                    row
                    for quality in ("auto", "best")
                    for row in _measure(playwright, program, ready["open_url"], bare_url, quality)
                ]
        finally:
            twin.terminate()
            twin.wait(30)
            server.shutdown()
