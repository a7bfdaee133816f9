"""Pictures of Figures 1 and 4 and Table 15."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from datasets.errors import UserError
from datasets.protocols import Protocol
from fdp_jax.clips import load_clips
from fdp_jax.corpora import MissingCorpusError, ensure_built
from fdp_jax.environment import start_jax
from fdp_jax.options import TrainOptions
from fdp_jax.paper.registry import RunResult
from fdp_jax.reporting.figures import INK, RED, choose_clips, render
from fdp_jax.reporting.results import Run, headline_runs, read_workdir

_CLIPS = 6  # rows of a picture, or of each corpus; Figure 1 has at least one of each class
_FRAMES = 4  # frames of a clip, as in Figure 1


@dataclass(frozen=True, eq=False)
class Panel:
    """A clip as one row of a picture and of the table with it."""

    cells: dict[str, str]  # column of the table -> cell
    title: str
    images: dict[str, np.ndarray]  # caption -> grey [h, w], uint8 or float32 in [0, 1]
    is_wrong: bool = False  # marked in the picture


def draw(panels: Sequence[Panel]) -> bytes:
    """Returns panels below one another as a PNG, with the captions of the first one."""
    return render(_draw, panels)


def _draw(panels: Sequence[Panel]) -> Figure:
    columns = max(len(panel.images) for panel in panels)
    figure = Figure(figsize=(2.2 + 1.15 * columns, 0.5 + 1.25 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), columns, squeeze=False)
    for axis in grid.flat:
        axis.set_axis_off()
    for panel, axes in zip(panels, grid, strict=True):
        for axis, image in zip(axes, panel.images.values(), strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1)
        style = {"ha": "right", "va": "center", "color": RED if panel.is_wrong else INK}
        axes[0].text(-0.08, 0.5, panel.title, transform=axes[0].transAxes, fontsize=8, **style)
    for axis, caption in zip(grid[0], panels[0].images, strict=False):
        axis.set_title(caption, fontsize=8, loc="center")
    return figure


def _some_frames(frames: np.ndarray) -> dict[str, np.ndarray]:
    """Returns caption -> frame, for evenly spaced frames of a clip [t, h, w]."""
    indices = np.linspace(0, len(frames) - 1, _FRAMES).round().astype(int)
    return {f"frame {index + 1}": frames[index] for index in indices}


def dynamic_images(options: TrainOptions, protocol: Protocol) -> list[Panel]:
    """Returns Figure 1: clips of all classes in turn, with their dynamic images."""
    start_jax()
    import jax

    from fdp_jax.evaluate import pack_clips
    from fdp_jax.input_pipeline import GREY_WEIGHTS, evaluation_batch

    config = options.config.clip
    try:
        ensure_built(protocol, options.data_dir, options.manual_dir, config.crop)
    except MissingCorpusError as error:
        raise UserError(f"{error} (or choose another corpus with --dataset)") from error
    clips = load_clips(protocol, options.data_dir)
    indices = classes_in_turn(clips.labels, clips.subjects, len(protocol.classes))
    batch = jax.device_get(evaluation_batch(pack_clips(clips), np.int32(indices), config))
    grey = (batch.clips @ np.array(GREY_WEIGHTS, np.float32) + 1) / 2
    panels = []
    for index, frames, target in zip(indices, grey, batch.target, strict=True):
        cells = {
            "person": clips.subjects[index],
            "clip": clips.names[index],
            "label": protocol.classes[clips.labels[index]],
        }
        images = _some_frames(frames) | {"dynamic image": target}
        panels.append(Panel(cells, "\n".join(cells.values()), images))
    return panels


def classes_in_turn(labels: np.ndarray, subjects: Sequence[str], classes: int) -> list[int]:
    """Returns indices of clips, of subjects not chosen yet where there are any."""
    chosen: list[int] = []
    for turn in range(max(_CLIPS, classes)):
        seen = {subjects[index] for index in chosen}
        left = [i for i in np.flatnonzero(labels == turn % classes).tolist() if i not in chosen]
        if left:
            chosen.append(min(left, key=lambda index: (subjects[index] in seen, index)))
    return chosen


def constructions(results: Sequence[RunResult]) -> list[Panel]:
    """Returns Figure 4: ground truth of some clips, and what each variant constructs."""
    runs = {result.run.name: _first_run(result) for result in results if result.report}
    rows = {name: _row_by_clip(run) for name, run in runs.items()}
    first = next(iter(runs))
    table, outputs = runs[first].table, runs[first].outputs
    clips = sorted(rows[first].items(), key=lambda clip: (table.label[clip[1]], clip[0]))
    panels = []
    for clip, row in clips[:: max(1, len(clips) // _CLIPS)][:_CLIPS]:
        images = {"frame 1": outputs.frames[row][0], "ground truth": outputs.target[row]}
        for name, run in runs.items():
            if run.outputs.dynamic_image is not None and clip in rows[name]:
                images[name] = run.outputs.dynamic_image[rows[name][clip]]
        panels.append(Panel({}, "\n".join([*clip[1:], table.label[row]]), images))
    return panels


def correct_and_wrong(results: Sequence[RunResult]) -> list[Panel]:
    """Returns Table 15: correct and wrong clips of each corpus, with their dynamic images."""
    panels = []
    for result in results:
        run = _first_run(result) if result.report else None
        for row in choose_clips(run.table, _CLIPS) if run else ():
            table, outputs = run.table, run.outputs
            cells = {
                "corpus": table.dataset[row],
                "person": table.subject[row],
                "clip": table.clip[row],
                "label": table.label[row],
                "prediction": table.prediction[row],
                "outcome": "right" if table.correct[row] else "wrong",
            }
            title = "{person} / {clip}\n{label}\nas {prediction}".format(**cells)
            images = _some_frames(outputs.frames[row])
            images["ground truth"] = outputs.target[row]
            images["constructed"] = outputs.dynamic_image[row]
            panels.append(Panel(cells, title, images, is_wrong=not table.correct[row]))
    return panels


def _first_run(result: RunResult) -> Run:
    _, runs = read_workdir(result.workdir)
    return headline_runs(runs)[0]


def _row_by_clip(run: Run) -> dict[tuple[str, str, str], int]:
    clips = zip(run.table.dataset, run.table.subject, run.table.clip, strict=True)
    return {clip: row for row, clip in enumerate(clips)}
