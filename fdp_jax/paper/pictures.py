"""Figures 1 and 4 and Table 15 as pictures, drawn like those of a report."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from fdp_jax.config import ClipConfig
from fdp_jax.paper.running import Result
from fdp_jax.reporting.figures import INK, RED, choose_clips, render
from fdp_jax.reporting.results import Run, headline_runs, read_workdir

_CLIPS = 6  # rows of a picture; Figure 1 has one for each class at least
_FRAMES = 4  # sample frames of a clip, as in Fig. 1


@dataclass(frozen=True, eq=False)
class Panel:
    """One row: pictures beside each other, each [h, w] with its caption.

    Attributes:
      title: before the row.
      images: caption -> grey picture, uint8 or float32 in [0, 1].
      is_wrong: whether the title is to be marked as a mistake.
    """

    title: str
    images: dict[str, np.ndarray]
    is_wrong: bool = False


def draw(panels: list[Panel]) -> bytes:
    """Rows of pictures as a PNG; captions stand above the first row."""
    return render(_draw, panels)


def _draw(panels: list[Panel]) -> Figure:
    columns = max(len(panel.images) for panel in panels)
    figure = Figure(figsize=(2.2 + 1.15 * columns, 0.5 + 1.25 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), columns, squeeze=False)
    for row, (panel, axes) in enumerate(zip(panels, grid, strict=True)):
        for axis in axes:
            axis.set_axis_off()
        for axis, (caption, image) in zip(axes, panel.images.items(), strict=False):
            top = 255 if image.dtype == np.uint8 else 1.0
            axis.imshow(image, cmap="gray", vmin=0, vmax=top)
            if row == 0:
                axis.set_title(caption, fontsize=8, loc="center")
        axes[0].text(-0.08, 0.5, panel.title, transform=axes[0].transAxes, ha="right", va="center",
                     fontsize=8, color=RED if panel.is_wrong else INK)  # fmt: skip
    return figure


def _samples(frames: np.ndarray) -> dict[str, np.ndarray]:
    """A few of a clip's frames [t, h, w], evenly spread."""
    numbers = np.linspace(0, len(frames) - 1, _FRAMES).round().astype(int)
    return {f"frame {number + 1}": frames[number] for number in numbers}


def dynamic_images(data_dir: Path, dataset: str, protocol: str, config: ClipConfig) -> list[Panel]:
    """Figure 1: clips of a built corpus, one of each class in turn, and their dynamic images.

    Args:
      data_dir: of the built corpora.
      dataset, protocol: which corpus, and which of its clips.
      config: frames and crop.

    Raises:
      UserError: the corpus is not built, or has no clip of the protocol.
    """
    import jax

    from datasets.protocols import get_protocol
    from fdp_jax.clips import load_clips
    from fdp_jax.input_pipeline import GREY_WEIGHTS, evaluation_batch
    from fdp_jax.train_loop import device_corpus

    clips = load_clips(get_protocol(dataset, protocol), data_dir)
    numbers = _one_of_each_class(clips.labels, clips.subjects, len(clips.protocol.classes))
    batch = jax.device_get(evaluation_batch(device_corpus(clips), numbers, config))
    grey = (batch.clips @ np.array(GREY_WEIGHTS, np.float32) + 1) / 2
    return [
        Panel(
            f"{clips.subjects[number]}\n{clips.names[number]}\n"
            f"{clips.protocol.classes[clips.labels[number]]}",
            _samples(frames) | {"dynamic image": target},
        )
        for number, frames, target in zip(numbers, grey, batch.target, strict=True)
    ]


def _one_of_each_class(labels: np.ndarray, subjects: tuple[str, ...], classes: int) -> np.ndarray:
    """Numbers of clips, int32, classes by turns, of people not shown yet where there are any."""
    chosen: list[int] = []
    for turn in range(max(_CLIPS, classes)):
        seen = {subjects[number] for number in chosen}
        left = [n for n in np.flatnonzero(labels == turn % classes).tolist() if n not in chosen]
        if left:
            chosen.append(min(left, key=lambda number: (subjects[number] in seen, number)))
    return np.array(chosen, np.int32)


def constructions(results: list[Result]) -> list[Panel]:
    """Figure 4: the same clips' ground truth and what each variant constructs, one at least."""
    found = {result.run.name: _first_run(result) for result in results if result.report}
    first = next(iter(found.values()))
    keys = _keys(first)
    chosen = sorted(range(len(keys)), key=lambda row: (first.table.label[row], keys[row]))
    chosen = chosen[:: max(1, len(chosen) // _CLIPS)][:_CLIPS]
    panels = []
    for row in chosen:
        outputs = first.outputs
        images = {"frame 1": outputs.frames[row][0], "ground truth": outputs.target[row]}
        for name, run in found.items():
            places = _keys(run)
            if run.outputs.dynamic_image is not None and keys[row] in places:
                images[name] = run.outputs.dynamic_image[places.index(keys[row])]
        subject, clip = keys[row][1:]
        panels.append(Panel(f"{subject}\n{clip}\n{first.table.label[row]}", images))
    return panels


def right_and_wrong(result: Result) -> list[Panel]:
    """Table 15: clips recognised and mistaken, by turns, with their dynamic images."""
    run = _first_run(result)
    table, outputs, correct = run.table, run.outputs, run.table.correct
    return [
        Panel(
            f"{table.subject[row]} / {table.clip[row]}\n{table.label[row]}\n"
            f"as {table.prediction[row]}",
            _samples(outputs.frames[row])
            | {"ground truth": outputs.target[row], "constructed": outputs.dynamic_image[row]},
            is_wrong=not correct[row],
        )
        for row in choose_clips(table, _CLIPS)
    ]


def clip_rows(result: Result) -> list[tuple[str, ...]]:
    """Corpus, person, clip, label, prediction and outcome of the clips of `right_and_wrong`."""
    table = _first_run(result).table
    return [
        (
            table.dataset[row],
            table.subject[row],
            table.clip[row],
            table.label[row],
            table.prediction[row],
            "right" if table.correct[row] else "wrong",
        )
        for row in choose_clips(table, _CLIPS)
    ]


def _first_run(result: Result) -> Run:
    _, runs = read_workdir(result.workdir)
    return headline_runs(runs)[0]


def _keys(run: Run) -> list[tuple[str, str, str]]:
    table = run.table
    return list(zip(table.dataset, table.subject, table.clip, strict=True))
