"""The picture itself, beside one that was looked at: a paused line, the same seed, drawn by a processor.

``TWIN_KEEP_PICTURES=1 python -m pytest tests/browser/test_pictures.py`` writes the pictures anew; look at them before they are
committed. What may differ is the rounding of another processor or browser, not a missing machine, shadow or colour.
"""

import base64
import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

KEEP = bool(os.environ.get("TWIN_KEEP_PICTURES"))
KEPT = Path(__file__).parent / "pictures"
SIZE = (640, 400)
OFF_BY = 24
"""Of 255, mean of the three colours: a pixel further off is another one."""
MOST_OTHERS = 0.02
"""Share of the pixels that may be others: edges, by a pixel."""

TAKE = """([width, height]) => {
  const v = window.__twin.viewport;
  v.render();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const draw = canvas.getContext("2d");
  draw.fillStyle = "#2b3440";
  draw.fillRect(0, 0, width, height);
  draw.drawImage(v.renderer.domElement, 0, 0, width, height);
  window.taken = draw.getImageData(0, 0, width, height).data;
  return canvas.toDataURL("image/jpeg", 0.92);
}"""
COMPARE = """async ([url, offBy]) => {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  const draw = canvas.getContext("2d");
  draw.drawImage(image, 0, 0);
  const kept = draw.getImageData(0, 0, image.width, image.height).data;
  if (kept.length !== window.taken.length) return 1;
  let others = 0;
  for (let i = 0; i < kept.length; i += 4) {
    const off = Math.abs(kept[i] - taken[i]) + Math.abs(kept[i + 1] - taken[i + 1]) + Math.abs(kept[i + 2] - taken[i + 2]);
    others += off > 3 * offBy;
  }
  return others / (kept.length / 4);
}"""


@pytest.fixture
def page(serve, chromium, until):
    server = serve("--paused", "--seed", "1")
    context = chromium.new_context(viewport={"width": 1280, "height": 880})
    page = context.new_page()
    for name, value in {"quality": "fast", "graphics": "software", "tour": "seen", "labels": "off", "flat": "off"}.items():
        page.add_init_script(f"localStorage.setItem('twin.{name}', '{value}')")
    for name in ("leftOpen", "rightOpen", "bottomOpen"):
        page.add_init_script(f"localStorage.setItem('twin.{name}', 'off')")
    page.goto(server.ready["open_url"])
    page.wait_for_function("() => window.__twin?.ready && !document.querySelector('.opening')", timeout=150_000)
    for seconds in (10, 20, 30):
        page.evaluate("() => window.__twin.viewport.session.control('step', 600)")
        until(lambda: page.evaluate("() => window.__twin.simTime") > seconds - 0.1, what=f"{seconds} simulated seconds")  # noqa: B023
    until(lambda: page.evaluate("() => window.__twin.goodsVisible()") > 3, what="goods on the line")
    until(lambda: page.evaluate("() => !window.__twin.viewport.moving"), what="everything stands")
    # contact shadows come once the scene has come to rest
    until(lambda: page.evaluate("() => window.__twin.viewport.contactDue === Infinity"), what="contact shadows")
    yield page
    context.close()


def settle(page, until):
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    until(lambda: page.evaluate("() => window.__twin.viewport.rig.still"), what="the camera stands")


def test_the_line_looks_as_it_did(page, until):
    def compare(name, *, keep=KEEP):
        settle(page, until)
        taken = page.evaluate(TAKE, SIZE)
        file = KEPT / f"{name}.jpg"
        if keep:
            file.write_bytes(base64.b64decode(taken.partition(",")[2]))
        kept = "data:image/jpeg;base64," + base64.b64encode(file.read_bytes()).decode()
        return page.evaluate(COMPARE, [kept, OFF_BY])

    others = {"line": compare("line")}
    page.keyboard.press("o")
    page.keyboard.press("1")
    others["above"] = compare("above")
    page.keyboard.press("o")
    page.keyboard.press("a")
    page.evaluate("() => (window.__twin.viewport.session.view.section = { axis: 'Y', share: 0.62, flipped: true })")
    until(lambda: page.evaluate("() => window.__twin.viewport.caps.pairs.length") > 0, what="the section")
    others["section"] = compare("section")
    assert all(share < MOST_OTHERS for share in others.values()), others

    # the comparison sees what people would: one machine less
    page.evaluate("() => window.__twin.viewport.session.view.hide(['/World/Line/Palletiser'])")
    until(lambda: page.evaluate("() => window.__twin.viewport.ready"), what="the palletiser is gone")
    assert compare("section", keep=False) > others["section"] + 0.001
