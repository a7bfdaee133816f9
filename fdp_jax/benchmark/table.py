"""The README's table of speed, from the files that `--out` wrote.

python -m fdp_jax.benchmark table benchmarks/*.json
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets.errors import UserError
from fdp_jax.benchmark.options import PROGRAM, Parser
from fdp_jax.benchmark.telling import gigabytes, seconds

BEGIN, END = "<!-- speed:begin -->", "<!-- speed:end -->"  # round the table in the README

Report = Mapping[str, Any]
_NEEDED = ("step_seconds", "batch", "preset", "precision", "backend", "versions", "machine", "date")
_LAYOUTS = ("contiguous", "channels_last")
_HEADER = (
    "machine", "preset, clips, precision", "step", "PyTorch eager", "ratio", "PyTorch compiled",
    "memory, ours and PyTorch's", "bare steps over loop", "inference, clips/s by 1 and by 36",
    "`--help`, second start to first step", "measured",
)  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    """The command line.

    Raises:
      UserError: a file that is no measurement, or two of the same machine kind and preset.
    """
    parser = Parser(
        prog=f"{PROGRAM} table",
        description="Prints the README's table of speed, in Markdown.",
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="that --out wrote")
    print(table({path: read_report(path) for path in parser.parse(arguments).files}))


def read_report(path: Path) -> Report:
    """What a file holds.

    Raises:
      UserError: it cannot be read, or is none of the benchmark's.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error})") from error
    lacking = [key for key in _NEEDED if not isinstance(report, dict) or key not in report]
    if lacking:
        raise UserError(f"{path} is no measurement of {PROGRAM}: it lacks {', '.join(lacking)}")
    return report


def table(reports: Mapping[Path, Report]) -> str:
    """Markdown: a row for each machine kind, preset and precision, processors first.

    Raises:
      UserError: two files have the same row.
    """
    rows: dict[tuple, list[str]] = {}
    told_by: dict[tuple, Path] = {}
    for path, report in reports.items():
        for precision, row in _rows(report):
            key = (report["backend"] != "cpu", _machine(report), report["preset"], precision)
            if key in rows:
                raise UserError(
                    f"{told_by[key]} and {path} are of the same machine kind, preset and "
                    "precision; name one of them"
                )
            rows[key], told_by[key] = row, path
    lines = [_HEADER, ["---"] * len(_HEADER), *(rows[key] for key in sorted(rows))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _rows(report: Report) -> Iterator[tuple[str, list[str]]]:
    """(precision, cells): one row, and one more for each further precision that was measured."""
    contenders = report.get("step", {}).get("contenders", {})
    further = [name.removeprefix("ours_") for name in contenders if name.startswith("ours_")]
    for precision in dict.fromkeys([report["precision"], *further]):
        # A measurement of one precision leaves it out of the contenders' names.
        ending = f"_{precision}" if further else ""
        ours, eager, compiled = (
            _fastest(contenders, names)
            for names in (
                [f"ours{ending}"],
                [f"{lead}{layout}{ending}" for lead in ("", "eager_") for layout in _LAYOUTS],
                [f"compiled_{layout}{ending}" for layout in _LAYOUTS],
            )
        )
        if ours or precision == report["precision"]:
            whole = precision == report["precision"]
            yield precision, _cells(report, precision, ours, eager, compiled, whole)


def _fastest(contenders: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any] | None:
    """The one of these names that takes the least time; None where none was measured."""
    there = [contenders[name] for name in names if "seconds" in contenders.get(name, {})]
    return min(there, key=_median, default=None)


def _cells(
    report: Report,
    precision: str,
    ours: Mapping | None,
    eager: Mapping | None,
    compiled: Mapping | None,
    whole: bool,
) -> list[str]:
    """A row; `whole` is the one that what was measured in one precision alone stands in."""
    return [
        _machine(report),
        f"{report['preset']}, {report['batch']}, {precision}",
        *(_duration(ours and _median(ours)), _duration(eager and _median(eager))),
        f"{_median(ours) / _median(eager):.2f}" if ours and eager else "",
        _duration(compiled and _median(compiled)),
        ", ".join(gigabytes(told["peak_bytes"]) for told in (ours, eager) if told),
        *([_loop(report), _inference(report), _start(report)] if whole else [""] * 3),
        _measured(report),
    ]


def _median(told: Mapping[str, Any]) -> float:
    return told["seconds"]["median"]


def _duration(value: float | None) -> str:
    return "" if value is None else seconds(value)


def _machine(report: Report) -> str:
    machine = report["machine"]
    if machine["gpu"]:
        return machine["gpu"]
    return f"{machine['cpu']}, {machine['cores']} cores, {gigabytes(machine['memory_bytes'])}"


def _loop(report: Report) -> str:
    ratio = report.get("loop_ratio")
    return "" if ratio is None else f"{ratio:.3f}"


def _inference(report: Report) -> str:
    rates = report.get("inference", {}).get("clips_per_second", {})
    return ", ".join(f"{rate:,.0f}" for rate in rates.values())


def _start(report: Report) -> str:
    told = report.get("start_up", {})
    names = ("help_seconds", "first_step_warm_cache_seconds")
    return ", ".join(seconds(told[name]["median"]) for name in names if name in told)


def _measured(report: Report) -> str:
    versions = report["versions"]
    packages = [f"{name} {versions[name]}" for name in ("jax", "torch") if name in versions]
    return ", ".join([report["date"].split(" ")[0], *packages])
