"""What a person does with the page, one thing after the other on one server: each of these is a matter of seconds."""

import json
import re
from pathlib import Path

import pytest

from tests.browser.conftest import Server, until

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[2] / "web_viewer" / "node_modules" / "axe-core" / "axe.min.js"
LINE = "/World/Line"
SEALER = f"{LINE}/Sealer"
BELT = f"{LINE}/InfeedA"


@pytest.fixture(scope="module")
def hall(tmp_path_factory):
    """The packaging line, fast, so that there is something to see."""
    server = Server(tmp_path_factory.mktemp("hall") / "project", "--rate", "4").start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def page(hall, chromium):
    """One page for all tests of this module; an error in its console fails the last one."""
    problems = []
    context = chromium.new_context(viewport={"width": 1400, "height": 860}, accept_downloads=True)
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.add_init_script("localStorage.setItem('twin.quality', 'fast'); localStorage.setItem('twin.graphics', 'software')")
    page.add_init_script("localStorage.setItem('twin.tour', 'seen')")
    page.goto(hall.ready["open_url"])
    page.wait_for_function("() => window.__twin?.ready", timeout=90_000)
    yield page
    context.close()
    assert problems == []


@pytest.fixture(autouse=True)
def _tidy(page):
    """Each test begins with nothing selected and the ordinary tool."""
    page.evaluate("() => window.__twin.select('')")
    for _ in range(3):
        page.keyboard.press("Escape")
    page.keyboard.press("q")


def selected(page):
    return page.evaluate("() => window.__twin.selected")


def detail(hall, path, name):
    return next(p for p in hall.get(f"/api/prim?path={path}")["properties"] if p["name"] == name)


