"""`prediction.html`: one self-contained page, drawn by jinja2 from `page.html.j2` beside this file.

Every text goes through autoescaping, since the video's name may be anyone's.
"""

import base64
from pathlib import Path

from fdp_jax.templates import environment_of

CHARTS = {
    "filmstrip.png": (
        "Frames used",
        "What the network sees of the window: the aligned face, shown here in grey.",
    ),
    "dynamic_image.png": (
        "Dynamic image",
        "The frames pooled into one image of their movement, and how the network constructs it.",
    ),
    "rank_scores.png": (
        "Rank scores",
        "How late in the movement the network places each frame; rising where it sees an order.",
    ),
    "probabilities.png": (
        "Over time",
        "Each window's probabilities. Windows overlap, and most of them hold no micro-expression.",
    ),
}


def html(prediction: dict, pictures: dict[str, bytes]) -> str | None:
    """The whole page; None where jinja2 is not installed.

    Args:
      prediction: the content of `prediction.json`.
      pictures: file name -> PNG bytes, keys as in `CHARTS`.
    """
    environment = environment_of(Path(__file__).parent)
    if environment is None:
        return None
    charts = {
        name.removesuffix(".png"): {
            "title": CHARTS[name][0],
            "caption": CHARTS[name][1],
            "uri": "data:image/png;base64," + base64.b64encode(png).decode("ascii"),
        }
        for name, png in pictures.items()
    }
    shown = prediction["windows"][prediction["shown"]["window"]]
    return environment.get_template("page.html.j2").render(
        prediction=prediction,
        name=Path(prediction["video"]).name or prediction["video"],
        shown=shown,
        ordered=sorted(shown["probabilities"].items(), key=lambda pair: -pair[1]),
        charts=charts,
        stretch=stretch,
    )


def stretch(window: dict) -> str:
    """Where a window lies, in words: seconds where known, and frames."""
    frames = f"frames {window['first_frame']} to {window['last_frame']}"
    if window["start"] is None:
        return frames
    return f"{window['start']:.2f} to {window['end']:.2f} s, {frames}"
