"""Numbers and sentences that the terminal, Markdown, HTML and LaTeX versions of a report share."""

import json
import math
import re
from collections.abc import Iterable
from datetime import timedelta

SCORE_TITLES = {
    "acc": "Acc (= WAR)",
    "uf1": "UF1 (macro F1)",
    "weighted_f1": "Weighted F1",
    "uar": "UAR",
}
# Our score -> the scores of the paper that it is compared with.
_PUBLISHED = {"acc": ("acc", "war"), "uf1": ("f1",), "weighted_f1": ("f1",), "uar": ("uar",)}
FEW_SUBJECTS = 20  # with fewer, bootstrap intervals tend to be too narrow
_IMAGE_TITLES = {"dic_mse": "Dynamic image MSE"}
BASELINES = {
    "best_constant_image": "Best constant image",
    "best_constant_value": "Best constant value",
    "own_mean": "Mean of each clip",
}
_SELECTION = {
    "last": "each fold is evaluated once, after its last training step",
    "val": "each fold is scored at its best step (of {evaluations} evaluations) on held-out"
    " training subjects",
    "test-best": "each fold is scored at its best step (of {evaluations} evaluations) on the test"
    " subjects themselves",
}
GUESSING = {"uniform": "uniform", "class_share": "by class frequency"}
_TASKS = {
    "dynamic_image": ("dynamic-image module", "best constant image"),
    "rank": ("rank scorer", "best constant scores"),
}
_VERDICTS = {
    "nothing": "has learnt nothing that generalises to unseen subjects: its loss is not below that"
    " of the {constant}",
    "little": "has learnt next to nothing: its loss is less than 2 % below that of the {constant}",
    "brightness": "beats the {constant}, but not the mean grey value of each clip",
    "learnt": "has learnt something: its loss is below that of the {constant}",
}

Rows = list[tuple[str, ...]]


def percent(value: float | None) -> str:
    """Returns a fraction as a percentage with two decimals."""
    return "-" if value is None else f"{100 * value:.2f} %"


def compact(value: float | None) -> str:
    """Returns a loss with four significant digits."""
    return "-" if value is None or math.isnan(value) else f"{value:.4g}"


def bracket(interval: list[float] | None, form: str = "{:.1f}") -> str:
    """Returns an interval of fractions in percent, as ` [61.2, 83.0]`; empty if None."""
    return f" [{', '.join(form.format(100 * end) for end in interval)}]" if interval else ""


def listing(words: Iterable[object]) -> str:
    """Returns `a, b and c`."""
    *others, last = map(str, words)
    return f"{', '.join(others)} and {last}" if others else last


def rule_name(rule: str) -> str:
    """Returns a selection rule's name, with a warning for test-best."""
    return "test-best (OPTIMISTIC)" if rule == "test-best" else rule


def has_scores(report: dict) -> bool:
    """Whether the network predicts classes; without the recognition module it does not."""
    return report["confusion_matrix"] is not None


def score_titles(report: dict) -> dict[str, str]:
    """Returns key -> title of the reported numbers: the scores, or else the image error."""
    return SCORE_TITLES if has_scores(report) else _IMAGE_TITLES


def number(entry: dict, name: str) -> str:
    """Returns one number of `score_titles` as text."""
    return compact(entry[name]) if name in _IMAGE_TITLES else percent(entry[name])


def published_text(report: dict, name: str) -> str:
    """Returns the published number beside a score of ours; empty if there is none.

    The paper prints one F1 without saying which, so that it is beside both of ours.
    """
    scores = (report["published"] or {}).get("scores", {})
    for printed in _PUBLISHED.get(name, ()):
        if printed in scores:
            return percent(scores[printed]) + (" (F1)" if printed == "f1" else "")
    return ""


def uncertainty(entry: dict, name: str) -> str:
    """Returns deviation over the seeds and interval of a number, ` (sd 1.20) [61.2, 83.0]`."""
    deviation = (entry["spread"] or {}).get(name)
    text = ""
    if deviation is not None:
        number = f"{deviation:.2g}" if name in _IMAGE_TITLES else f"{100 * deviation:.2f}"
        text = f" (sd {number})"
    return text + bracket((entry.get("intervals") or {}).get(name))


def headline_rows(report: dict) -> list[tuple[str, str, str]]:
    """Returns (key, title, value) of the scores, or else of the image error and its baselines.

    Baselines have an empty key.
    """
    rows = [(name, title, number(report, name)) for name, title in score_titles(report).items()]
    levels = report["auxiliary"]["dynamic_image"]
    if not has_scores(report) and levels:
        rows += [("", title, compact(levels[key])) for key, title in BASELINES.items()]
    return rows


