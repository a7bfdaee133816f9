"""The paper's numbers for a protocol beside those of a report."""

from fdp_jax.paper_numbers import published_scores

_COLUMNS = {"acc": ("acc", "war"), "uf1": ("f1",), "weighted_f1": ("f1",), "uar": ("uar",)}


def published_entry(info: dict, config: dict) -> dict | None:
    """Returns what `report.json` has under `published`: scores as fractions.

    None if the paper has no number for the protocol, or the network is not the whole FDP.

    Args:
      info: content of `run.json`.
      config: content of `config.json`.
    """
    found = published_scores(info["dataset"], info["protocol"])
    if found is None or config.get("ablate") or config.get("backbone") not in (None, "fdp"):
        return None
    scores = {name: round(value / 100, 6) for name, value in found.scores.items()}
    # The paper does not state its selection rule.
    return {"table": found.table, "select": None, "scores": scores, "notes": list(found.notes)}


def published_number(report: dict, name: str) -> float | None:
    """Returns the published number beside a score of ours, as a fraction.

    The paper prints one F1 without saying which, so that it is beside both of ours.
    """
    scores = (report["published"] or {}).get("scores", {})
    return next((scores[key] for key in _COLUMNS.get(name, ()) if key in scores), None)


def published_notes(report: dict) -> list[str]:
    """Returns sentences on what the published numbers are; none without such numbers."""
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
    if report["split"] != "corpora" and report["fold_acc"] is not None:
        sentences.append(
            f"Mean of the accuracies of the folds, here: {100 * report['fold_acc']:.2f} %; the"
            " scores above are pooled over the clips."
        )
        if report["group_folds"]:
            sentences.append("The paper leaves out one subject at a time, this run groups of them.")
    return sentences
