"""Looking back in the browser shows what was seen then: poses, signals, edits, and who made them."""

import time

import pytest
from websockets.sync.client import connect

from tests.browser.looking_back import compare, moments
from twin.protocol.messages import PROTOCOL_VERSION, Edit, Edited, Hello, Op, Refused, Welcome, decode_server, encode

pytestmark = pytest.mark.browser
FENCE, INFEED = "/World/Building/FenceA", "/World/Line/InfeedA"
PLACE = [-3.0, 5.0, 0.0]


def edit(server, opid, op, label):
    """One edit of somebody who has no page."""
    address = server.ready["url"].replace("http", "ws", 1) + "/api/ws"
    with connect(address, additional_headers={"Authorization": f"Bearer {server.ready['token']}"}, max_size=None) as socket:
        socket.send(encode(Hello(protocol=PROTOCOL_VERSION, name="Ada")))
        sent = False
        for data in socket:
            if data[0] & 0xF0 != 0x80:
                continue  # a frame
            message = decode_server(data)
            if isinstance(message, Welcome) and not sent:
                socket.send(encode(Edit(opid, 0, [op], label)))
                sent = True
            if isinstance(message, Refused):
                raise AssertionError(message.reason)
            if isinstance(message, Edited) and message.label == label:
                return


def test_a_moment_is_shown_as_it_was_seen(serve, person, until):
    server = serve()
    page = person(server)
    where = "(p) => window.__twin.pose(p).position"
    before = page.evaluate(where, FENCE)
    until(lambda: page.evaluate("() => window.__twin.simTime") > 6.0, what="goods on the way")
    edit(server, 1, Op("set_field", FENCE, "xformOp:translate", ["double3", PLACE]), "fence away")
    first = time.time()
    until(lambda: time.time() > first + 2.0 and page.evaluate("() => window.__twin.goodsVisible()") >= 2, 120.0, what="goods")
    edit(server, 2, Op("set_field", INFEED, "twin:conveyor:speed", ["double", 0.25]), "slow infeed")
    until(lambda: time.time() > first + 12.0, what="a chunk of the track on disk")
    until(lambda: len(moments(server.project)) > 40, 120.0, what="a chunk of the track on disk")
    assert page.evaluate(where, FENCE) == pytest.approx(PLACE)

    seen = moments(server.project)
    bodies = [p for p in seen[0].paths if page.evaluate("(p) => window.__twin.pose(p) !== null", p)][:40]
    edits, goods = set(), 0
    between = next(m for m in seen if m.time_ns > (first + 1.0) * 1e9)
    for moment in [*seen[2 :: len(seen) // 6], between]:
        found = compare(page, server.project, moment, bodies)
        assert (found.missing, found.others) == (0, [])
        assert found.signals > 10
        assert found.metres < 0.002
        assert found.degrees < 0.5
        assert found.edit == found.edit_recorded
        edits.add(found.edit)
        goods += found.goods
    assert {0, 1} <= edits
    assert goods > 5

    # before the first edit: the fence where it was, nobody had done anything, and nobody can edit the past
    compare(page, server.project, seen[2], bodies)
    assert page.evaluate(where, FENCE) == pytest.approx(before)
    page.get_by_test_id("tab-activity").click()
    assert "fence away" not in page.get_by_test_id("activity").inner_text()
    page.evaluate("(p) => window.__twin.select(p)", INFEED)
    assert page.evaluate("() => window.__twin.viewport.session.canEdit") is False

    page.keyboard.press("Home")
    until(lambda: page.evaluate("() => window.__twin.moment") == "live", what="now")
    until(lambda: page.evaluate(where, FENCE) == pytest.approx(PLACE), what="the fence where it is now")
    assert "slow infeed" in page.get_by_test_id("activity").inner_text()
    assert page.evaluate("() => window.__twin.viewport.session.canEdit") is True
