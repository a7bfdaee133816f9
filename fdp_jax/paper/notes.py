"""What stands below a table: where its numbers come from, and what holds of them. No jax."""

from collections.abc import Iterable, Sequence

import numpy as np

from datasets.errors import UserError
from fdp_jax.metrics.statistics import DRAWS, percentile_interval, resample_subjects
from fdp_jax.paper.catalogue import RunSpec, experiment
from fdp_jax.paper.running import Result
from fdp_jax.reporting.comparison import compare, p_text
from fdp_jax.reporting.formatting import auxiliary_summary, listing, rule_name, selection_notes

SCORES = "UF1 is macro F1, wF1 the F1 weighted by clips, UAR the mean recall."
AUXILIARY = (
    "MSE e-3 is the mean squared error of the constructed dynamic images in thousandths, tau "
    "Kendall's tau of the rank scores with time, both on people left out; tau seen is on the "
    "people trained on."
)


def trained(results: Sequence[Result]) -> list[Result]:
    """Those that there is a report of."""
    return [result for result in results if result.report is not None]


def origin(results: Sequence[Result]) -> list[str]:
    """What was trained: what all runs share, what each has of its own, and what was not trained."""
    found = trained(results)
    facts = [_facts(result.report) for result in found]
    shared = [
        text for key, text in (facts[0] if facts else {}).items()
        if all(others[key] == text for others in facts)
    ]  # fmt: skip
    notes = []
    if shared:
        folder = found[0].workdir.parent
        notes.append(f"Trained: {', '.join(shared)}. In {folder}, each with report.html:")
    for result, own in zip(found, facts, strict=True):
        told = [text for text in own.values() if text not in shared]
        notes.append(f"{result.run.name}: {', '.join([*told, result.workdir.name])}")
    if any(result.report["spread"] for result in found):
        notes.append("After ±: standard deviation over the seeds.")
    notes += _optimism(found)
    notes += _left_to_last(found)
    notes += [f"{r.run.name}: not trained; {r.reason}" for r in results if r.report is None]
    return notes


def _facts(report: dict) -> dict[str, str]:
    """Protocol, label version, seeds, rule and the like, as phrases."""
    if report["split"] == "corpora":
        left_out = "trained on one corpus and tested on the other"
    elif report["group_folds"]:
        left_out = f"{report['group_folds']} groups of people left out in turn"
    else:
        left_out = "LOSO"
    seeds = report["seeds"]
    return {
        "protocol": f"{report['dataset']} {report['protocol']}",
        "left out": left_out + ("" if report["complete"] else " (folds are missing)"),
        "labels": f"labels {report['label_version']}",
        "clips": f"{report['n_clips']:,} clips",
        "seeds": f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}",
        "rule": f"rule {rule_name(report['select'])}",
        "steps": f"{report['steps']:,} steps of {report['preset']}",
    }


def _optimism(found: Sequence[Result]) -> list[str]:
    """The warning of `test-best` and the level of guessing, each once."""
    several = len({result.report["dataset"] for result in found}) > 1
    told = {}
    for result in found:
        warning, *levels = selection_notes(result.report) or [""]
        corpus = f"{result.report['dataset']}: " if several else ""
        told |= dict.fromkeys([warning, *(corpus + level for level in levels)])
    return [sentence for sentence in told if sentence]


def _left_to_last(found: Sequence[Result]) -> list[str]:
    """Which run could not be trained under the rule of the others."""
    wanted = {tuple(_rules(result.report)) for result in found}
    return [
        f"{result.run.name} predicts no category, so that there is nothing to choose a step by: it "
        "was trained with --select=last."
        for result in found
        if ("ablate", "no_mer") in result.run.overrides and len(wanted) > 1
    ]


def _rules(report: dict) -> list[str]:
    rules = (report["selection"] or {}).get("rules") or [report]
    return [rule["select"] for rule in rules]


def not_from_paper(name: str, results: Sequence[Result]) -> list[str]:
    """That the runs are not on the corpus and protocol of the paper's numbers beside them."""
    theirs = _protocols(experiment(name).runs)
    others = [p for p in _protocols(r.run for r in results) if p not in theirs]
    return [
        f"The paper's numbers are of {listing(theirs)}, ours of {listing(others)}."
    ] if others else []  # fmt: skip


def _protocols(runs: Iterable[RunSpec]) -> list[str]:
    return list(dict.fromkeys(f"{run.dataset} {run.protocol}" for run in runs))


def levels(results: Sequence[Result]) -> list[str]:
    """What needs no learning, and what the auxiliary tasks of each variant learnt."""
    told, images, ranks = {}, [], []
    for result in trained(results):
        image, rank = (result.report["auxiliary"][part] for part in ("dynamic_image", "rank"))
        images += [image] if image else []
        ranks += [rank] if rank else []
        for task, part in (("dynamic_image", image), ("rank", rank)):
            if part and part["verdict"] != "learnt":
                told.setdefault(auxiliary_summary(task, part), []).append(result.run.name)
    constants = []
    if images:
        constants.append(
            f"MSE without learning, in thousandths: best constant image "
            f"{1000 * images[0]['best_constant_image']:.2f}, each clip's own mean "
            f"{1000 * images[0]['own_mean']:.2f}; the paper's FDP has 1.44."
        )
    if ranks:
        constants.append(
            f"Rank loss of the best constant score: {ranks[0]['best_constant']:.3f}; its tau is 0."
        )
    verdicts = [f"{listing(names)}: {words}" for words, names in told.items()]
    return [*constants, *verdicts, *_unseen_only(results)]


