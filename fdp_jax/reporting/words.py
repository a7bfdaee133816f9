"""The wording that terminal, Markdown and HTML share, so that all three say the same."""

import math
from collections.abc import Iterable

SCORE_TITLES = {
    "acc": "Acc",
    "uf1": "UF1 (macro F1)",
    "weighted_f1": "weighted F1",
    "uar": "UAR",
    "war": "WAR",
}
FEW_PEOPLE = 20  # the fewer, the more the bootstrap's intervals are too narrow
_IMAGE_TITLES = {"dic_mse": "Dynamic image, MSE"}
_SELECTION = {
    "last": "every fold is scored at its last step; no test clip was looked at before",
    "val": "every fold is scored at its best step{looks} on held-out people of its training part",
    "test-best": "OPTIMISTIC: every fold is scored at its best step{looks} on the test subject"
    " itself; only for comparison with published tables that did the same",
}


def percent(value: float | None) -> str:
    """A fraction as a percentage with two decimals."""
    return "-" if value is None else f"{100 * value:.2f} %"


def recognises(report: dict) -> bool:
    """Whether there are predictions to score: not where the recognition module is ablated."""
    return report["confusion_matrix"] is not None


def score_titles(report: dict) -> dict[str, str]:
    """Key in an entry -> title of what is reported of it: the scores, or else the image's error."""
    return SCORE_TITLES if recognises(report) else _IMAGE_TITLES


def cell(entry: dict, name: str) -> str:
    """One number of `score_titles` as text."""
    return small(entry[name]) if name in _IMAGE_TITLES else percent(entry[name])


def spread_text(report: dict, name: str) -> str:
    """A headline number's standard deviation over the seeds; empty for a single one."""
    if not report["spread"] or report["spread"][name] is None:
        return ""
    deviation = report["spread"][name]
    return f"sd {deviation:.2g}" if name in _IMAGE_TITLES else f"sd {100 * deviation:.2f}"


def bracket(interval: list[float] | None, form: str = "{:.1f}") -> str:
    """An interval of fractions as ` [61.2, 83.0]`, in percent; empty where there is none."""
    if interval is None:
        return ""
    low, high = (form.format(100 * value) for value in interval)
    return f" [{low}, {high}]"


def interval_text(report: dict, name: str) -> str:
    """The interval of a headline score; empty where there is none."""
    return bracket((report["intervals"] or {}).get(name))


def intervals_text(report: dict) -> str:
    """What the intervals beside the headline are; empty where there are none."""
    if report["intervals"] is None:
        return ""
    return resampling_text(report["intervals"]["draws"], report["n_subjects"])


def resampling_text(draws: int, people: int) -> str:
    """What intervals in brackets are."""
    few = f" With {people} people they are rather too narrow." if people < FEW_PEOPLE else ""
    return (
        f"In brackets: the middle 95 % of {draws:,} drawings of the people with replacement, all"
        f" clips of a person together.{few}"
    )


def headline_rows(report: dict) -> list[tuple[str, str, str]]:
    """(name, title, value) of the headline: the scores, or else the image's error and its levels.

    The names are those of `score_titles`; a level has none.
    """
    rows = [(name, title, cell(report, name)) for name, title in score_titles(report).items()]
    if not recognises(report):
        levels = report["auxiliary"]["dynamic_image"] or {}
        rows += [("", title, small(levels[key])) for key, title in IMAGE_LEVELS.items() if levels]
    return rows


def variant_text(report: dict) -> str:
    """What of the network is not the paper's own, as `, ablated: no_dic`; empty for nothing."""
    backbone, ablated = (report["config"].get(name) for name in ("backbone", "ablate"))
    return (f", backbone {backbone}" if backbone not in (None, "fdp") else "") + (
        f", ablated: {ablated}" if ablated else ""
    )


def small(value: float | None) -> str:
    """A loss with four significant digits."""
    return "-" if value is None else f"{value:.4g}"


def duration(seconds: float | None) -> str:
    """Seconds as text a person reads."""
    if not seconds:
        return "-"
    if seconds < 90:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def memory(size: float | None) -> str:
    """Bytes as text a person reads."""
    return f"{size / 1e9:.2f} GB" if size else "-"


def seeds_text(report: dict) -> str:
    """`seed 0`, or `mean over seeds 0, 1 and 2`."""
    seeds = [str(seed) for seed in report["seeds"]]
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"mean over seeds {listing(seeds)}"


def listing(words: Iterable[str]) -> str:
    """a, b and c."""
    words = list(words)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def selection_text(report: dict) -> str:
    """What the selection rule of the headline means."""
    looks = f", of {report['looks']} looked at," if report.get("looks") else ""
    return _SELECTION.get(report["select"], "").format(looks=looks)


def rule_name(rule: str) -> str:
    """A selection rule's name, with its warning where it has one."""
    return "test-best (OPTIMISTIC)" if rule == "test-best" else rule


