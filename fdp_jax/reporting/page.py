"""`report.html`: one self-contained page, drawn by jinja2 from `page.html.j2` beside this file.

Style sheet and images stand inside the file, nothing is fetched. Every text goes through jinja2's
autoescaping, since names of clips, people and classes come from other people's sheets.
"""

import base64
from dataclasses import dataclass
from pathlib import Path

from fdp_jax.reporting import selection, words
from fdp_jax.reporting.figures import PIXELS_PER_INCH, ShownClip, strip
from fdp_jax.reporting.text import FIGURES


@dataclass(frozen=True)
class ClipView:
    """One clip of the panel as the page shows it; the images are data URIs."""

    title: str
    right: bool | None
    label: str
    prediction: str
    n_frames: int
    frames: str
    target: str
    dynamic_image: str
    mse: str


def html(report: dict, figures: dict[str, bytes], clips: list[ShownClip]) -> str | None:
    """The whole page; None where jinja2 is not installed.

    Args:
      report: the content of `report.json`.
      figures: file name -> PNG bytes, keys as in `text.FIGURES`.
      clips: the clips of the panel; it is set from its single images, so that it fits a phone.
    """
    try:
        import jinja2
    except ModuleNotFoundError:
        return None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": words.percent}
    charts = {
        name.removesuffix(".png"): {
            "title": FIGURES[name][0],
            "caption": FIGURES[name][1],
            "uri": _data_uri(png),
            "width": _natural_width(png),
        }
        for name, png in figures.items()
        if name != "dynamic_images.png"
    }
    return environment.get_template("page.html.j2").render(
        report=report,
        words=words,
        selection=selection,
        charts=charts,
        clips=[_view(clip) for clip in clips],
        clips_caption=FIGURES["dynamic_images.png"][1],
    )


def _view(clip: ShownClip) -> ClipView:
    return ClipView(
        title=clip.title,
        right=clip.right,
        label=clip.label,
        prediction=clip.prediction,
        n_frames=len(clip.frames),
        frames=_data_uri(strip(list(clip.frames))),
        target=_data_uri(strip([clip.target])),
        dynamic_image=_data_uri(strip([clip.dynamic_image])),
        mse=f"{clip.mse:.2g}",
    )


def _natural_width(png: bytes) -> int:
    """CSS pixels at which a chart's letters have the size of the page's small print."""
    width = int.from_bytes(png[16:20], "big")  # the first field of a PNG's header chunk
    return round(width / PIXELS_PER_INCH * 92)


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
