"""What `python -m fdp_jax.benchmark gpu` measured, in words: one function a part."""

from collections.abc import Mapping
from typing import Any

from fdp_jax.benchmark.telling import gigabytes, seconds


def in_words(report: Mapping[str, Any]) -> str:
    """The targets, then all parts, a heading and a few lines each."""
    machine = report["machine"]
    lines = [
        f"{report['preset']} preset, {report['batch']} clips a step, on {report['backend']}: "
        f"{machine['gpu'] or machine['cpu']}, {machine['cores']} cores; "
        f"{report['seconds'] / 60:.1f} minutes"
    ]
    if report["targets"]:
        lines += ["", "targets", *map(_target, report["targets"])]
    for name, told in _WORDS.items():
        if name in report:
            part = report[name]
            words = [part["missing"]] if "missing" in part else []
            words += told(part) if _is_measured(part) else []
            lines += ["", name, *(f"  {line}" for line in words)]
    return "\n".join(lines)


def _is_measured(part: Mapping[str, Any]) -> bool:
    """Whether there is more than a reason; a training that was stopped has both."""
    return "missing" not in part or "complete" in part


def _target(target: Mapping[str, Any]) -> str:
    verdict = "met" if target["met"] else "MISSED"
    value = "nothing" if target["reached"] is None else f"{target['reached']:.3g}"
    return f"  {verdict}: {target['what']}, {value} (wanted {target['wanted']:.3g})"


def _ceilings(part: Mapping[str, Any]) -> list[str]:
    products = ", ".join(
        f"{kind} {rate / 1e12:,.1f} TFLOP/s"
        for kind, rate in part["product_flops_per_second"].items()
    )
    return [f"matrix product {products}; copy {part['copy_bytes_per_second'] / 1e9:,.0f} GB/s"]


def _contenders(part: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, told in part["contenders"].items():
        if "missing" in told:
            lines.append(f"{name}: {told['missing']}")
            continue
        lower, upper = told["seconds"]["quartiles"]
        lines.append(
            f"{name}: {seconds(told['seconds']['median'])} (quartiles {seconds(lower)} to "
            f"{seconds(upper)}), peak {gigabytes(told['peak_bytes'])}"
        )
    return lines


def _step(part: Mapping[str, Any]) -> list[str]:
    lines = _contenders(part)
    for precision, ratios in part["ratios"].items():
        told = ", ".join(f"{ratio:.2f} of {kind} PyTorch" for kind, ratio in ratios.items())
        lines.append(f"{precision}: {told}")
    return lines


def _training(part: Mapping[str, Any]) -> list[str]:
    if not part["complete"]:
        projected = part["projected_seconds"]
        whole = f"; all would take {projected:.0f} s at that pace" if projected else ""
        return [
            f"{part['folds_finished']} of {part['folds']} folds after {part['seconds']:.0f} s, "
            f"{part['share_of_steps']:.0%} of the steps{whole}"
        ]
    return [
        f"{part['folds_finished']} of {part['folds']} folds of {part['steps']} steps, "
        f"{part['folds_at_once']} at once: {part['seconds']:.1f} s from the start of the process",
        f"training {part['training_seconds']:.1f} s (its first steps after "
        f"{part['first_steps_seconds']:.1f} s), report {part['report_seconds']:.1f} s; "
        f"{seconds(part['seconds_a_step'])} a fold's step, peak {gigabytes(part['peak_bytes'])}",
    ]


def _layers(part: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, told in part["layers"].items():
        lead = f"{name} {told['shape']}"
        if "missing" in told:
            lines.append(f"{lead}: {told['missing']}")
            continue
        for count, forms in told["seconds"].items():
            taken = ", ".join(f"{form} {seconds(median)}" for form, median in forms.items())
            lines.append(f"{lead}, {count} at once: {told['fastest'][count]} of {taken}")
    return lines


def _folds(part: Mapping[str, Any]) -> list[str]:
    return [
        f"{count} at once: "
        + (told["missing"] if "missing" in told else f"{seconds(told['seconds']['median'])} a "
           f"fold's step, peak {gigabytes(told['peak_bytes'])}")
        for count, told in part["by_count"].items()
    ]  # fmt: skip


def _loop(part: Mapping[str, Any]) -> list[str]:
    return [
        f"bare {seconds(part['bare_seconds']['median'])} a step, in the loop "
        f"{seconds(part['loop_seconds']['median'])}: ratio {part['ratio']:.3f}"
    ]


_WORDS = {
    "ceilings": _ceilings,
    "step": _step,
    "fold": _training,
    "whole": _training,
    "forms": _contenders,
    "layers": _layers,
    "folds": _folds,
    "loop": _loop,
}
