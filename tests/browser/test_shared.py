"""What one person points out the other sees: alarms, limits, bookmarks; and what is brought in from outside."""

import json
import re
from types import SimpleNamespace
from urllib.request import Request, urlopen

import numpy as np
import pytest
import trimesh

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

BELT = "/World/Feed"
PART = """#usda 1.0
(
    defaultPrim = "Cart"
    metersPerUnit = 1
    upAxis = "Z"
)
def Xform "Cart"
{
    def Cube "Bed"
    {
        double size = 0.5
    }
}
"""


@pytest.fixture
def line(feed_line):
    """The belt at half a metre a second, which it also measures."""
    text = feed_line.read_text()
    belt = "prepend references = @_assets/belt_conveyor.usda@"
    measured = """double twin:conveyor:speed = 0.5
        custom double twin:signal:speed:value = 0.5
        string twin:signal:speed:unit = "m/s\""""
    text = text.replace(belt, f'{belt}\n        prepend apiSchemas = ["TwinSignalAPI:speed"]')
    feed_line.write_text(text.replace("double twin:conveyor:speed = 1", measured))
    return feed_line


@pytest.fixture(name="until")
def _patiently(until):
    """Two browsers and a simulation may have to share two cores with other work."""
    return lambda condition, timeout_s=120.0, what="condition": until(condition, timeout_s, what)


def invited(server, role):
    """The server as somebody sees it who was sent an invitation."""
    headers = {"Authorization": f"Bearer {server.ready['token']}", "Content-Type": "application/json"}
    request = Request(server.ready["url"] + "/api/share", json.dumps({"role": role}).encode(), headers)
    with urlopen(request, timeout=30) as answer:
        return SimpleNamespace(ready={"open_url": json.load(answer)["url"]})


def test_alarms_limits_and_bookmarks_are_everybodys_and_outlast_the_server(serve, person, until, line):
    server = serve(stage=line)
    anna, bo = person(server, "Anna"), person(invited(server, "viewer"), "Bo")
    where = "() => window.__twin.viewport.rig.viewpoint.position"

    anna.evaluate("(path) => window.__twin.select(path)", BELT)
    anna.get_by_role("complementary", name="Properties").get_by_role("button", name=re.compile("^speed")).click()
    anna.get_by_label("Alarm when above").fill("0.4")
    anna.keyboard.press("Enter")
    bo.get_by_role("tab", name="Alarms").click()
    alarm = bo.get_by_test_id("alarm")
    until(lambda: alarm.count() == 1, what="the alarm is in the other browser")
    assert "Feed speed is above 0.4 m/s" in alarm.inner_text()
    assert bo.get_by_test_id("alarm-seen").is_disabled(), "a viewer may look only"
    assert bo.get_by_test_id("limit").count() == 1
    anna.get_by_role("dialog").get_by_role("button", name="Close").click()
    anna.get_by_role("tab", name="Alarms").click()
    anna.get_by_role("button", name="Acknowledge: Feed speed").click()
    until(lambda: "seen by Anna" in alarm.inner_text(), what="who has acknowledged it")

    seen_from = anna.evaluate(where)
    anna.keyboard.press("Shift+B")
    anna.get_by_role("button", name="Mark this moment").click()
    flag = bo.get_by_test_id("time-mark")
    until(lambda: flag.count() == 1, what="the marked moment on the other time bar")
    assert bo.get_by_test_id("add-mark").is_disabled()
    bo.get_by_test_id("cube-top").click()
    until(lambda: bo.evaluate(where)[2] > seen_from[2] + 1, what="Bo looks from above")
    bo.get_by_role("button", name="Views and pictures").click()
    assert bo.get_by_test_id("bookmark-add").is_disabled()
    bo.get_by_role("button", name="View 1").click()
    until(lambda: bo.evaluate(where) == pytest.approx(seen_from, abs=0.02), what="Bo looks from where Anna kept the view")
    anna.get_by_role("button", name="Views and pictures").click()
    anna.get_by_role("button", name="Rename View 1").click()
    anna.get_by_label("Name of the bookmark").fill("Over the feed")
    anna.keyboard.press("Enter")
    bo.get_by_role("button", name="Views and pictures").click()
    bo.get_by_role("button", name="Over the feed").wait_for()

    server.kill()
    server.start()
    until(lambda: bo.get_by_test_id("link-state").get_attribute("data-state") == "open", what="connected again by itself")
    assert alarm.count() == 1, "nothing of it is there twice"
    bo.close()
    anna.reload()
    anna.wait_for_function("() => window.__twin?.ready", timeout=150_000)
    anna.get_by_role("tab", name="Alarms").click()
    until(lambda: "seen by Anna" in anna.get_by_test_id("alarm").inner_text(), what="the alarm and who has seen it")
    assert anna.get_by_test_id("limit").count() == 1
    anna.get_by_role("button", name="Views and pictures").click()
    until(lambda: anna.get_by_test_id("bookmark").all_inner_texts() == ["Over the feed", "Mark 1"], what="the bookmarks")
    anna.get_by_test_id("bookmark").nth(1).click()
    until(lambda: anna.evaluate("() => window.__twin.moment") != "live", what="the moment that she marked")


