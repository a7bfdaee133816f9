"""All parts that were asked for, one after the other, in one report.

This process never loads jax: what needs a device runs in processes of its own, so that a part that
runs out of memory costs only itself.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from datasets.errors import UserError
from fdp_jax.benchmark import corpus, folds, start_up, step
from fdp_jax.benchmark.machine import describe_machine, installed_versions
from fdp_jax.benchmark.options import Options
from fdp_jax.benchmark.processes import WorkerError, run_once, with_variables
from fdp_jax.benchmark.telling import tell
from fdp_jax.files import write_atomically

_ENVIRONMENT = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # or the first would take most of a GPU's memory
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
}


def measure(options: Options, command: str) -> dict[str, Any]:
    """The report, also written to `options.out` after every part, so that a kill loses one.

    Args:
      options: of the command line.
      command: as the user typed it.

    Raises:
      UserError: the training step does not run here, or the file cannot be written.
    """
    results: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory() as compiled,  # every program is compiled once
        with_variables({**_ENVIRONMENT, "JAX_COMPILATION_CACHE_DIR": compiled}),
    ):
        try:
            about = run_once("fdp_jax.benchmark.bare:describe_device", {})
        except WorkerError as error:
            raise UserError(f"jax does not run here: {error}") from error
        about |= {
            "versions": installed_versions(),
            "machine": describe_machine(),
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "command": command,
        }
        for part in options.parts:
            tell(f"{part} ...")
            try:
                results[part] = _PARTS[part](options)
            except WorkerError as error:
                results[part] = {"missing": f"does not run here: {error}"}
            report = _report(options, about, results)
            if options.out:
                write_atomically(options.out, as_json(report) + "\n")
    return report


def as_json(report: Mapping[str, Any]) -> str:
    """The report as indented text."""
    return json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)


def achieved(report: Mapping[str, Any]) -> dict[str, float]:
    """What the step reaches of the ceilings of this machine.

    `share_of_copy` may pass 1: the compiler counts every read, also those that caches serve.
    """
    ceilings, ours = report["ceilings"], report["step"]["contenders"]["ours"]
    median, flops = report["step_seconds"], report["step"]["network_flops"]
    product = ceilings["product_flops_per_second"].get(report["precision"])
    product = product or ceilings["product_flops_per_second"]["float32"]
    bytes_per_second = ours["compiler_bytes"] / median
    return {
        "network_flops_per_second": flops / median,
        "share_of_product": flops / median / product,
        "floor_seconds": flops / product,
        "compiler_flops_per_second": ours["compiler_flops"] / median,
        "bytes_per_second": bytes_per_second,
        "share_of_copy": bytes_per_second / ceilings["copy_bytes_per_second"],
    }


def _report(
    options: Options, about: Mapping[str, Any], results: Mapping[str, Any]
) -> dict[str, Any]:
    config = options.workload.config
    step_part, start = results.get("step", {}), results.get("start_up", {})
    contenders = step_part.get("contenders", {})
    ours, twin = contenders.get("ours"), contenders.get(step_part.get("fastest_eager"))
    report = {
        "step_seconds": ours and ours["seconds"]["median"],
        "step_peak_bytes": ours and ours["peak_bytes"],
        "twin_step_seconds": twin and twin["seconds"]["median"],
        "twin_peak_bytes": twin and twin["peak_bytes"],
        "step_ratio": step_part.get("ratio"),
        "loop_ratio": results.get("loop", {}).get("ratio"),
        "help_seconds": start["help_seconds"]["median"] if "help_seconds" in start else None,
        "batch": config.batch_size,
        "preset": options.workload.preset,
        "precision": config.precision,
        "changes": dict(options.workload.changes),
        **about,
        **results,
    }
    counted = ours and ours["compiler_bytes"] and ours["compiler_flops"]
    if counted and "product_flops_per_second" in results.get("ceilings", {}):
        report["achieved"] = achieved(report)
    return report


def _ceilings(options: Options) -> dict[str, Any]:
    return run_once("fdp_jax.benchmark.ceilings:measure_ceilings", {})


def _loop(options: Options) -> dict[str, Any]:
    return _of_workload("loop:measure_loop", options, steps=options.loop_steps)


def _inference(options: Options) -> dict[str, Any]:
    return _of_workload("inference:measure_inference", options)


def _scaling(options: Options) -> dict[str, Any]:
    return _of_workload("scaling:measure_scaling", options, batches=options.batches)


def _of_workload(function: str, options: Options, **further: Any) -> dict[str, Any]:
    """A part that is one function, in a process of its own."""
    arguments = {"workload": options.workload.as_arguments(), "repeats": options.repeats}
    return run_once(f"fdp_jax.benchmark.{function}", {**arguments, **further})


_PARTS: dict[str, Callable[[Options], dict[str, Any]]] = {
    "ceilings": _ceilings,
    "step": step.measure,
    "loop": _loop,
    "inference": _inference,
    "folds": folds.measure,
    "scaling": _scaling,
    "corpus": corpus.measure,
    "start_up": start_up.measure,
}