def counts_text(report: dict) -> str:
    """How much the headline rests on: clips, people, folds."""
    return (
        f"{report['n_clips']} clips of {report['n_subjects']} people,"
        f" {report['folds_finished']} of {report['folds_expected']} folds"
        + (f" ({len(report['seeds'])} seeds averaged)" if len(report["seeds"]) > 1 else "")
    )


def corpus_text(report: dict) -> str:
    """What scores on this corpus are worth; empty where it was filmed."""
    if report["dataset"] != "synthetic":
        return ""
    return (
        "The people of the synthetic corpus are drawn. Scores on them show that the code learns,"
        " not how well anything works on people."
    )


def scores_title(report: dict) -> str:
    """How the headline scores come about, in a few words."""
    if not recognises(report):
        return "mean over all test clips"
    warning = f", {rule_name('test-best')}" if report["select"] == "test-best" else ""
    if report["split"] != "corpora":
        return "pooled over all folds" + warning
    if _has_both_directions(report):
        return "mean of the two directions" + warning
    one = "one direction only" if len(report["per_dataset"]) == 1 else "one direction a seed"
    return one + warning


def _has_both_directions(report: dict) -> bool:
    unfinished = {fold["seed"] for fold in report["missing_folds"]}
    return not unfinished & set(report["seeds"])


def scores_text(report: dict) -> str:
    """How the headline scores come about, as a sentence."""
    per_seed = " per seed" if report["spread"] else ""
    if not recognises(report):
        return (
            "The recognition module was switched off in this run, so there are no scores; the"
            f" error of the dynamic image is the mean over all test clips{per_seed}."
        )
    if report["split"] != "corpora":
        return f"All scores come from one table of predictions{per_seed}, pooled over the folds."
    directions = listing(entry["fold"] for entry in report["per_dataset"])
    if _has_both_directions(report):
        how = f"are the mean of the two directions ({directions}), each scored by itself{per_seed}"
    elif len(report["per_dataset"]) == 1:
        how = f"are those of one direction only ({directions})"
    else:
        how = f"are the mean of seeds with one direction each ({directions})"
    return f"All scores {how}; confusion matrix and recall by class are pooled over all test clips."


def labels_text(report: dict) -> str:
    """Which labels the numbers rest on."""
    n = len(report["corrections"])
    corrected = f", {n} {'cell' if n == 1 else 'cells'} corrected (see report.md)" if n else ""
    return f"Labels: {report['label_version'] or 'version not told'}{corrected}."


def dataset_text(report: dict) -> str:
    """What the table of scores by tested corpus shows."""
    mean = "; means over the seeds" if report["spread"] else ""
    return f"From the same predictions, each tested corpus by itself{mean}."


def dataset_rows(report: dict) -> list[tuple[str, ...]]:
    """The table of scores by tested corpus, its head first; nothing where there is one corpus."""
    if "per_dataset" not in report:
        return []
    titles = score_titles(report)
    return [("Tested corpus", "Clips", "People", *titles.values())] + [
        (
            entry["dataset"] + (f" ({entry['fold']})" if entry["fold"] else ""),
            str(entry["n_clips"]),
            str(entry["n_subjects"]),
            *(cell(entry, name) for name in titles),
        )
        for entry in report["per_dataset"]
    ]


def run_rows(report: dict) -> list[tuple[str, ...]]:
    """The table of all runs, its head first."""
    titles = score_titles(report)
    return [("Selection rule", "Seed", "Folds", *titles.values())] + [
        (
            rule_name(run["select"]),
            str(run["seed"]),
            f"{run['folds_finished']} of {run['n_folds']}",
            *(cell(run, name) for name in titles),
        )
        for run in report["runs"]
    ]


def person_rows(report: dict) -> list[tuple[str, ...]]:
    """The table of the people left out, its head first."""
    name, title = ("acc", "Right") if recognises(report) else next(iter(_IMAGE_TITLES.items()))
    return [("Person", "Fold", "Clips", title)] + [
        (person["subject"], person["fold"], str(person["n_clips"]), cell(person, name))
        for person in report["per_subject"]
    ]


def chance_text(report: dict) -> str | None:
    """What guessing reaches, or None where nothing is scored."""
    if not recognises(report):
        return None
    m = len(report["classes"])
    largest = percent(report["largest_class_acc"])
    where = " of each tested corpus" if report["split"] == "corpora" else ""
    looks = " with one look" if report["select"] == "test-best" else ""
    return (
        f"Guessing{looks} at random among the {m} classes reaches {percent(report['chance'])}"
        f" (1/{m}); always naming the largest class{where} reaches Acc {largest}."
    )


def absent_text(report: dict) -> str | None:
    """Which classes UF1 and UAR leave out, or None."""
    parts = [("the pooled ones", report["classes_without_clips"])]
    parts += [
        (f"those of {entry['dataset']}", entry["classes_without_clips"])
        for entry in report.get("per_dataset", [])
    ]
    sentences = [
        f"Left out of UF1 and UAR, having no true clip among {where}: {', '.join(absent)}."
        for where, absent in parts
        if absent
    ]
    return " ".join(sentences) or None


