"""The page in Chromium without a graphics card: time to the first picture, and frames a second beside bare three.js.

The yardstick (``web_viewer/bench``) draws the same instances with the same lights, shadows, materials and size, and nothing
else: no page around it, no stream, no labels. Both take turns, so that other work on the machine meets both; processor time
(of the browser with all its threads, the page's stream and panels included) says what a frame costs where the machine is busy.
"""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
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
TURN_S = 4.0
TURNS = 3
READY = "() => window.__twin?.ready"
COUNT = "() => window.__twin.viewport.renderer.info.render.frame"


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


def _processor_s(leave_out: int) -> float:
    """Processor time of everything that this process started [s], apart from one process and what that started."""
    parents: dict[int, list[tuple[int, int]]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        parents.setdefault(int(fields[1]), []).append((int(entry.name), int(fields[11]) + int(fields[12])))
    ticks, stack = 0, [os.getpid()]
    while stack:
        for pid, used in parents.get(stack.pop(), []):
            if pid != leave_out:
                ticks += used
                stack.append(pid)
    return ticks / os.sysconf("SC_CLK_TCK")


def _measure(browser: Any, open_url: str, bare_url: str, quality: str, twin: int) -> list[dict[str, Any]]:
    context = browser.new_context(viewport=SIZE)
    context.set_default_timeout(180_000)
    context.add_init_script(f"localStorage.setItem('twin.quality', '{quality}'); localStorage.setItem('twin.tour', 'seen')")
    page = context.new_page()
    begin = time.monotonic()
    page.goto(open_url)
    page.wait_for_function(f"() => ({READY})() && !document.querySelector('.opening')", timeout=180_000)
    first = time.monotonic() - begin
    page.wait_for_timeout(3000)
    level = page.evaluate("() => window.__twin.viewport.quality.level")
    drawing = page.evaluate((CLIENT / "bench" / "drawing.js").read_text().split("\n", 1)[1])
    # every frame is drawn, as while the camera moves
    page.evaluate(
        """() => {
          const go = () => {
            if (window.keep) window.__twin.viewport.invalidate();
            requestAnimationFrame(go);
          };
          go();
        }"""
    )
    other = context.new_page()
    other.goto(bare_url)
    other.evaluate("(d) => window.bare(d)", drawing)
    rates: dict[str, list[float]] = {"page": [], "bare": []}
    costs: dict[str, list[float]] = {"page": [], "bare": []}
    passes = page.evaluate(
        f"async () => {{ const c = {COUNT}; const a = c(); window.__twin.viewport.render(); return c() - a; }}"
    )
    for _ in range(TURNS):
        for name, tab, count in (("page", page, COUNT), ("bare", other, "() => window.drawn")):
            tab.bring_to_front()
            tab.evaluate("() => { window.keep = true; }")
            tab.wait_for_timeout(800)
            a, t, used = tab.evaluate(count), time.monotonic(), _processor_s(twin)
            tab.wait_for_timeout(1000 * TURN_S)
            frames = tab.evaluate(count) - a
            rates[name].append(frames / (time.monotonic() - t))
            costs[name].append(1000 * (_processor_s(twin) - used) / max(1, frames))
            tab.evaluate("() => { window.keep = false; }")
    context.close()
    mean = {name: sum(values) / len(values) for name, values in rates.items()}
    mean["page"] /= max(1, passes)
    cost = {name: sum(values) / len(values) for name, values in costs.items()}
    cost["page"] *= max(1, passes)
    instances = sum(mesh["count"] for mesh in drawing["meshes"])
    materials = "plain" if level["plain"] else "full"
    what = f"{instances} instances in {len(drawing['meshes'])} meshes, {materials} materials"
    return [
        {"name": f"first picture, {quality}", "value": round(first, 2), "unit": "s"},
        {"name": f"frames a second, {quality}", "value": round(mean["page"], 2), "bare": round(mean["bare"], 2), "note": what},
        {"name": f"ratio to bare three.js, {quality}", "value": round(mean["page"] / mean["bare"], 3)},
        {
            "name": f"processor time of a frame, {quality}",
            "value": round(cost["page"]),
            "unit": "ms",
            "bare": round(cost["bare"]),
        },
        {"name": f"ratio of processor time, bare to page, {quality}", "value": round(cost["bare"] / cost["page"], 3)},
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
                browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
                rows = [
                    row
                    for quality in ("auto", "best")
                    for row in _measure(browser, ready["open_url"], bare_url, quality, twin.pid)
                ]
                browser.close()
            return rows
        finally:
            twin.terminate()
            twin.wait(30)
            server.shutdown()
