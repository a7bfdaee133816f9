"""What was measured, in words: one function a part."""

from collections.abc import Callable, Mapping
from typing import Any

from fdp_jax.benchmark.telling import gigabytes, seconds


def in_words(report: Mapping[str, Any]) -> str:
    """All parts of a report that were measured, a heading and a few lines each."""
    machine = report["machine"]
    lines = [
        f"{report['preset']} preset, {report['batch']} clips a step, on {report['backend']}: "
        f"{machine['gpu'] or machine['cpu']}, {machine['cores']} cores"
    ]
    for name, told in _WORDS.items():
        if name in report:
            lines += ["", name.replace("_", "-"), _indented(told(report[name]))]
    return "\n".join(lines)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _or_missing(told: Callable[[dict], str]) -> Callable[[dict], str]:
    """The same, but the reason alone where a part was not measured."""
    return lambda result: result["missing"] if set(result) == {"missing"} else told(result)


def _by_size(spreads: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(f"{size}: {seconds(told['median'])}" for size, told in spreads.items())


def _ceilings(result: dict[str, Any]) -> str:
    products = ", ".join(
        f"{kind} {rate / 1e9:,.0f} GFLOP/s"
        for kind, rate in result["product_flops_per_second"].items()
    )
    return f"matrix product {products}; copy {result['copy_bytes_per_second'] / 1e9:.1f} GB/s"


def _step(result: dict[str, Any]) -> str:
    lines = []
    for name, told in result["contenders"].items():
        label = "ours" if name == "ours" else f"PyTorch {name.replace('_', ' ')}"
        if "missing" in told:
            lines.append(f"{label}: {told['missing']}")
            continue
        lower, upper = told["seconds"]["quartiles"]
        lines.append(
            f"{label}: {seconds(told['seconds']['median'])} (quartiles {seconds(lower)} to "
            f"{seconds(upper)}), peak {gigabytes(told['peak_bytes'])}"
        )
    if result["ratio"]:
        lines.append(
            f"ours over the fastest eager, {result['fastest_eager'].replace('_', ' ')}: "
            f"{result['ratio']:.2f}"
        )
    if without := result["twin_without_large_pages"]:
        lines.append(
            f"that one without large pages {seconds(without['seconds']['median'])}, with them in "
            f"the same rounds {seconds(without['seconds_with']['median'])}"
        )
    return "\n".join(lines)


def _achieved(result: dict[str, Any]) -> str:
    return (
        f"{result['network_flops_per_second'] / 1e9:,.0f} GFLOP/s of the network's products, "
        f"{result['share_of_product']:.0%} of the matrix product; no step can be faster than "
        f"{seconds(result['floor_seconds'])}\n"
        f"{result['bytes_per_second'] / 1e9:,.1f} GB/s by the compiler's count, "
        f"{result['share_of_copy']:.0%} of copying (more than all where caches serve)"
    )


def _loop(result: dict[str, Any]) -> str:
    return (
        f"bare {seconds(result['bare_seconds']['median'])} a step, in the loop "
        f"{seconds(result['loop_seconds']['median'])} (rounds of {result['steps']} steps, a line "
        f"each {result['log_every']}); a checkpoint {seconds(result['checkpoint_seconds'])}, one "
        f"each {result['steps_between_checkpoints']} steps: ratio {result['ratio']:.3f}"
    )


def _inference(result: dict[str, Any]) -> str:
    return ", ".join(
        f"{rate:,.1f} clips/s in batches of {batch}"
        for batch, rate in result["clips_per_second"].items()
    )


def _folds(result: dict[str, Any]) -> str:
    lines = []
    for count, told in result["by_count"].items():
        if "missing" in told:
            lines.append(f"{count} at once: {told['missing']}")
            continue
        lines.append(f"{count} in turn: {seconds(told['in_turn_seconds']['median'])} a step of one")
        lines += [
            f"{count} at once by {axis}: {_at_once(of_axis)}"
            for axis, of_axis in told["at_once"].items()
        ]
    return "\n".join(lines)


def _at_once(told: dict[str, Any]) -> str:
    if "missing" in told:
        return told["missing"]
    return f"{seconds(told['seconds']['median'])}, peak {gigabytes(told['peak_bytes'])}"


def _scaling(result: dict[str, Any]) -> str:
    loso = result["loso_by_arithmetic"]
    return (
        f"a step by clips in the batch: {_by_size(result['step_by_batch'])}\n"
        f"a step by clips in the corpus: {_by_size(result['step_by_clips'])}\n"
        f"a run of {result['steps_of_those_folds']} steps a fold by folds: "
        f"{_by_size(result['run_by_folds'])}\n"
        f"a fold beside its steps: {seconds(result['fold_seconds_beside_its_steps'])}; by "
        f"arithmetic, {loso['folds']} folds of {loso['steps']} steps one after the other take "
        f"{loso['seconds'] / 3600:.2f} hours"
    )


def _corpus(result: dict[str, Any]) -> str:
    width, height = result["frame_size"]
    whole = ", ".join(
        f"{frames} frames in {told['median']:.1f} s"
        for frames, told in result["command_seconds"].items()
    )
    rate = result["frames_per_second"]
    lead = f"{rate:,.0f} frames/s of {width}x{height}" if rate else "too few frames for a rate"
    return f"{lead}; whole commands: {whole}"


def _start_up(result: dict[str, Any]) -> str:
    words = {
        "help_seconds": "--help",
        "import_seconds": "imports",
        "first_step_empty_cache_seconds": "to the first step, nothing compiled yet",
        "first_step_warm_cache_seconds": "to the first step again",
    }
    told = [
        f"{label} {seconds(result[name]['median'])}"
        for name, label in words.items()
        if name in result
    ]
    return "; ".join([*told, *filter(None, [result.get("missing")])])


_WORDS = {
    name: _or_missing(told)
    for name, told in {
        "ceilings": _ceilings,
        "step": _step,
        "achieved": _achieved,
        "loop": _loop,
        "inference": _inference,
        "folds": _folds,
        "scaling": _scaling,
        "corpus": _corpus,
        "start_up": _start_up,
    }.items()
}