def settle(page):
    """Until the camera has arrived where it was sent; it sets out with the next picture at the earliest."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    until(lambda: page.evaluate("() => window.__twin.viewport.rig.still"), what="the camera stands")


def on_screen(page, point):
    """Page coordinates of a world point [m]."""
    return page.evaluate(
        """(p) => {
          const v = window.__twin.viewport;
          const at = v.toScreen(v.rig.camera.position.clone().set(...p));
          const box = v.renderer.domElement.getBoundingClientRect();
          return [box.left + at.x, box.top + at.y];
        }""",
        point,
    )


def test_a_machine_is_found_and_its_trend_seen(page):
    page.keyboard.press("Control+k")
    page.get_by_test_id("palette-input").fill("seal")
    page.keyboard.press("Enter")
    until(lambda: selected(page) == SEALER, what="the sealer is selected")
    assert page.get_by_test_id("palette").count() == 0
    assert page.get_by_test_id("signal-temperature").is_visible()
    page.keyboard.press("Control+k")
    page.get_by_test_id("palette-input").fill("sealer temperature")
    page.get_by_test_id("palette-entry").first.click()
    large = page.get_by_test_id("chart-large")
    until(large.is_visible, what="the chart of the temperature")
    page.keyboard.press("Escape")


def test_a_belt_gets_another_speed_and_says_where_that_comes_from(page, hall):
    page.evaluate("(p) => window.__twin.select(p)", BELT)
    box = page.get_by_test_id("property-twin:conveyor:speed").first
    box.wait_for()
    before = detail(hall, BELT, "twin:conveyor:speed")["value"]
    box.fill("-1")
    box.press("Enter")
    until(lambda: page.get_by_text("It takes 0 or more").count() == 1, what="the range is named")
    box.fill("0.8")
    box.press("Enter")
    until(lambda: detail(hall, BELT, "twin:conveyor:speed")["value"] == 0.8, what="the server has it")
    page.get_by_test_id("about-twin:conveyor:speed").first.click()
    said = page.get_by_test_id("details-twin:conveyor:speed")
    until(lambda: re.search(r"edits\s+0\.8", said.inner_text()) is not None, what="what each layer says")
    assert f"{before:g}" in said.inner_text()
    page.get_by_test_id("tab-layers").click()
    until(lambda: "InfeedA" in page.get_by_test_id("layers").inner_text(), what="the edited prim under its layer")
    page.get_by_test_id("undo").click()
    until(lambda: detail(hall, BELT, "twin:conveyor:speed")["value"] == before, what="undo")
    page.get_by_test_id("tab-stage").click()


def test_several_machines_are_selected_with_a_box_and_edited_together(page, hall):
    page.keyboard.press("a")
    settle(page)
    box = page.get_by_test_id("viewport").bounding_box()
    page.keyboard.down("Shift")
    page.mouse.move(box["x"] + 4, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(box["x"] + box["width"] - 4, box["y"] + box["height"] - 4)
    page.mouse.up()
    page.keyboard.up("Shift")
    several = "() => window.__twin.viewport.session.scene.selection.length"
    until(lambda: page.evaluate(several) > 5, what="what lies in the box is selected")
    page.evaluate("(paths) => window.__twin.viewport.session.scene.select(paths)", [f"{LINE}/InfeedA", f"{LINE}/InfeedB"])
    field = page.get_by_test_id("property-twin:conveyor:speed").first
    until(field.is_visible, what="the property that both have")
    field.fill("0.61")
    field.press("Enter")
    for belt in ("InfeedA", "InfeedB"):
        until(lambda b=belt: detail(hall, f"{LINE}/{b}", "twin:conveyor:speed")["value"] == 0.61, what=f"the speed of {belt}")
    page.keyboard.press("Escape")
    page.get_by_test_id("undo").click()
    until(lambda: detail(hall, BELT, "twin:conveyor:speed")["value"] != 0.61, what="one undo for both")


def test_a_distance_is_measured_between_corners(page, hall):
    page.evaluate("(p) => window.__twin.select(p)", "/World/Building/Desk")
    page.keyboard.press("1")  # straight from above: nothing stands in front of a corner
    settle(page)
    size = page.evaluate(
        """() => { const v = window.__twin.viewport; const b = v.world.bounds(['/World/Building/Desk']);
                   return [b.min.toArray(), b.max.toArray()]; }"""
    )
    page.keyboard.press("m")
    low, high = size
    for corner in ((low[0], low[1], high[2]), (high[0], low[1], high[2])):
        page.mouse.click(*on_screen(page, corner))
        page.wait_for_timeout(150)
    label = page.get_by_test_id("measurement")
    until(lambda: label.count() == 1, what="the measurement")
    points = page.evaluate("() => window.__twin.viewport.measure.done.map((m) => [m.from.toArray(), m.to.toArray()])")[0]
    length = sum((a - b) ** 2 for a, b in zip(*points, strict=True)) ** 0.5
    shown = label.inner_text().split("\n")[0].replace("\u202f", "")
    number, unit = re.match(r"([\d.]+)\s(mm|m)", shown).groups()
    assert float(number) * (0.001 if unit == "mm" else 1.0) == pytest.approx(length, abs=1e-3)
    assert 0.3 < length < 3.0
    page.get_by_test_id("measure-clear").click()
    assert label.count() == 0
    page.keyboard.press("Escape")


def test_the_hall_is_cut_isolated_and_coloured(page):
    drawn = "() => { const v = window.__twin.viewport; return [...v.world.drawnPrims()].length; }"
    all_of_it = page.evaluate(drawn)
    page.evaluate("(p) => window.__twin.select(p)", SEALER)
    page.keyboard.press("i")
    until(lambda: 0 < page.evaluate(drawn) < all_of_it / 4, what="the sealer alone")
    page.get_by_test_id("show-all").click()
    until(lambda: page.evaluate(drawn) == all_of_it, what="everything again")

    page.keyboard.press("c")
    page.get_by_test_id("section-place").fill("0.3")
    cut = "() => window.__twin.viewport.materials.section.map((p) => [p.normal.toArray(), p.constant])"
    until(lambda: page.evaluate(cut), what="materials are cut")
    first = page.evaluate(cut)
    caps = "() => window.__twin.viewport.caps.pairs.length"
    assert page.evaluate(caps) > 50, "closed shapes are filled"
    page.get_by_test_id("section-flip").click()
    until(lambda: page.evaluate(cut) != first, what="the other side is kept")
    page.keyboard.press("c")
    until(lambda: page.evaluate(cut) == [], what="the section ends")

    page.get_by_test_id("heat-menu").click()
    page.get_by_test_id("heat-level-level").click()
    legend = page.get_by_test_id("heat-legend")
    until(legend.is_visible, what="the legend")
    assert "Pieces inside" in legend.inner_text()
    assert page.evaluate("() => window.__twin.viewport.heat.root.children.length") > 10
    page.get_by_label("End the heat map").click()
    until(lambda: page.evaluate("() => window.__twin.viewport.heat.root.children.length") == 0, what="the colours go")


def test_the_line_is_seen_without_perspective(page):
    # six metres, seen at two depths
    widths = """() => {
      const v = window.__twin.viewport;
      const at = (x, y) => v.toScreen(v.rig.camera.position.clone().set(x, y, 0)).x;
      return [at(6, 2) - at(0, 2), at(6, -3) - at(0, -3)];
    }"""
    page.keyboard.press("2")
    settle(page)
    far, near = page.evaluate(widths)
    assert near > 1.05 * far, "with perspective what is further away is smaller"
    page.keyboard.press("o")
    page.keyboard.press("2")
    settle(page)
    far, near = page.evaluate(widths)
    assert near == pytest.approx(far, abs=0.5)
    # what is met under the pointer is where the pointer is
    page.keyboard.press("1")
    settle(page)
    off = page.evaluate(
        """(p) => {
          const v = window.__twin.viewport;
          const at = v.screenOf(p);
          const box = v.renderer.domElement.getBoundingClientRect();
          const met = v.toScreen(v.hit(at.x, at.y).point);
          return [box.left + met.x - at.x, box.top + met.y - at.y];
        }""",
        SEALER,
    )
    assert off == pytest.approx([0, 0], abs=0.5)
    page.keyboard.press("o")
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    settle(page)


def test_panels_go_to_other_places_and_stay_there(page):
    places = "() => Object.values(window.__twin.viewport.session.ui.docks).map((d) => d.at)"

    def drag(panel, x, y):
        grip = page.get_by_test_id(f"grip-{panel}").bounding_box()
        page.mouse.move(grip["x"] + 20, grip["y"] + 4)
        page.mouse.down()
        page.mouse.move(x - 30, y - 20, steps=2)
        page.mouse.move(x, y, steps=2)
        page.mouse.up()

    drag("right", 620, 200)
    assert page.evaluate(places) == ["left", "float", "bottom"]
    box = page.locator("aside.right").bounding_box()
    assert box["x"] < 620 < box["x"] + box["width"]
    drag("left", 1395, 500)
    assert page.evaluate(places) == ["right", "float", "bottom"]
    assert page.locator("aside.left").bounding_box()["x"] > 1000
    # by the keyboard alone
    page.get_by_test_id("grip-right").focus()
    page.keyboard.press("Enter")
    assert page.evaluate(places) == ["right", "left", "bottom"]
    kept = page.evaluate("() => JSON.parse(localStorage.getItem('twin.docks')).left.at")
    assert kept == "right"
    page.evaluate("() => window.__twin.viewport.session.ui.resetDocks()")
    until(lambda: page.locator("aside.left").bounding_box()["x"] == 0, what="the panels are back")


def test_views_are_kept_and_pictures_and_films_saved(page):
    where = "() => window.__twin.viewport.rig.viewpoint.position"
    page.keyboard.press("a")
    settle(page)
    home = page.evaluate(where)
    page.keyboard.press("Shift+B")
    until(lambda: page.evaluate("() => window.__twin.viewport.session.bookmarks.views.length") == 1, what="the server has it")
    page.get_by_test_id("cube-top").click()
    until(lambda: page.evaluate(where)[2] > home[2] + 1, what="the view from above")
    page.keyboard.press("Shift+1")
    until(lambda: page.evaluate(where) == pytest.approx(home, abs=0.02), what="the bookmark")

    page.get_by_test_id("views-menu").click()
    with page.expect_download() as picture:
        page.get_by_test_id("save-picture").click()
    data = Path(picture.value.path()).read_bytes()
    assert picture.value.suggested_filename.startswith("packaging_line ")
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    canvas = page.evaluate("() => window.__twin.viewport.renderer.domElement.clientWidth")
    assert int.from_bytes(data[16:20], "big") >= 2 * canvas

    page.get_by_test_id("views-menu").click()
    page.get_by_test_id("save-film").click()
    page.get_by_test_id("film-stop").wait_for()
    until(lambda: page.evaluate("() => window.__twin.viewport.film.bytes") > 0, what="something is filmed")
    with page.expect_download() as film:
        page.get_by_test_id("film-stop").click()
    assert Path(film.value.path()).read_bytes()[:4] == b"\x1aE\xdf\xa3"  # EBML: WebM


def test_the_past_is_found_again_by_a_mark(page):
    page.get_by_test_id("add-mark").click()
    page.get_by_test_id("time-mark").first.wait_for()
    page.wait_for_timeout(3000)
    page.get_by_test_id("time-mark").first.click(force=True)  # it moves with the time
    until(lambda: page.evaluate("() => window.__twin.moment") != "live", what="a moment of the past")
    assert page.get_by_test_id("replay-badge").is_visible()
    marked = page.evaluate("() => window.__twin.viewport.session.bookmarks.moments[0].time")
    assert abs(page.evaluate("() => window.__twin.moment") - marked) < 500
    page.keyboard.press("Home")
    until(lambda: page.evaluate("() => window.__twin.moment") == "live", what="now")
    assert page.get_by_test_id("replay-badge").count() == 0


def test_a_what_if_is_begun_in_the_properties_and_read_in_the_scene(page, hall):
    page.evaluate("(p) => window.__twin.select(p)", f"{LINE}/Palletiser")
    page.get_by_test_id("vary-twin:station:cycleTime:mean").or_(
        page.locator('[data-testid^="vary-twin:station:cycleTime"]')
    ).first.click()
    values = page.get_by_test_id("varied-values")
    values.wait_for()
    page.get_by_test_id("study-start").select_option("now")
    assert page.get_by_test_id("study-warmup").input_value() == "0 h"
    page.get_by_test_id("study-horizon").fill("20 min")
    page.get_by_test_id("study-replications").fill("4")
    page.get_by_test_id("study-run").click()
    until(lambda: page.get_by_test_id("study-results").count() == 1, 120.0, "the results")
    assert "from the line as it stood on" in page.get_by_test_id("study-span").inner_text()
    rows = page.get_by_test_id("study-results").locator("tbody tr")
    assert rows.count() >= 2
    assert page.get_by_test_id("bottleneck").first.inner_text()
    page.get_by_test_id("study-heat").first.click()
    until(lambda: "Utilisation" in page.get_by_test_id("heat-legend").inner_text(), what="utilisation in the scene")
    until(lambda: page.locator(".node-label.marked").count() == 1, what="the bottleneck is pointed out")
    with page.expect_download() as layer:
        page.get_by_test_id("study-layer").last.click()
    text = Path(layer.value.path()).read_text()
    assert text.startswith("#usda 1.0")
    assert 'over "Palletiser"' in text
    page.get_by_label("End the heat map").click()


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed (make build)")
def test_assistive_technology_finds_nothing_to_complain_about(page):
    page.evaluate(AXE.read_text())
    found = {}

    def look(state, where="document"):
        rules = "{ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] }"
        for violation in page.evaluate(f"() => axe.run({where}, {rules})")["violations"]:
            found.setdefault(violation["id"], []).append((state, [n["html"][:160] for n in violation["nodes"]][:6]))

    page.evaluate("(p) => window.__twin.select(p)", SEALER)
    page.get_by_test_id("property-twin:station:cycleTime:max").first.wait_for()
    look("dark")
    for tab in ("whatif", "stations", "alarms", "activity"):
        page.get_by_test_id(f"tab-{tab}").click()
        look(tab, "document.querySelector('footer')")
    page.get_by_test_id("tab-layers").click()
    page.get_by_test_id("theme").click()
    look("light")
    page.get_by_test_id("tab-library").click()
    look("library", "document.querySelector('aside.left')")
    page.get_by_test_id("theme").click()
    page.keyboard.press("Control+k")
    page.get_by_test_id("palette-input").wait_for()
    look("palette", "document.querySelector('[data-testid=palette]')")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.get_by_test_id("help-dialog").wait_for()
    look("keys", "document.querySelector('[data-testid=help-dialog]')")
    page.keyboard.press("Escape")
    page.get_by_test_id("tab-stage").click()
    page.get_by_test_id("tab-figures").click()
    assert found == {}, json.dumps(found, indent=1)


def test_the_physics_is_drawn_while_it_is_wanted(hall, page):
    asked = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/api/physics") else None)
    settle(page)
    assert asked == [], "nothing is asked for while it is off"
    page.get_by_test_id("heat-menu").click()
    page.get_by_test_id("physics-overlay").click()
    legend = page.get_by_test_id("physics-legend")
    legend.wait_for(timeout=30_000)
    until(lambda: int(re.match(r"(\d+) contacts, (\d+) bodies", legend.inner_text()).group(2)) > 0)
    for _ in range(2):
        page.wait_for_event("response", lambda response: response.url.endswith("/api/physics"), timeout=30_000)
    page.get_by_test_id("heat-menu").click()
    page.get_by_test_id("physics-overlay").click()
    legend.wait_for(state="detached", timeout=30_000)
    settle(page)
    count = len(asked)
    settle(page)
    page.wait_for_timeout(500)
    assert len(asked) == count > 2
