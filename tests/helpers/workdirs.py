"""Small work directories of random numbers, and their selection rules."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from fdp_jax.metrics.predictions import PredictionTable, pool

CLASSES = ("happiness", "surprise", "anger", "contempt", "others")
SLOPE = 1.0


def make_workdir(
    root: Path,
    *,
    seeds: tuple[int, ...] = (0,),
    subjects: tuple[str, ...] = ("006", "007", "011"),
    classes: tuple[str, ...] = CLASSES,
    clips_each: int = 4,
    right: float = 0.7,
    ablated: bool = False,
    built: float = 0.5,
    ranked: float = 0.5,
) -> Path:
    """A work directory of finished folds, one subject each.

    `built` and `ranked` in [0, 1] interpolate constructions and rank scores between the mean image
    or constant scores (0) and the truth (1).
    """
    root.mkdir(parents=True, exist_ok=True)
    config = {"dataset": "synthetic", "protocol": "5class", "preset": "small", "select": "last"}
    (root / "config.json").write_text(json.dumps(config | {"steps": 40}))
    for seed in seeds:
        rng = np.random.default_rng(seed)
        folder = root / f"seed_{seed}"
        folder.mkdir()
        folds = [
            {"name": s, "datasets": ["synthetic"], "subjects": [s], "n_clips": clips_each}
            for s in subjects
        ]
        run = {
            "dataset": "synthetic", "protocol": "5class", "split": "people", "select": "last",
            "evaluations": {"last": 1}, "seed": seed, "folds": folds,
            "classes": list(classes), "group_folds": None,
            "parameters": {"total": 1234567, "LocalGlobalTransformer": 1000000}, "steps": 40,
            "label_version": "1", "corrections": [], "warnings": [], "device": "cpu (cpu)",
            "versions": {"jax": "0.10.2"}, "rank_slope": SLOPE,
            "command": "python -m fdp_jax.train --dataset=synthetic",
        }  # fmt: skip
        (folder / "run.json").write_text(json.dumps(run))
        for subject in subjects:
            _write_fold(folder, seed, subject, classes, clips_each, right, ablated, built, ranked,
                        rng)  # fmt: skip
    return root


def _write_fold(folder, seed, subject, classes, n, right, ablated, built, ranked, rng):
    fold = folder / "folds" / subject
    labels = [classes[int(rng.integers(len(classes)))] for _ in range(n)]
    probabilities = rng.dirichlet(np.ones(len(classes)), n).astype(np.float32)
    for row, label in enumerate(labels):
        if rng.random() < right:
            probabilities[row, classes.index(label)] += 1
    probabilities /= probabilities.sum(axis=1, keepdims=True)

    y, x = np.mgrid[0:64, 0:64] / 63
    face = np.exp(-((x - 0.5) ** 2 + (y - 0.5) ** 2) * 6)
    motion = np.array([np.exp(-((x - a) ** 2 + (y - b) ** 2) * 60) for a, b in rng.random((n, 2))])
    target = (0.5 + 0.4 * motion + 0.02 * rng.standard_normal((n, 64, 64))).clip(0, 1)
    made = 0.52 + built * (target - 0.52)
    arrays = {
        "frames": np.uint8(
            (200 * face + 40 * motion[:, None] * np.linspace(0, 1, 8)[:, None, None]).clip(0, 255)
        ),
        "target": target.astype(np.float32),
    }
    scores = 3.5 + ranked * (np.arange(8) - 3.5) + ranked * rng.standard_normal((n, 8))
    if not ablated:
        arrays["dynamic_image"] = made.astype(np.float32)
        arrays["rank_scores"] = scores.astype(np.float32)
    mse = None if ablated else ((made - target) ** 2).mean(axis=(1, 2))
    PredictionTable.of_fold(
        protocol="5class", select="last", seed=seed, fold=subject, classes=classes,
        datasets=["synthetic"] * n, subjects=[subject] * n,
        clips=[f"{subject}_{i}" for i in range(n)], labels=labels, probabilities=probabilities,
        dic_mse=mse,
    ).write(fold / "predictions.csv")  # fmt: skip
    np.savez_compressed(fold / "outputs.npz", **arrays)
    lines = []
    for step in range(10, 41, 10):
        fall = np.exp(-step / 25) + 0.03 * rng.standard_normal()
        losses = {"cross_entropy": 1.6 * fall, "dynamic_image": 0.02 * fall, "rank": 16 * fall}
        lines.append({"step": step, "total": 2.0, **losses, "accuracy": 0.5,
                      "learning_rate": 1e-4, "seconds": step / 10})  # fmt: skip
    (fold / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    final = {key: lines[-1][key] for key in ("total", "cross_entropy", "dynamic_image", "rank")}
    done = {"fold": subject, "n_clips": n, "steps": 40, "seconds": 12.5,
            "peak_memory_bytes": 900_000_000, "final_losses": final}  # fmt: skip
    (fold / "done.json").write_text(json.dumps(done))


def change_json(path: Path, **changes) -> None:
    """Sets entries of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def add_rules(workdir, evaluations) -> None:
    """Gives a work directory of `last` several selection rules with their own predictions."""
    change_json(workdir / "seed_0" / "run.json", evaluations=evaluations)
    for fold in (workdir / "seed_0" / "folds").iterdir():
        table = PredictionTable.read(fold / "predictions.csv")
        blocks = []
        for turn, rule in enumerate(evaluations):
            probabilities = np.roll(table.probabilities, turn, axis=1)
            blocks.append(
                dataclasses.replace(
                    table,
                    select=(rule,) * len(table),
                    probabilities=probabilities,
                    prediction=tuple(CLASSES[k] for k in probabilities.argmax(axis=1)),
                )
            )
        pool(blocks).write(fold / "predictions.csv")
        with np.load(fold / "outputs.npz") as stored:
            arrays = {name: np.concatenate([stored[name]] * len(evaluations)) for name in stored}
        np.savez_compressed(fold / "outputs.npz", **arrays)
