"""Who is compared by `python -m fdp_jax.benchmark gpu`: names and sizes alone, nothing is run."""

import typing
from collections.abc import Iterator

from fdp_jax.benchmark.contenders import Contender
from fdp_jax.benchmark.folds import TOGETHER
from fdp_jax.benchmark.step import OURS, TWIN
from fdp_jax.benchmark.workload import Workload, leaves
from fdp_jax.config import Precision

LAYER = "fdp_jax.benchmark.layers:LayerForms"
PRECISIONS: tuple[Precision, ...] = typing.get_args(Precision)
LAYOUTS = ("contiguous", "channels_last")
_FORMS = "model.forms."


def contender_names(workload: Workload) -> list[str]:
    """All that the parts `step`, `layers` and `forms` can measure."""
    groups = (
        *step_contenders(workload, on_gpu=True),
        layer_contenders(workload, on_gpu=True),
        form_contenders(workload),
    )
    return [contender.name for group in groups for contender in group]


def step_contenders(
    workload: Workload, on_gpu: bool
) -> tuple[list[Contender], list[Contender], list[Contender]]:
    """Our steps, eager twins and compiled ones, in each precision that says something here.

    What PyTorch compiles for a processor belongs to the part `step` of the whole benchmark.
    """
    precisions = [name for name in PRECISIONS if on_gpu or name != "tensorfloat32"]
    ours = [
        Contender(f"ours_{name}", OURS, _arguments(workload, {"precision": name}))
        for name in precisions
    ]
    eager, compiled = (
        [
            Contender(
                f"{'compiled' if is_compiled else 'eager'}_{layout}_{name}",
                TWIN,
                {
                    **_arguments(workload, {}),
                    "layout": layout,
                    "compiled": is_compiled,
                    "precision": name,
                },
            )
            for name in precisions
            for layout in LAYOUTS
        ]
        for is_compiled in (False, True)
    )
    return ours, eager, compiled if on_gpu else []


def form_contenders(workload: Workload) -> list[Contender]:
    """Our step as configured, then with one layer's form changed at a time."""
    changes: dict[str, dict[str, str]] = {"as_configured": {}}
    for option, value, kind in leaves(workload.config):
        if option.startswith(_FORMS):
            for form in typing.get_args(kind):
                if form != value:
                    changes[f"{option.removeprefix(_FORMS)}={form}"] = {option: form}
    return [Contender(name, OURS, _arguments(workload, change)) for name, change in changes.items()]


def layer_contenders(workload: Workload, on_gpu: bool) -> list[Contender]:
    """Each 3x3 convolution of the network by itself, in all its forms.

    Folds at once share a layer's program on a GPU only, so that only there several matter.
    """
    folds = (1, 8) if on_gpu else (1,)
    further = {"folds": folds, "precision": workload.config.precision}
    return [
        Contender(name, LAYER, {"kind": kind, "shape": shape, "kernel": kernel, **further})
        for name, kind, shape, kernel in _layers(workload)
    ]


def together_contenders(workload: Workload, counts: tuple[int, ...]) -> list[Contender]:
    """Steps of several folds at once, by their number."""
    return [
        Contender(str(count), TOGETHER, {**_arguments(workload, {}), "count": count})
        for count in counts
    ]


def _arguments(workload: Workload, changes: dict[str, str]) -> dict:
    return {"workload": workload.with_changes(changes).as_arguments()}


def _layers(workload: Workload) -> Iterator[tuple[str, str, list[int], list[int]]]:
    """Name, kind, shape of input and output, shape of the kernel."""
    config = workload.config
    model, crop, heads = config.model, config.clip.crop, config.model.head_channels
    frames = config.batch_size * config.clip.frames
    for stage, outer in enumerate(model.output_channels):
        side = crop // 2 ** (stage + 2)
        widths = {
            "local": model.local_channels[stage],
            "global": outer - model.attention_channels[stage],
        }
        for where, width in widths.items():
            kernel = [width // heads, 3, 3, heads, heads]
            shape = [frames, side, side, width]
            yield f"{where}_{stage + 1}", "multi_head", shape, kernel
    for level, width in enumerate(model.construction_channels):
        side = crop // 2**level
        shape = [config.batch_size, side, side, width]
        yield f"construction_{level + 1}", "convolution", shape, [3, 3, width, width]
