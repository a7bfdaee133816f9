"""Reports of the benchmark as text: an outline for the terminal, a table for docs/speed.md."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.command_line import parse_options
from datasets.errors import UserError
from fdp_jax.benchmark.parts import fastest

BEGIN, END = "<!-- speed:begin -->", "<!-- speed:end -->"  # around the table in docs/speed.md

Report = Mapping[str, Any]
_NEEDED = ("step_seconds", "batch", "preset", "precision", "backend", "versions", "machine", "date")
_HEADER = (
    "machine", "preset, clips, precision", "step", "PyTorch eager", "ratio", "PyTorch compiled",
    "memory, ours and PyTorch's", "bare steps over loop", "inference, clips/s by 1 and by 36",
    "`--help`, second start to first step", "measured",
)  # fmt: skip


def summary(report: Report) -> str:
    """Returns an outline of the report, medians only."""
    return "\n".join(_outline(report, ""))


def _outline(values: Report, indent: str) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping) and "median" in value:
            lower, upper = map(_duration, value["quartiles"])
            yield f"{indent}{name}: {_duration(value['median'])} (quartiles {lower} to {upper})"
        elif isinstance(value, Mapping):
            yield f"{indent}{name}"
            yield from _outline(value, f"{indent}  ")
        elif isinstance(value, list):  # a curve
            continue
        elif value is None or (isinstance(value, str | int | bool) and "bytes" not in name):
            yield f"{indent}{name}: {'not measured' if value is None else value}"
        elif name.endswith("seconds"):
            yield f"{indent}{name}: {_duration(value)}"
        elif name.endswith("bytes"):
            yield f"{indent}{name}: {_gigabytes(value)}"
        else:
            yield f"{indent}{name}: {value:.4g}"


def print_table(arguments: Sequence[str], program: str) -> None:
    """The command `table FILE...`.

    Raises:
      UserError: a file that is no report, or two of the same machine, preset and precision.
    """
    import tyro  # here, since `gpu` runs without it

    @dataclass(frozen=True)
    class TableOptions:
        """Options of the command."""

        files: tyro.conf.Positional[tuple[Path, ...]]
        """Files that --out wrote."""

    options = parse_options(
        TableOptions,
        arguments,
        program=program,
        description="Prints the table of docs/speed.md, in Markdown.",
    )
    print(table({path: read_report(path) for path in options.files}))


def read_report(path: Path) -> Report:
    """Returns the report in a file.

    Raises:
      UserError: it cannot be read, or is no report of the benchmark.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error})") from error
    lacking = [key for key in _NEEDED if not isinstance(report, dict) or key not in report]
    if lacking:
        raise UserError(f"{path} is no report of the benchmark: it lacks {', '.join(lacking)}")
    return report


def table(reports: Mapping[Path, Report]) -> str:
    """Returns Markdown with a row for each machine, preset and precision, processors first.

    Raises:
      UserError: two files have the same row.
    """
    rows: dict[tuple, tuple[Path, list[str]]] = {}
    for path, report in reports.items():
        for precision, row in _rows(report):
            key = (report["backend"] != "cpu", row[0], report["preset"], precision)
            if key in rows:
                raise UserError(
                    f"{rows[key][0]} and {path} are of the same machine, preset and precision; "
                    "name one of them"
                )
            rows[key] = path, row
    lines = [_HEADER, ["---"] * len(_HEADER), *(rows[key][1] for key in sorted(rows))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _rows(report: Report) -> Iterator[tuple[str, list[str]]]:
    """Yields (precision, cells); what one precision was measured in is in its row alone."""
    start_up, machine = report.get("start_up", {}), report["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, {_gigabytes(machine['memory_bytes'])}"
    versions = [f"{name} {v}" for name, v in report["versions"].items() if name in ("jax", "torch")]
    batches = [b for b in report.get("inference", {}).values() if isinstance(b, Mapping)]
    starts = [start_up.get(name) for name in ("help_seconds", "first_step_warm_cache_seconds")]
    for precision, contenders in report.get("step", {}).items():
        if not isinstance(contenders, Mapping) or "seconds" not in contenders["ours"]:
            continue
        ours, eager = contenders["ours"], fastest(contenders, "eager")
        ratio, is_first = contenders.get("eager_ratio"), precision == report["precision"]
        yield (
            precision,
            [
                where if report["backend"] == "cpu" else report["device"],
                f"{report['preset']}, {report['batch']}, {precision}",
                _median(ours),
                _median(eager),
                f"{ratio:.2f}" if ratio else "",
                _median(fastest(contenders, "compiled")),
                ", ".join(_gigabytes(c["peak_bytes"]) for c in (ours, eager) if c),
                f"{report['loop_ratio']:.3f}" if is_first and report.get("loop_ratio") else "",
                ", ".join(f"{b['clips_per_second']:,.0f}" for b in batches) if is_first else "",
                ", ".join(_duration(s["median"]) for s in starts if s) if is_first else "",
                ", ".join([report["date"].split(" ")[0], *versions]),
            ],
        )


def _median(contender: Report | None) -> str:
    return _duration(contender["seconds"]["median"]) if contender else ""


def _duration(seconds: float) -> str:
    """Returns `2.13 s`, or `14.2 ms` below a tenth of a second."""
    return f"{seconds:.3g} s" if seconds >= 0.1 else f"{seconds * 1e3:.3g} ms"


def _gigabytes(size: float) -> str:
    """Returns bytes as `5.3 GB`, decimal."""
    return f"{size / 1e9:.1f} GB"
