"""Every kind of geometry is really drawn: each thing of the test stage has its own colour, which is looked for in the picture."""

import base64
import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser
_spec = importlib.util.spec_from_file_location("everything", Path(__file__).parent / "stages" / "make.py")
everything = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(everything)

PIXELS = """async ([data, places]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
  context.drawImage(image, 0, 0);
  return places.map(([x, y]) => [...context.getImageData(Math.round(x), Math.round(y), 1, 1).data.slice(0, 3)]);
}"""


def hue(rgb) -> str:
    """Which of red, green, blue is far above the others; empty for none."""
    (most, name), (next_most, _), _ = sorted(zip(rgb, ("red", "green", "blue"), strict=True), reverse=True)
    return name if most > 1.6 * next_most + 30 else ""


def test_every_kind_of_geometry_is_drawn_in_its_colour(serve, person, until, tmp_path):
    server = serve(stage=everything.write(tmp_path))
    page = person(server)
    page.keyboard.press("1")  # from above
    names = [name for name, *_ in everything.THINGS]
    want = {name: seen for name, _, _, seen in everything.THINGS if seen in ("red", "green", "blue")}

    def picture() -> dict[str, str]:
        places = [page.evaluate("(path) => window.__twin.screen(path)", f"/Grid/{name}") for name in names]
        data = base64.b64encode(page.screenshot()).decode()
        pixels = page.evaluate(PIXELS, [data, [[p["x"], p["y"]] for p in places]])
        return {name: hue(rgb) for name, rgb in zip(names, pixels, strict=True)}

    until(lambda: {n: h for n, h in picture().items() if n in want} == want, what=f"colours {want}")
    seen = picture()
    assert (seen["Hidden"], seen["Guide"], seen["Concave"]) == ("", "", ""), "not drawn, and not where the face is cut out"
    findings = server.get("/api/scene")["findings"]
    assert ("/Grid/Surface", "shown-as-bounds") in [(f["path"], f["code"]) for f in findings]
