"""The selection rules of a run side by side, and what guessing reaches under `test-best`."""

from dataclasses import asdict

from fdp_jax.metrics.chance import chance_level
from fdp_jax.metrics.scores import SCORE_NAMES
from fdp_jax.reporting.words import SCORE_TITLES, percent, rule_name, spread_text
from fdp_jax.reporting.workdir import Run


def side_by_side(rules: list[dict], run: Run | None) -> dict | None:
    """What `report.json` holds under `selection`; None where there is nothing to compare.

    Args:
      rules: of each selection rule its name, looks, scores and their spread, over the seeds.
      run: one seed's run under `test-best`, if there is one; guessing is drawn for its folds.
    """
    by_name = {rule["select"]: rule for rule in rules}
    if len(rules) < 2 and run is None:
        return None
    best = by_name.get("test-best")
    gaps = [
        {"minus": name, **{score: best[score] - rule[score] for score in SCORE_NAMES}}
        for name, rule in by_name.items()
        if best and name != "test-best"
    ]
    return {"rules": rules, "test_best_gaps": gaps, "test_best_guessing": _guessing(run)}


def _guessing(run: Run | None) -> dict | None:
    """Guessing's level as `chance.GuessingLevel` has it; None where the looks are not known."""
    if run is None or run.looks is None:
        return None
    labels = {fold.name: fold.table.label for fold in run.folds}
    split = run.info.get("split", "people")
    return asdict(chance_level(labels, run.info["classes"], run.looks, split=split))


def table(report: dict) -> list[tuple[str, ...]]:
    """The rules, the gaps between them, and guessing; the head first, nothing where one rule."""
    selection = report["selection"]
    if not selection:
        return []
    rows = [("Selection rule", "Looks a fold", *SCORE_TITLES.values())]
    rows += [
        (
            rule_name(rule["select"]),
            str(rule["looks"] or "-"),
            *(_with_spread(rule, name) for name in SCORE_TITLES),
        )
        for rule in selection["rules"]
    ]
    rows += [
        (
            f"test-best minus {gap['minus']}",
            "",
            *(f"{100 * gap[name]:+.2f}" for name in SCORE_TITLES),
        )
        for gap in selection["test_best_gaps"]
    ]
    guessing = selection["test_best_guessing"]
    for way, title in _WAYS.items() if guessing else ():
        means = {score: level["mean"] for score, level in guessing[way].items()}
        cells = (percent(means.get(name)) for name in SCORE_TITLES)
        rows.append((f"guessing, {title}", str(guessing["looks"]), *cells))
    return rows


def _with_spread(rule: dict, name: str) -> str:
    spread = spread_text(rule, name)
    return percent(rule[name]) + (f" ({spread})" if spread else "")


_WAYS = {"uniform": "every class alike", "class_share": "by class shares"}


def sentences(report: dict) -> list[str]:
    """What has to be said beside a number under `test-best`; none where there is none."""
    selection = report["selection"]
    names = [rule["select"] for rule in selection["rules"]] if selection else []
    if "test-best" not in names:
        return []
    told = [
        "test-best is OPTIMISTIC: it chooses each fold's step by the test people's own labels (the"
        " first of the best). It is only for comparison with published tables that did the same."
    ]
    guessing = selection["test_best_guessing"]
    if guessing:
        levels = "; ".join(
            f"{title}, Acc {_range(guessing[way]['acc'])} and UF1 {_range(guessing[way]['uf1'])}"
            for way, title in _WAYS.items()
        )
        told.append(
            f"Pure guessing under the same rule, the best of {guessing['looks']} looks in each"
            f" fold, reaches (mean and 95 % range of {guessing['draws']} draws): {levels}."
        )
    return told


def _range(level: dict) -> str:
    return f"{percent(level['mean'])} ({100 * level['low']:.2f} to {100 * level['high']:.2f})"
