"""The pictures of the page in these docs, taken anew: ``python docs/images/make.py`` (Chromium and a built page are needed).

Look at them before they are committed. A processor draws them well, but slowly: on a busy machine the clock of the twin lags.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SCENE = ROOT / "scenes" / "packaging_line" / "scene.usda"
SIZE = {"width": 1600, "height": 900}
CHROMIUM = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
WARM_S = 1200
"""Simulated time before the first picture: figures have settled, and charts have something to show."""
RATE = 20
"""Times real time until then, with no page open: drawing would take the processor from it."""


@contextmanager
def served(*options: str) -> Iterator[str]:
    """A running twin; gives the address to open."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "twin.cli.main", "serve", str(SCENE), "--port", "0", "--project", f"{folder}/project"]
        process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["open_url"]
        finally:
            process.terminate()
            process.wait(60)


def settled(page: Page) -> None:
    """The camera stands, and shadows and reflections have come."""
    page.wait_for_function("() => window.__twin.viewport.rig.still", timeout=120_000)
    page.wait_for_timeout(5_000)


def take(page: Page, name: str) -> None:
    settled(page)
    page.screenshot(path=HERE / f"{name}.png", timeout=120_000)
    print(name, flush=True)


def label(page: Page, name: str) -> Any:
    return page.get_by_label("3D view").get_by_text(name, exact=True)


def main() -> None:
    with served("--emulate", "--rate", str(RATE)) as address, sync_playwright() as playwright:
        time.sleep(WARM_S / RATE)
        os.nice(10)  # the browser too: the twin keeps real time
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(120_000)
        for key, value in {"quality": "best", "tour": "seen", "name": "Kim Berg"}.items():
            page.add_init_script(f"localStorage.setItem('twin.{key}', '{value}')")
        page.goto(address)
        page.wait_for_function("() => window.__twin?.ready", timeout=300_000)
        page.wait_for_function(f"() => window.__twin.simTime > {WARM_S}", timeout=1_800_000)
        page.get_by_label("Speed", exact=True).select_option("1")

        label(page, "Palletiser").click()
        take(page, "packaging_line")

        page.get_by_test_id("signal-temperature").click()
        take(page, "trend")
        page.keyboard.press("Escape")

        page.get_by_role("tab", name="What-if").click()
        page.get_by_label("Vary a number of Palletiser").select_option(label="cycle time mode: 24 s")
        page.get_by_label("Values of Palletiser cycle time mode").fill("22, 23, 26")
        page.get_by_role("button", name="Run", exact=True).click()
        page.wait_for_selector("[data-testid=study][data-state=done]", timeout=600_000)
        page.get_by_role("button", name="Show utilisation of").first.click()
        page.keyboard.press("Escape")
        take(page, "what_if")

        page.get_by_role("tab", name="Line").click()
        page.get_by_test_id("heat-menu").click()
        page.get_by_test_id("heat-kpi-utilisation").click()
        page.get_by_role("button", name="Theme").click()
        take(page, "heat_map")
        browser.close()


if __name__ == "__main__":
    main()
