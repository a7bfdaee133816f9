"""Notes below a table of results: what was trained, and how to read the numbers."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from datasets.errors import UserError
from fdp_jax.metrics.statistics import DRAWS, percentile_interval, resample_subjects
from fdp_jax.paper.registry import Experiment, RunResult
from fdp_jax.reporting import formatting
from fdp_jax.reporting.comparison import compare, p_text

SCORES = "UF1 is macro F1, wF1 the F1 weighted by clips, UAR the mean recall."
FOLDS = (
    "Scores computed here are pooled over the clips of all folds. The mean over folds (mean fold"
    " Acc) is no such score: it is the mean of the accuracies of the folds, in which a clip of a"
    " small fold counts more."
)
AUXILIARY = (
    "MSE e-3 is the mean squared error of the constructed dynamic images in thousandths, and tau is"
    " Kendall's tau of the rank scores with time, both on test clips; tau seen is that of the"
    " training clips, which only --select=last and all evaluate."
)
VALID_TESTS = (
    "A valid test compares two trainings on the same clips, by McNemar's exact test and bootstrap"
    " intervals over subjects: python -m fdp_jax.report compare WORKDIR WORKDIR"
)


def training(results: Sequence[RunResult]) -> Iterator[str]:
    """Yields what was trained: facts that all runs share, those of each run, and missing runs."""
    trained = _trained(results)
    facts = [_facts(result.report) for result in trained]
    shared = [fact for fact in (facts[0] if facts else ()) if all(fact in own for own in facts)]
    if shared:
        folder = trained[0].workdir.parent
        yield f"Trained: {', '.join(shared)}. In {folder}, each with report.html:"
    for result, own in zip(trained, facts, strict=True):
        different = [fact for fact in own if fact not in shared]
        yield f"{result.run.name}: {', '.join([*different, result.workdir.name])}"
    if any(result.report["spread"] for result in trained):
        yield "After ±: standard deviation over the seeds."
    yield from _selection(trained)
    for result in results:
        if result.report is None:
            yield f"{result.run.name}: not trained; {result.reason}"


def _trained(results: Sequence[RunResult]) -> list[RunResult]:
    return [result for result in results if result.report is not None]


def _facts(report: dict) -> list[str]:
    left_out = "LOSO"
    if report["split"] == "corpora":
        left_out = "trained on one corpus and tested on the other"
    elif report["group_folds"]:
        left_out = f"{report['group_folds']} groups of subjects left out in turn"
    return [
        f"{report['dataset']} {report['protocol']}",
        left_out + ("" if report["complete"] else " (folds are missing)"),
        f"labels {report['label_version']}",
        f"{report['n_clips']:,} clips",
        formatting.seeds_text(report),
        f"rule {formatting.rule_name(report['select'])}",
        f"{report['steps']:,} steps of {report['preset']}",
    ]


def _selection(trained: Sequence[RunResult]) -> Iterator[str]:
    """Yields the warning of test-best, its chance levels, and runs with another selection rule."""
    several = len({result.report["dataset"] for result in trained}) > 1
    sentences, rules = {}, set()
    for report in (result.report for result in trained):
        warning, *levels = formatting.selection_notes(report) or [""]
        corpus = f"{report['dataset']}: " if several else ""
        sentences |= dict.fromkeys([warning, *(corpus + level for level in levels)])
        entries = report["selection"]["rules"] if report["selection"] else [report]
        rules.add(tuple(entry["select"] for entry in entries))
    yield from filter(None, sentences)
    for result in trained:
        if not result.run.predicts and len(rules) > 1:
            yield (
                f"{result.run.name} predicts no category, so there is nothing to select a step by:"
                " it was trained with --select=last."
            )


def other_protocols(experiment: Experiment, results: Sequence[RunResult]) -> Iterator[str]:
    """Yields a warning if the runs have another corpus or protocol than the paper's numbers."""
    paper = [" ".join(pair) for pair in experiment.published]
    here = dict.fromkeys(f"{result.run.dataset} {result.run.protocol}" for result in results)
    if others := [protocol for protocol in here if protocol not in paper]:
        yield (
            f"The paper's numbers are for {formatting.listing(paper)}, those computed here for"
            f" {formatting.listing(others)}."
        )