def seeds_text(report: dict) -> str:
    """Returns `seed 0` or `mean over seeds 0, 1 and 2`."""
    seeds = report["seeds"]
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"mean over seeds {listing(seeds)}"


def about(report: dict) -> str:
    """Returns a sentence on what the headline is based on."""
    rule = _SELECTION[report["select"]].format(**report)
    backbone, ablated = (report["config"].get(name) for name in ("backbone", "ablate"))
    return (
        f"{report['n_clips']} clips of {report['n_subjects']} subjects,"
        f" {report['folds_finished']} of {report['folds_expected']} folds, {seeds_text(report)}"
        + (f", backbone {backbone}" if backbone not in (None, "fdp") else "")
        + (f", ablated: {ablated}" if ablated else "")
        + (f", started from {report['init']}" if report["init"] else "")
        + f". Selection rule {rule_name(report['select'])}: {rule}."
    )


def aggregation(report: dict) -> str:
    """Returns how the headline numbers are aggregated."""
    if not has_scores(report):
        return "mean over all test clips (the recognition module is switched off in this run)"
    if report["split"] != "corpora":
        return "one table of predictions, pooled over all folds"
    directions = [entry["fold"] for entry in report["per_dataset"]]
    if len(directions) == 1:
        return f"one direction only ({directions[0]})"
    return f"mean of the two directions ({listing(directions)}), each scored separately"


def resampling_text(draws: int, subjects: int) -> str:
    """Returns what intervals in brackets are."""
    text = f"In brackets: 95 % bootstrap interval over subjects ({draws:,} resamples)."
    if subjects < FEW_SUBJECTS:
        text += f" With {subjects} subjects, it tends to be too narrow."
    return text


def notes(report: dict) -> list[str]:
    """Returns sentences that explain the headline."""
    per_seed = ", then averaged over the seeds" if report["spread"] else ""
    sentences = [f"Scores: {aggregation(report)}{per_seed}."]
    if report["intervals"]:
        sentences.append(resampling_text(report["intervals"]["draws"], report["n_subjects"]))
    if has_scores(report):
        m = len(report["classes"])
        single = " with a single evaluation" if report["select"] == "test-best" else ""
        where = " of each tested corpus" if report["split"] == "corpora" else ""
        sentences.append(
            f"Chance level{single}: Acc {percent(report['chance'])} (1/{m}) by uniform guessing,"
            f" {percent(report['largest_class_acc'])} by predicting the largest class{where}."
        )
    for entry in (report, *report.get("per_dataset", [])):
        if absent := entry["classes_without_clips"]:
            where = "" if entry is report else f" of {entry['dataset']}"
            sentences.append(f"No test clip{where}, left out of UF1 and UAR: {', '.join(absent)}.")
    sentences += [auxiliary_summary(task, found) for task, found in report["auxiliary"].items()]
    version = f"Label version: {report['label_version'] or 'unknown'}"
    if corrected := len(report["corrections"]):
        version += f", {corrected} {'cell' if corrected == 1 else 'cells'} corrected"
    sentences.append(f"{version}.")
    if report["dataset"] == "synthetic":
        sentences.append(
            "The subjects of the synthetic corpus are drawings: scores on them show that the code"
            " learns, not how well the method works on people."
        )
    return sentences + _published_notes(report)


def _published_notes(report: dict) -> list[str]:
    entry = report["published"]
    if entry is None:
        return []
    unknown = "its selection rule"
    if "f1" in entry["scores"]:
        unknown += ", and which F1 it prints"
    sentences = [
        f"Published: FDP's row in Table {entry['table']} of the paper. Unknown: {unknown}.",
        *entry["notes"],
    ]
    if report["split"] != "corpora":
        sentences.append(
            f"Mean of the accuracies of the folds, here: {percent(report['fold_acc'])}; the scores"
            " are pooled over the clips."
        )
        if report["group_folds"]:
            sentences.append("The paper leaves out one subject at a time, this run groups of them.")
    return sentences