def missing_text(report: dict) -> str | None:
    """That folds are missing, or None; the list itself is `missing_lines`."""
    if report["complete"]:
        return None
    n = len(report["missing_folds"])
    text = (
        f"INCOMPLETE: {n} of {report['folds_expected']} folds {'is' if n == 1 else 'are'} missing"
    )
    if report["seeds_left_out"]:
        seeds = listing(str(seed) for seed in report["seeds_left_out"])
        text += f"; unfinished and left out of the headline numbers: seed {seeds}"
    if {fold["seed"] for fold in report["missing_folds"]} & set(report["seeds"]):
        text += "; the numbers here do not speak for the people in the missing folds"
    return text + "."


def missing_lines(report: dict) -> list[str]:
    """One line a missing fold, with its reason."""
    return [
        f"fold {fold['fold']} of seed {fold['seed']}: {fold['reason']}"
        for fold in report["missing_folds"]
    ]


# Trivial level of the dynamic image's error -> its title.
IMAGE_LEVELS = {
    "best_constant_image": "best constant image",
    "best_constant_value": "best constant value",
    "own_mean": "each clip's own mean",
}


def auxiliary_rows(report: dict) -> list[tuple[str, str, bool]]:
    """(what, value, whether it is this model's own) for the table of the auxiliary tasks."""
    rows = []
    image, rank = report["auxiliary"]["dynamic_image"], report["auxiliary"]["rank"]
    training, known = report["training_losses"], report["training_people"]
    if image:
        rows += [
            ("Dynamic image, MSE on the test clips", small(image["mse"]), True),
            *((title, small(image[key]), False) for key, title in IMAGE_LEVELS.items()),
            ("end of training, training clips", small(training["dynamic_image"]), False),
        ]
        if known["dic_mse"] is not None:
            rows += [
                ("on the people trained on", small(known["dic_mse"]), False),
                ("best constant image of those", small(known["best_constant_image"]), False),
            ]
    if rank:
        rows += [
            ("Rank loss on the test clips", small(rank["loss"]), True),
            ("best constant scores", small(rank["best_constant"]), False),
            ("end of training, training clips", small(training["rank"]), False),
            ("Kendall's tau of the scores with time", f"{rank['kendall_tau']:.3f}", True),
        ]
        if known["kendall_tau"] is not None:
            rows += [
                ("rank loss on the people trained on", small(known["rank_loss"]), False),
                ("Kendall's tau on those", f"{known['kendall_tau']:.3f}", False),
            ]
    return rows


def auxiliary_sentences(report: dict) -> list[str]:
    """What each auxiliary task learnt, or that it was switched off."""
    off = {
        "dynamic_image": "The dynamic-image module was switched off in this run.",
        "rank": "The rank loss or scorer was switched off in this run.",
    }
    return [
        levels["words"] if (levels := report["auxiliary"][name]) else text
        for name, text in off.items()
    ]


def fact_rows(report: dict) -> list[tuple[str, str]]:
    """What was run, for the table of facts."""
    parameters = report["parameters"] or {}
    counts = [f"{value:,} ({name})" for name, value in parameters.items() if value is not None]
    if report["group_folds"]:
        left_out = f" groups of people, each left out once (group_folds={report['group_folds']})"
    elif report["split"] == "corpora":
        left_out = ", each training on one corpus and testing on the other"
    else:
        left_out = ", each leaving one subject or part out"
    rows = [
        ("Corpus", str(report["dataset"])),
        ("Protocol", str(report["protocol"])),
        ("Preset", report["preset"]),
        ("Backbone", report["config"].get("backbone")),
        ("Ablated", report["config"].get("ablate")),
        ("Selection rule", f"{report['select']}: {selection_text(report)}".strip(" :")),
        ("Seeds", ", ".join(str(seed) for seed in report["seeds"])),
        ("Folds", f"{report['n_folds']}{left_out}"),
        ("Steps per fold", report["steps"]),
        ("Parameters", "; ".join(counts)),
        ("Time, all folds", duration(report["seconds"])),
        ("Peak memory", memory(report["peak_memory_bytes"])),
        ("Trained on", report["trained_on"]),
        ("Label version", report["label_version"]),
        ("Versions", ", ".join(f"{name} {value}" for name, value in report["versions"].items())),
        ("Command", report["command"]),
    ]
    return [(name, str(value)) for name, value in rows if value not in (None, "")]


def loss_levels(report: dict) -> dict[str, list[tuple[str, float]]]:
    """Loss name -> (what, level) of the trivial levels that its training curve is drawn beside."""
    image, rank = report["auxiliary"]["dynamic_image"], report["auxiliary"]["rank"]
    levels = {"cross_entropy": [("uniform guess", math.log(len(report["classes"])))]}
    if image:
        levels["dynamic_image"] = [
            ("best constant image", image["best_constant_image"]),
            ("each clip's own mean", image["own_mean"]),
        ]
    if rank:
        levels["rank"] = [("best constant scores", rank["best_constant"])]
    return levels
