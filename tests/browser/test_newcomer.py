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
    above, beside = page.get_by_test_id("sim-time"), page.get_by_title("Simulated time then")
    until(
        lambda: beside.count() and above.inner_text() == beside.inner_text(), what="the clock above of the moment that is shown"
    )
    assert page.get_by_test_id("sim-time-then").inner_text() == "then"
    assert set(page.get_by_test_id("kpi-now").all_inner_texts()) == {"now"}
    assert then < page.evaluate("() => window.__twin.viewport.session.live.nodes.sim_time")
    page.get_by_role("button", name="Go live").click()
    until(lambda: page.evaluate("() => window.__twin.moment") == "live", what="now")


def test_start_a_what_if(page):
    page.get_by_role("tab", name="What-if").click()
    page.get_by_label("3D view").get_by_text("Palletiser", exact=True).click()
    page.get_by_label("Vary a number of Palletiser").select_option(label="faster or slower by % (whole cycle time)")
    page.get_by_label("Palletiser faster by %").fill("25")
    page.get_by_label("Horizon").fill("20 min")
    page.get_by_label("Replications").fill("4")
    page.get_by_role("button", name="Run", exact=True).click()
    until(lambda: page.get_by_test_id("study").get_attribute("data-state") == "done", 180.0, "the study")
    rows = page.get_by_role("tabpanel").locator("tbody tr")
    assert rows.count() == 2
    assert "baseline" in rows.first.inner_text()
    assert "Palletiser 25 % faster" in rows.last.inner_text()
    body = page.get_by_test_id("study-body")
    assert body.evaluate("(e) => e.scrollWidth <= e.clientWidth"), "nothing of the results is cut"
    rows.last.get_by_role("button", name="Apply").click()
    changed = {"min": 16.8, "mode": 19.2, "max": 24.8}  # 21, 24 and 31 s
    cycle = {end: page.get_by_test_id(f"property-twin:station:cycleTime:{end}") for end in changed}
    until(lambda: {end: float(field.input_value()) for end, field in cycle.items()} == changed, what="all times of its cycle")
    page.get_by_role("button", name="Undo", exact=True).first.click()


def test_the_tour_is_offered_until_somebody_answers(page):
    offer = page.get_by_test_id("toast").filter(has_text="New here?")
    assert offer.is_visible()
    assert page.evaluate("() => localStorage.getItem('twin.tour')") is None
    offer.get_by_role("button", name="Dismiss").click()
    offer.wait_for(state="detached")
    assert page.evaluate("() => localStorage.getItem('twin.tour')") == "seen"


def test_states_are_bands_in_their_colours(page):
    page.get_by_label("3D view").get_by_text("Sealer", exact=True).click()
    page.get_by_role("complementary", name="Properties").get_by_role("button", name=re.compile("^state")).click()
    chart = page.get_by_role("dialog", name="Chart of Sealer state")
    until(lambda: "Working" in chart.get_by_role("list", name="States").inner_text(), what="the names of its states")
    count = """(canvas) => {
        const { width, height } = canvas, data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
        let green = 0;
        for (let i = 0; i < data.length; i += 4) green += data[i] === 0x34 && data[i + 1] === 0xc7 && data[i + 2] === 0x7b;
        return green / (width * height);
    }"""
    until(lambda: chart.locator("canvas").evaluate(count) > 0.01, what="a band in the colour of working")
    page.keyboard.press("Escape")


def test_a_belt_without_a_length_tells_the_length_of_its_shape(page):
    find(page, "Outfeed")
    properties = page.get_by_role("complementary", name="Properties")
    field = page.get_by_test_id("property-twin:conveyor:length")
    field.fill("0")
    field.press("Enter")
    until(lambda: re.search(r"from its path or shape, \d[\d.]* m", properties.inner_text()), what="its length")
    page.get_by_role("button", name="Undo", exact=True).first.click()
    assert "fallback" not in properties.inner_text()
    assert properties.get_by_text("default", exact=True).count()


SMALL = """() => [...document.querySelectorAll("header button, header select, .timebar > button, .timebar > select, .bars button, footer .tabs button, aside .tabs button")]
    .map((e) => [e.getAttribute("aria-label") || e.textContent.trim(), e.getBoundingClientRect()])
    .filter(([, r]) => Math.min(r.width, r.height) < 39.5 || r.left < 0 || r.right > innerWidth).map(([name]) => name)"""  # noqa: E501


def test_everything_is_reached_by_touch_on_a_tablet(hall, chromium):
    context = chromium.new_context(viewport={"width": 1024, "height": 768}, has_touch=True)
    page = context.new_page()
    for name, value in {"quality": "fast", "graphics": "software", "tour": "seen"}.items():
        page.add_init_script(f"localStorage.setItem('twin.{name}', '{value}')")
    page.goto(hall.ready["open_url"])
    page.wait_for_function("() => window.__twin?.ready", timeout=150_000)
    left, right = (
        page.get_by_role("complementary", name="Stage and library"),
        page.get_by_role("complementary", name="Properties"),
    )
    assert left.count() == right.count() == 0, "the picture is free"
    assert page.get_by_role("slider", name="Moment shown").bounding_box()["width"] > 400
    page.get_by_test_id("toggle-left").tap()
    left.wait_for()
    page.get_by_test_id("toggle-right").tap()
    right.wait_for()
    left.wait_for(state="detached")  # one at a time
    assert page.evaluate(SMALL) == []
    bar, panel = page.get_by_test_id("timebar").bounding_box(), right.bounding_box()
    assert panel["y"] + panel["height"] <= bar["y"] + 1, "the time line stays free"
    swipe = """(panel) => {
        const at = (x) => [new Touch({ identifier: 1, target: panel, clientX: x, clientY: 300 })];
        panel.dispatchEvent(new TouchEvent("touchstart", { touches: at(750), changedTouches: at(750) }));
        panel.dispatchEvent(new TouchEvent("touchend", { touches: [], changedTouches: at(900) }));
    }"""
    right.evaluate(swipe)
    right.wait_for(state="detached")
    page.get_by_test_id("toggle-left").tap()
    page.get_by_test_id("shut-left").tap()
    left.wait_for(state="detached")
    page.set_viewport_size({"width": 1400, "height": 800})
    left.wait_for()
    right.wait_for()
    context.close()
