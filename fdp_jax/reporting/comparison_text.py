"""What `report compare` prints: the content of `fdp_jax.reporting.comparison.compare` in words."""

from collections.abc import Iterator, Sequence

from fdp_jax.metrics.confusion import SCORED
from fdp_jax.reporting import selection, words

_LEFT_OUT = {
    "only_first": "only in the first",
    "only_second": "only in the second",
    "relabelled": "labelled differently in the two",
}
_SHOWN = 10  # clips named on the screen; --json lists all


def lines(found: dict) -> list[str]:
    """The whole comparison, line by line."""
    sides = [found["first"], found["second"]]
    clips = found["clips"]
    parts = [
        "\n".join(columns([("", "first", "second"), *_facts(sides, clips)])),
        f"{clips['common']} clips of {clips['people']} people are in both with the same label, and"
        " are compared:",
        "\n".join(columns(_score_rows(found["scores"]))),
        _intervals_text(found),
        *_mcnemar_text(found["mcnemar"]),
        *_left_out(clips),
    ]
    if found["options"]:
        options = [(o["name"], str(o["first"]), str(o["second"])) for o in found["options"]]
        parts.append("\n".join(["They were trained with other options:", *columns(options)]))
    parts += [f"WARNING: {sentence}" for sentence in found["warnings"]]
    parts += [text for name in ("first", "second") for text in _optimism(name, found[name])]
    return "\n\n".join(parts).split("\n")


def columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The rows as lines, indented, all columns flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(["", *map(str.ljust, row, widths)]).rstrip() for row in rows]


def _facts(sides: Sequence[dict], clips: dict) -> Iterator[tuple[str, ...]]:
    told = {
        "Work directory": lambda side: side["workdir"],
        "Protocol": lambda side: f"{side['dataset']} {side['protocol']}",
        "Selection rule": lambda side: words.rule_name(side["select"]),
        "Label version": lambda side: side["label_version"] or "not told",
        "Seeds": lambda side: ", ".join(map(str, side["seeds"])),
        "Steps per fold": lambda side: str(side["steps"]),
        "Clips, people": lambda side: f"{side['n_clips']}, {side['n_subjects']}",
        "Folds": lambda side: f"{side['folds_finished']} of {side['folds_expected']}",
    }
    if any(clips[key] for key in _LEFT_OUT):
        for name in SCORED:
            title = f"{words.SCORE_TITLES[name]}, own clips"
            told[title] = lambda side, name=name: words.percent(side[name])
    for title, tell in told.items():
        yield title, *map(tell, sides)


def _score_rows(scores: dict) -> list[tuple[str, str, str, str]]:
    rows = [("", "first", "second", "second less first, points")]
    for name, found in scores.items():
        cells = []
        for side in ("first", "second"):
            entry = found[side]
            text = words.percent(entry["value"]) + words.bracket(entry["interval"])
            if entry["spread"] is not None:
                text += f", sd {100 * entry['spread']:.2f}"
            cells.append(text)
        difference = found["difference"]
        cells.append(
            f"{100 * difference['value']:+.2f}" + words.bracket(difference["interval"], "{:+.1f}")
        )
        rows.append((words.SCORE_TITLES[name], *cells))
    return rows


def _intervals_text(found: dict) -> str:
    averaged = max(len(found[side]["seeds"]) for side in ("first", "second")) > 1
    seeds = " Scores are means over the seeds, sd is their spread." if averaged else ""
    if found["scores"]["acc"]["first"]["interval"] is None:
        return f"There are too few people for intervals: a corpus has one alone.{seeds}"
    outside = [
        words.SCORE_TITLES[name]
        for name, scores in found["scores"].items()
        if not scores["difference"]["interval"][0] <= 0 <= scores["difference"]["interval"][1]
    ]
    verdict = (
        f"The difference is clear of 0 in {words.listing(outside)}."
        if outside
        else "No difference is clear of 0."
    )
    drawn = words.resampling_text(found["draws"], found["clips"]["people"])
    return f"{drawn} The same people are drawn for both (seed {found['seed']}).{seeds} {verdict}"


def _mcnemar_text(found: dict) -> list[str]:
    head = ("Seeds", "both right", "only first", "only second", "both wrong", "P")
    rows = [
        (
            f"{test['first_seed']}, {test['second_seed']}",
            *(str(test[key]) for key in ("both_right", "only_first", "only_second", "both_wrong")),
            p_text(test["p_value"]),
        )
        for test in found["tests"]
    ]
    texts = ["\n".join(["McNemar's exact test, clips counted:", *columns([head, *rows])])]
    if len(rows) > 1:
        texts.append(
            f"Over the pairs of seeds: P = {p_text(found['p_value'])}, twice the mean of theirs;"
            " they share their clips and are not independent."
        )
    texts.append(
        "The test takes clips as independent of each other. Those of one person are not, so that"
        " the interval over people is the more careful of the two."
    )
    return texts


def p_text(p_value: float) -> str:
    """A P-value with three significant digits."""
    return f"{p_value:.3g}"


def _left_out(clips: dict) -> list[str]:
    texts = []
    for key, where in _LEFT_OUT.items():
        if clips[key]:
            named = ", ".join(" ".join(clip) for clip in clips[key][:_SHOWN])
            more = len(clips[key]) - _SHOWN
            named += f" and {more} more (--json names all)" if more > 0 else ""
            texts.append(f"Not compared, {where} ({len(clips[key])}): {named}.")
    return texts


def _optimism(name: str, side: dict) -> list[str]:
    """What a run under test-best has to be held against; nothing for the other rules."""
    told = selection.sentences(side)
    return [f"The {name}: {' '.join(told)}"] if told else []