def baselines(results: Sequence[RunResult]) -> Iterator[str]:
    """Yields the baselines of the auxiliary tasks, and the runs that do not beat them."""
    found = [(result.run.name, result.report["auxiliary"]) for result in _trained(results)]
    images = [tasks["dynamic_image"] for _, tasks in found if tasks["dynamic_image"]]
    ranks = [tasks["rank"] for _, tasks in found if tasks["rank"]]
    if images:
        yield (
            "Baselines of MSE e-3: best constant image"
            f" {1000 * images[0]['best_constant_image']:.2f}, mean of each clip"
            f" {1000 * images[0]['own_mean']:.2f}; the paper's FDP has 1.44."
        )
    if ranks:
        constant = ranks[0]["best_constant"]
        yield f"Rank loss of the best constant scores: {constant:.3f}; their tau is 0."
    verdicts = defaultdict(list)
    for name, tasks in found:
        for task, levels in tasks.items():
            if levels and levels["verdict"] != "learnt":
                verdicts[formatting.auxiliary_summary(task, levels)].append(name)
    for verdict, names in verdicts.items():
        yield f"{formatting.listing(names)}: {verdict}"


def differences(results: Sequence[RunResult], of_images: bool) -> Iterator[str]:
    """Yields the order of the runs by UF1 or image error, and the difference of each from FDP."""
    trained = _trained(results)
    key, title = ("dic_mse", "MSE e-3") if of_images else ("uf1", "UF1")
    known = [result for result in trained if result.report[key] is not None]
    if len(known) > 1:
        known.sort(key=lambda result: result.report[key], reverse=not of_images)
        yield f"Order by {title}, best first: {', '.join(result.run.name for result in known)}."
    full = next((result for result in trained if not result.run.overrides), None)
    others = [result for result in trained if full and result is not full]
    lines, clear = [], []
    for result in others:
        texts, interval = _difference(full, result, of_images)
        if texts:
            lines.append(f"{result.run.name}: {'; '.join(texts)}")
            if interval and not interval[0] <= 0 <= interval[1]:
                clear.append(result.run.name)
    if lines:
        yield (
            f"Difference from {full.run.name} on the same clips, with its 95 % bootstrap interval"
            f" over subjects ({DRAWS:,} resamples) in brackets and P of McNemar's exact test"
            " (details: python -m fdp_jax.report compare WORKDIR WORKDIR):"
        )
        yield from lines
        yield f"The interval of {title} excludes 0 for: {', '.join(clear) or 'none of them'}."


def _difference(
    full: RunResult, other: RunResult, of_images: bool
) -> tuple[list[str], list[float] | None]:
    """Returns texts on a difference, and the interval of the number that orders the runs."""
    texts, interval = [], None
    if of_images and (error := _error_difference(full.report, other.report)):
        value, interval = error
        texts.append(f"MSE e-3 {_signed(value, interval, 1000, '{:+.3f}')}")
    if None in (full.report["uf1"], other.report["uf1"]):
        return texts, interval
    try:
        found = compare(full.workdir, other.workdir)
    except UserError as error:
        return [*texts, f"scores are not compared ({error})"], interval
    uf1 = found["scores"]["uf1"]["difference"]
    texts.append(f"UF1 {_signed(uf1['value'], uf1['interval'], 100, '{:+.2f}')}")
    texts.append(f"P = {p_text(found['mcnemar']['p_value'])}")
    return texts + found["warnings"], interval if of_images else uf1["interval"]


def _error_difference(full: dict, other: dict) -> tuple[float, list[float] | None] | None:
    """Returns the difference in mean squared error and its interval over subjects.

    None if a subject has no error or only one of the reports has it.
    """
    first, second = (
        {entry["subject"]: entry["dic_mse"] for entry in report["per_subject"]}
        for report in (full, other)
    )
    if first.keys() != second.keys() or None in (*first.values(), *second.values()):
        return None
    subjects = sorted(first)
    n_clips = {entry["subject"]: entry["n_clips"] for entry in full["per_subject"]}
    clips = np.array([n_clips[subject] for subject in subjects])
    difference = np.array([second[subject] - first[subject] for subject in subjects])
    draws = resample_subjects([("", subject) for subject in subjects])
    interval = None
    if draws is not None:
        interval = percentile_interval(draws @ (clips * difference) / (draws @ clips))
    return float(clips @ difference / clips.sum()), interval


def _signed(value: float, interval: list[float] | None, factor: float, form: str) -> str:
    ends = f" [{', '.join(form.format(factor * end) for end in interval)}]" if interval else ""
    return form.format(factor * value) + ends