def _unseen_only(results: Sequence[Result]) -> list[str]:
    """Why `tau seen` is empty where `tau` is not."""
    without = [
        result.run.name
        for result in trained(results)
        if result.report["auxiliary"]["rank"]
        and (result.report.get("train_set_metrics") or {}).get("kendall_tau") is None
    ]
    return [
        f"tau seen is empty for {listing(without)}: the people trained on are scored at the last "
        "step, under the rule last alone."
    ] if without else []  # fmt: skip


def paired(results: Sequence[Result], of_images: bool) -> list[str]:
    """Each run against FDP, which is the one without overrides, and the order found.

    Args:
      results: of a table with one run a row.
      of_images: whether the error of the constructions is compared too, and gives the order.
    """
    found = trained(results)
    full = next((result for result in found if not result.run.overrides), None)
    others = [result for result in found if result is not full]
    lines, clear = [], []
    for result in others if full else ():
        texts, is_clear = _against(full, result, of_images)
        lines += [f"{result.run.name}: {'; '.join(texts)}"] if texts else []
        clear += [result.run.name] if is_clear else []
    what = "MSE e-3" if of_images else "UF1"
    notes = _order(found, of_images)
    if lines:
        notes.append(
            f"Less {full.run.name} on the same clips, in brackets the middle 95 % of {DRAWS:,} "
            "drawings of the people, P of McNemar's exact test (python -m fdp_jax.report compare "
            "WORKDIR WORKDIR tells more):"
        )
        notes += lines
        notes.append(f"Clear of 0 in {what}: {listing(clear) if clear else 'none of them'}.")
    return notes


def _against(full: Result, other: Result, of_images: bool) -> tuple[list[str], bool]:
    """What is to be told of a difference, and whether that in the order's number is clear of 0."""
    texts, pair = [], None
    if of_images:
        difference = _less_error(full.report["per_subject"], other.report["per_subject"])
        if difference:
            value, pair = difference
            texts.append(f"MSE e-3 {_signed(value, pair, 1000, '{:+.3f}')}")
    if full.report["uf1"] is not None and other.report["uf1"] is not None:
        try:
            found = compare(full.workdir, other.workdir)
        except UserError as error:
            return [*texts, f"scores are not compared ({error})"], _is_clear(pair)
        uf1 = found["scores"]["uf1"]["difference"]
        pair = pair if of_images else uf1["interval"]
        texts.append(f"UF1 {_signed(uf1['value'], uf1['interval'], 100, '{:+.2f}')}")
        texts.append(f"P = {p_text(found['mcnemar']['p_value'])}")
        texts += found["warnings"]
    return texts, _is_clear(pair)


def _less_error(full: list[dict], other: list[dict]) -> tuple[float, list[float] | None] | None:
    """Difference in mean squared error and its interval, people drawn; None without an error."""
    errors = [{p["subject"]: p["dic_mse"] for p in side} for side in (full, other)]
    clips = {p["subject"]: p["n_clips"] for p in full}
    if errors[0].keys() != errors[1].keys() or None in [*errors[0].values(), *errors[1].values()]:
        return None
    names = sorted(clips)
    draws = resample_subjects([("", name) for name in names])
    weights = np.array([clips[name] for name in names])
    less = np.array([errors[1][name] - errors[0][name] for name in names])
    pair = None
    if draws is not None:
        pair = percentile_interval(draws @ (weights * less) / (draws @ weights))
    return float(weights @ less / weights.sum()), pair


def _signed(value: float, pair: list[float] | None, factor: float, form: str) -> str:
    inside = f" [{', '.join(form.format(factor * end) for end in pair)}]" if pair else ""
    return form.format(factor * value) + inside


def _is_clear(pair: list[float] | None) -> bool:
    return pair is not None and not pair[0] <= 0 <= pair[1]


def _order(found: Sequence[Result], of_images: bool) -> list[str]:
    """The order found under the headline's rule, best first."""
    name = "dic_mse" if of_images else "uf1"
    known = [result for result in found if result.report[name] is not None]
    if len(known) < 2:
        return []
    ordered = sorted(known, key=lambda r: r.report[name], reverse=not of_images)
    what = "MSE" if of_images else "UF1"
    names = ", ".join(result.run.name for result in ordered)
    return [f"Order found by {what}, best first: {names}."]


def how_to_compare() -> str:
    """What holds in place of the paper's tests of significance."""
    return (
        "What holds instead compares two trainings on the same clips, McNemar's exact test and "
        "intervals from drawing people: python -m fdp_jax.report compare WORKDIR WORKDIR"
    )
