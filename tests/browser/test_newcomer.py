"""What somebody does in the first minutes who has read nothing: by what stands in the page, and nothing else.

Each task is done with the names that a person reads or hears (roles and labels), and with presses in the picture.
"""

import json
import re
import time
import zlib
from pathlib import Path

import pytest

from tests.browser.conftest import Server, until
from twin.protocol.track import FORMAT, RECORD, records

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
MINUTE = 60_000_000_000


def spread(track: Path, begin_ns: int, end_ns: int) -> None:
    """Have what was recorded in seconds reach from one moment to another [ns UTC], as if the twin had run so slowly."""
    files = sorted(track.glob(f"*.{FORMAT}"), key=lambda f: int(f.stem.partition("-")[0]))
    rows = [row for file in files for row in records(file.read_bytes())]
    first, last = rows[0][0], rows[-1][0]
    times = [begin_ns + (t - first) * (end_ns - begin_ns) // (last - first) for t, _ in rows]
    whole = b"".join(RECORD.pack(t, len(data)) + data for t, (_, data) in zip(times, rows, strict=True))
    for file in files:
        file.unlink()
    (track / f"{begin_ns}-{end_ns}.{FORMAT}").write_bytes(zlib.compress(whole))
    (track / "runs.json").write_text(json.dumps([[begin_ns, end_ns]]))


@pytest.fixture(scope="module")
def hall(tmp_path_factory):
    """The packaging line, which has been running for eight minutes."""
    server = Server(tmp_path_factory.mktemp("hall") / "project", "--rate", "4").start()
    until(lambda: len(server.get("/api/track")["chunks"]) > 0, what="something is recorded")
    time.sleep(1.0)
    server.stop()
    now = time.time_ns()
    spread(server.project / "track", now - 8 * MINUTE, now - MINUTE // 60)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def page(hall, chromium):
    problems = []
    context = chromium.new_context(viewport={"width": 1600, "height": 900})
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.add_init_script("localStorage.setItem('twin.quality', 'fast'); localStorage.setItem('twin.graphics', 'software')")
    page.goto(hall.ready["open_url"])
    page.wait_for_function("() => window.__twin?.ready", timeout=150_000)
    yield page
    context.close()
    assert problems == []


def find(page, name):
    """Type a part of its name where it says "Search", and press Enter."""
    page.get_by_role("searchbox", name="Search the stage").fill(name)
    page.keyboard.press("Enter")


def test_find_a_machine(page):
    find(page, "pallet")
    until(lambda: page.get_by_role("complementary", name="Properties").get_by_text("/World/Line/Palletiser", exact=True).count(),
          what="the machine, before the pallets on the racks")  # fmt: skip
    page.get_by_role("searchbox", name="Search the stage").fill("")
    # or in the picture, by its label
    page.get_by_label("3D view").get_by_text("Sealer", exact=True).click()
    until(lambda: page.get_by_role("complementary", name="Properties").get_by_text("/World/Line/Sealer", exact=True).count(),
          what="the sealer's properties")  # fmt: skip


def test_see_its_trend(page):
    page.get_by_role("complementary", name="Properties").get_by_role("button", name=re.compile("^temperature")).click()
    chart = page.get_by_role("dialog", name="Chart of Sealer temperature")
    chart.wait_for()
    until(lambda: chart.locator("canvas").count() == 1, what="the curve")
    page.keyboard.press("Escape")
    chart.wait_for(state="hidden")
    page.get_by_test_id("me").click()
    page.get_by_label("Your name").press("Escape")
    page.get_by_label("Your name").wait_for(state="detached")
    assert page.get_by_test_id("selection-name").inner_text() == "Sealer"  # Escape has closed what lay over it, and nothing else


def test_change_the_speed_of_a_belt_and_see_the_effect(page, hall):
    find(page, "InfeedB")
    speed = page.get_by_role("complementary", name="Properties").get_by_label("speed", exact=True)
    speed.fill("0.05")
    speed.press("Enter")
    entered = "() => { const s = window.__twin.viewport.session; return s.nodeStates.level[s.scene.nodes.findIndex((n) => n.path.endsWith('InfeedB'))]; }"  # noqa: E501
    until(lambda: page.evaluate(entered) >= 4, what="cartons crowd on the slow belt")
    page.get_by_role("button", name="Undo").click()
    until(lambda: speed.input_value() == "0.5", what="the speed of before")


def test_measure_a_distance(page):
    page.get_by_role("button", name="Measure", exact=True).click()
    assert page.get_by_text("Press two points").is_visible()
    box = page.get_by_label("3D view").bounding_box()
    for share in (0.35, 0.65):
        page.mouse.click(box["x"] + share * box["width"], box["y"] + 0.75 * box["height"])
    label = page.get_by_test_id("measurement")
    until(lambda: label.count() == 1, what="the distance")
    assert re.match(r"\d+\.\d{3} m", label.inner_text())
    page.get_by_role("button", name="Done").click()


def test_scrub_back_five_minutes(page):
    bar = page.get_by_role("slider", name="Moment shown")
    four, six = (page.get_by_role("toolbar", name="Time").get_by_text(f"−{m} min").bounding_box() for m in (4, 6))
    x = (four["x"] + six["x"] + (four["width"] + six["width"]) / 2) / 2
    page.mouse.click(x, bar.bounding_box()["y"] + bar.bounding_box()["height"] / 2)
    page.get_by_role("button", name="Go live").wait_for()
    back = time.time() * 1000 - page.evaluate("() => window.__twin.moment")
    assert back == pytest.approx(5 * 60_000, abs=15_000)
    shown = "() => window.__twin.settled && window.__twin.viewport.session.replay.nodes?.sim_time"
    then = until(lambda: page.evaluate(shown), what="the line as it was")
    assert then < page.evaluate("() => window.__twin.viewport.session.live.nodes.sim_time")
    page.get_by_role("button", name="Go live").click()
    until(lambda: page.evaluate("() => window.__twin.moment") == "live", what="now")


def test_start_a_what_if(page):
    page.get_by_role("tab", name="What-if").click()
    page.get_by_label("3D view").get_by_text("Palletiser", exact=True).click()
    page.get_by_label("Vary a number of Palletiser").select_option(label="servers: 1")
    assert page.get_by_label("Values of Palletiser servers").input_value()
    page.get_by_label("Horizon").fill("20 min")
    page.get_by_label("Replications").fill("4")
    page.get_by_role("button", name="Run", exact=True).click()
    until(lambda: page.get_by_test_id("study").get_attribute("data-state") == "done", 180.0, "the study")
    rows = page.get_by_role("tabpanel").locator("tbody tr")
    assert rows.count() >= 2
    assert "baseline" in rows.first.inner_text()