def alerts(report: dict) -> list[str]:
    """Returns sentences that precede the headline: missing folds, corpus warnings, test-best."""
    sentences = []
    if not report["complete"]:
        missing = report["missing_folds"]
        are = "is" if len(missing) == 1 else "are"
        text = f"INCOMPLETE: {len(missing)} of {report['folds_expected']} folds {are} missing"
        if left_out := report["seeds_left_out"]:
            text += f"; unfinished and left out of the headline: seed {listing(left_out)}"
        if {fold["seed"] for fold in missing} & set(report["seeds"]):
            text += "; the numbers do not cover the subjects of the missing folds"
        way_out = "Remove the folders of damaged folds, and run the same training command again."
        sentences.append(f"{text}. {way_out}")
        for fold in missing:
            sentences.append(f"Fold {fold['fold']} of seed {fold['seed']}: {fold['reason']}.")
    sentences += [f"WARNING: {warning}" for warning in report["warnings"]]
    return sentences + (selection_notes(report) if report["select"] == "test-best" else [])


def selection_notes(report: dict) -> list[str]:
    """Returns the warning of test-best and its chance level, if it is among the rules."""
    level = (report["selection"] or {}).get("test_best_chance_level")
    if level is None:
        return []
    ways = "; ".join(
        f"{title}, Acc {range_text(level[way]['acc'])} and UF1 {range_text(level[way]['uf1'])}"
        for way, title in GUESSING.items()
    )
    return [
        "test-best is OPTIMISTIC: it selects each fold's step by the labels of the test subjects"
        " (the first of equally good steps). Compare it only with published results that did the"
        " same.",
        f"Random guessing under the same rule, the best of {level['evaluations']} evaluations per"
        f" fold, reaches (mean and 95 % range of {level['draws']} draws): {ways}.",
    ]


def range_text(level: dict) -> str:
    """Returns a score of the chance level, as `61.00 % (55.00 to 67.00)`."""
    return f"{percent(level['mean'])} ({100 * level['low']:.2f} to {100 * level['high']:.2f})"


def auxiliary_summary(task: str, levels: dict | None) -> str:
    """Returns a sentence on what an auxiliary task learnt.

    Args:
      task: dynamic_image or rank.
      levels: its entry under `auxiliary` in `report.json`.
    """
    module, constant = _TASKS[task]
    if levels is None:
        return f"The {module} or its loss is switched off in this run."
    tau = f" (Kendall's tau with time {levels['kendall_tau']:.2f})" if task == "rank" else ""
    return f"The {module} {_VERDICTS[levels['verdict']].format(constant=constant)}{tau}."


def configuration(report: dict) -> dict[str, str]:
    """Returns what was run, by title, without what is unknown."""
    peak = report["peak_memory_bytes"]
    folds = "one per subject"
    if report["group_folds"]:
        folds = f"one per group of subjects (group_folds={report['group_folds']})"
    elif report["split"] == "corpora":
        folds = "one per direction, training on one corpus and testing on the other"
    facts = {
        "Corpus": report["dataset"],
        "Protocol": report["protocol"],
        "Preset": report["preset"],
        "Backbone": report["config"].get("backbone"),
        "Ablated": report["config"].get("ablate"),
        "Selection rule": report["select"],
        "Seeds": ", ".join(map(str, report["seeds"])),
        "Folds": f"{report['n_folds']}, {folds}",
        "Steps per fold": report["steps"],
        "Initial weights": report["init"],
        "Parameters": "; ".join(f"{n:,} ({part})" for part, n in report["parameters"].items()),
        "Time, all folds": timedelta(seconds=round(report["seconds"])),
        "Peak memory": f"{peak / 1e9:.2f} GB" if peak else None,
        "Device": re.sub(r"^(.+) \(\1\)$", r"\1", report["device"]),
        "Label version": report["label_version"],
        "Versions": ", ".join(f"{name} {value}" for name, value in report["versions"].items()),
        "Command": report["command"],
    }
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def to_json(content: dict) -> str:
    """Returns indented JSON; NaN is refused."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def table(rows: Rows) -> str:
    """Returns a Markdown table with aligned columns; the first row is its head."""
    rows = [tuple(map(escape, row)) for row in rows]
    first, *others = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    lines = [[row[0].ljust(first), *map(str.rjust, row[1:], others)] for row in rows]
    lines.insert(1, ["-" * first, *("-" * (width - 1) + ":" for width in others)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def bullets(lines: Iterable[object]) -> str:
    """Returns a Markdown list."""
    return "\n".join(f"- {escape(line)}" for line in lines)


def escape(value: object) -> str:
    """Returns text on one line, without Markdown or HTML syntax or table borders."""
    text = " ".join(str(value).split())
    for sign, safe in (("\\", "\\\\"), ("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("`", "\\`")):
        text = text.replace(sign, safe)
    return text