def drop(page, files):
    """Let files fall into the middle of the picture."""
    data = page.evaluate_handle(
        """(files) => {
          const data = new DataTransfer();
          for (const [name, bytes] of files) data.items.add(new File([new Uint8Array(bytes)], name));
          return data;
        }""",
        [[name, list(content)] for name, content in files],
    )
    view = page.get_by_test_id("viewport")
    box = view.bounding_box()
    at = {"clientX": box["x"] + box["width"] / 2, "clientY": box["y"] + box["height"] / 2}
    for event in ("dragover", "drop"):
        view.dispatch_event(event, {"dataTransfer": data} | at)


def test_a_mesh_and_a_usd_file_are_dropped_in_and_a_bad_one_says_why(serve, person, until, line):
    server = serve(stage=line)
    page = person(server, "Anna")
    bracket = trimesh.creation.box((200.0, 400.0, 600.0))
    drop(page, [("bracket.stl", bracket.export(file_type="stl"))])
    dialog = page.get_by_role("dialog", name="Import")
    assert "bracket.stl" in dialog.inner_text()
    dialog.get_by_label("Its numbers are").select_option("Millimetres")
    dialog.get_by_role("button", name="Import").click()
    until(lambda: dialog.count() == 0, what="the mesh is in")
    placed = "/World/bracket"
    until(lambda: page.evaluate("() => window.__twin.selected") == placed, what="what was dropped is selected")
    bounds = """(p) => {
      const b = window.__twin.viewport.world.bounds([p]);
      return b.isEmpty() ? null : [b.min.toArray(), b.max.toArray()];
    }"""
    low, high = until(lambda: page.evaluate(bounds, placed), what="it is drawn")
    assert np.subtract(high, low) == pytest.approx([0.2, 0.4, 0.6], abs=1e-3), "millimetres became metres"
    assert low[2] == pytest.approx(0.0, abs=1e-3), "it stands on the ground, though its origin is its middle"

    drop(page, [("broken.glb", b"this is no mesh"), ("cart.usda", PART.encode())])
    dialog.get_by_role("button", name="Import").click()
    alert = dialog.get_by_role("alert")
    until(lambda: alert.count() == 1, what="the bad file is refused")
    assert "broken.glb" in alert.inner_text()
    until(lambda: "In the library" in dialog.get_by_test_id("import-file").nth(1).inner_text(), what="the other one is in")
    page.keyboard.press("Escape")
    until(lambda: dialog.count() == 0, what="Escape closes the dialog")
    assert page.evaluate("() => window.__twin.selected"), "and leaves the selection"
    until(lambda: page.evaluate(bounds, "/World/cart"), what="the part is drawn")
    parts = server.get("/api/scene")["library"]
    assert sorted(p["name"] for p in parts if "_uploads" in p["asset"]) == ["Cart", "bracket"]
