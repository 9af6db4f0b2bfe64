"""The page as people use it, in Chromium, against a running server on the packaging line."""

import pytest

pytestmark = pytest.mark.browser

SEALER = "/World/Line/Sealer"
DESK = "/World/Building/Desk"


def pose(page, path):
    return page.evaluate("(path) => window.__twin.pose(path)", path)["position"]


def set_property(page, name, value):
    box = page.get_by_test_id(f"property-{name}").first
    box.fill(str(value))
    box.press("Enter")


def prop(server, path, name):
    detail = server.get(f"/api/prim?path={path}")
    return next(p for p in detail["properties"] if p["name"] == name)


def test_goods_move_within_ten_seconds_of_opening(serve, person, until):
    server = serve("--rate", "5")
    page = person(server)
    until(lambda: page.evaluate("() => window.__twin.goodsVisible()") > 0, 10.0, "goods")
    first = page.evaluate("() => window.__twin.simTime")
    until(lambda: page.evaluate("() => window.__twin.simTime") > first + 1.0, 10.0, "time")
    assert page.get_by_test_id("kpi-throughput").is_visible()
    assert page.get_by_test_id("link-state").inner_text().strip() == "Live"


def test_two_people_edit_one_scene_see_the_same_and_share_its_clock(serve, person, until):
    server = serve()
    ada, bob = person(server, "Ada"), person(server, "Bob")
    until(lambda: ada.get_by_test_id("avatar").count() >= 1, what="the colleague's avatar")

    ada.evaluate("(path) => window.__twin.select(path)", DESK)
    before = pose(bob, DESK)
    set_property(ada, "xformOp:translate", before[0] + 1.25)
    until(lambda: abs(pose(bob, DESK)[0] - before[0] - 1.25) < 1e-3, what="Bob sees the desk move")

    bob.evaluate("(path) => window.__twin.select(path)", SEALER)
    set_property(bob, "twin:station:cycleTime:max", 3.5)
    until(lambda: prop(server, SEALER, "twin:station:cycleTime:max")["value"] == 3.5, what="the server has Bob's value")
    assert prop(server, SEALER, "twin:station:cycleTime:max")["edited"]

    ada.get_by_test_id("undo").click()  # Ada takes back her own step, not Bob's
    until(lambda: abs(pose(bob, DESK)[0] - before[0]) < 1e-3, what="the desk goes back for Bob")
    assert prop(server, SEALER, "twin:station:cycleTime:max")["value"] == 3.5
    until(lambda: ada.evaluate("() => window.__twin.seq") == bob.evaluate("() => window.__twin.seq") == 3, what="both at seq 3")
    assert pose(ada, DESK) == pytest.approx(pose(bob, DESK))

    def stands():
        before = bob.evaluate("() => window.__twin.simTime")
        bob.wait_for_timeout(700)
        return bob.evaluate("() => window.__twin.simTime") == before

    ada.get_by_test_id("play").click()
    until(stands, what="the other's clock stands too")
    bob.get_by_test_id("play").click()
    until(lambda: not stands(), what="and runs again")


def test_kill_9_loses_no_acknowledged_edit(serve, person, until):
    server = serve()
    page = person(server)
    page.evaluate("(path) => window.__twin.select(path)", SEALER)
    for value in (3.1, 3.2, 3.3):
        set_property(page, "twin:station:cycleTime:max", value)
        until(lambda v=value: prop(server, SEALER, "twin:station:cycleTime:max")["value"] == v, what="the edit")
    until(lambda: page.evaluate("() => window.__twin.seq") == 3, what="the acknowledgement")
    server.kill()
    until(lambda: page.get_by_test_id("link-state").inner_text().strip() != "Live", what="the page notices")
    server.start()
    until(lambda: page.evaluate("() => window.__twin.ready"), 60.0, "the page comes back")
    assert prop(server, SEALER, "twin:station:cycleTime:max")["value"] == 3.3
    page.get_by_test_id("undo").click()
    until(lambda: prop(server, SEALER, "twin:station:cycleTime:max")["value"] == 3.2, what="undo after the restart")


def test_wrong_token_is_told_and_the_right_one_lets_in(serve, chromium, until):
    server = serve()
    context = chromium.new_context()
    page = context.new_page()
    page.goto(server.ready["url"])
    page.get_by_test_id("token").fill("not the token")
    page.get_by_test_id("login").click()
    until(lambda: "not known" in page.inner_text("body"), what="the reason")
    page.get_by_test_id("token").fill(server.ready["token"])
    page.get_by_test_id("login").click()
    page.wait_for_function("() => window.__twin?.ready", timeout=60_000)
    assert server.ready["token"] not in page.url
    context.close()
