"""Ablations: what is removed is absent, what remains learns, and every file says so."""

import csv
import dataclasses
import json
import re
from functools import cache

import jax
import numpy as np
import pytest

from datasets.errors import UserError
from fdp_jax.config import ModelConfig, preset, validate
from fdp_jax.evaluate import pack_clips
from fdp_jax.input_pipeline import training_batch
from fdp_jax.metrics.predictions import PredictionTable, pool
from fdp_jax.models.fdp import make_model
from fdp_jax.options import parse_train_options
from fdp_jax.report import summary_text, write_report
from fdp_jax.rng import fold_key
from fdp_jax.train import format_losses
from fdp_jax.train_step import create_train_state, eval_step, update
from fdp_jax.training_log import read_log
from fdp_jax.workdir import fold_directory
from tests.helpers.tiny import TINY, make_tiny_plan, random_clips, train_plan

ABLATIONS = ("no_dic", "no_rank", "no_local", "no_global", "no_local_global", "no_mer")
# What goes with a module: part of the tree, output, array of outputs.npz, loss.
MODULES = {
    "no_dic": ("DynamicImageHead", "dynamic_image", "dynamic_image"),
    "no_rank": ("RankScorer", "rank_scores", "rank"),
    "no_mer": ("RecognitionHead", "logits", "cross_entropy"),
}
TWO_STAGES = ModelConfig(
    stem_channels=8, local_channels=(8, 16), attention_channels=(16, 24),
    output_channels=(24, 40), key_value_windows=(2, 1), local_blocks=2, construction_channels=(4,),
    pooled_channels=2, recognition_units=8,
)  # fmt: skip


def tiny(**changes):
    return dataclasses.replace(TINY, steps=2, **changes)


def ablated(name):
    return tiny(ablate=name, model=TWO_STAGES)


@cache
def shapes(config, part="params") -> dict[str, tuple[int, ...]]:
    """Path of each leaf, joined by slashes -> its shape."""
    state = jax.eval_shape(lambda key: create_train_state(config, 3, key), fold_key(0, "p0"))
    leaves = jax.tree_util.tree_leaves_with_path(getattr(state, part))
    return {"/".join(key.key for key in path): leaf.shape for path, leaf in leaves}


def train_and_report(workdir, config, seeds=(0,), clips=None):
    """A whole run as the train command does it."""
    clips = clips or random_clips(people=2)
    return write_report(train_plan(make_tiny_plan(workdir, clips, config, seeds=seeds)))


@pytest.fixture(scope="module", params=ABLATIONS)
def made(request, tmp_path_factory):
    workdir = tmp_path_factory.mktemp(request.param)
    return request.param, workdir, train_and_report(workdir, tiny(ablate=request.param))


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("part", ["params", "batch_stats"])
def test_a_removed_module_is_absent_and_nothing_else(name, part):
    head, _, _ = MODULES[name]
    full = shapes(ablated(""), part)
    left = {path: shape for path, shape in full.items() if not path.startswith(head)}
    assert shapes(ablated(name), part) == left
    assert part == "batch_stats" or len(left) < len(full)


def embeddings_moved_out(full, channels):
    """The leaves of a stage's patch embedding, which the first local aggregator holds otherwise."""
    moved = {}
    for path, shape in full.items():
        for stage, width in enumerate(channels, start=1):
            inside = f"/Stage{stage}Local1/PatchEmbedding/"
            if inside in path:
                path = path.replace(inside, f"/Stage{stage}PatchEmbedding/")
                moved[path] = (*shape[:-1], width)
    return moved


def test_without_local_aggregators_the_patch_embeddings_stay():
    full = shapes(ablated(""))
    rest = {path: shape for path, shape in full.items() if "Local1" not in path}
    rest = {path: shape for path, shape in rest.items() if "Local2" not in path}
    moved = embeddings_moved_out(full, TWO_STAGES.local_channels)
    assert len(moved) == 2 * 3  # two stages of a kernel, a scale and a bias
    assert shapes(ablated("no_local")) == rest | moved


def test_without_global_aggregators_the_patch_embedding_leads_to_the_stages_output():
    full, without = shapes(ablated("")), shapes(ablated("no_global"))
    assert set(without) == {path for path in full if "Global1" not in path}
    prefix = "LocalGlobalTransformer/Stage{}Local1/PatchEmbedding/Pointwise/kernel"
    assert without[prefix.format(1)] == (8, 24) and without[prefix.format(2)] == (24, 40)
    assert without["LocalGlobalTransformer/Stage2Local2/Pointwise/kernel"] == (40, 40)
    assert without["FrameFeature/kernel"] == full["FrameFeature/kernel"] == (40, 256)


def test_without_both_a_stage_is_its_patch_embedding():
    full, without = shapes(ablated("")), shapes(ablated("no_local_global"))
    stages = {path.split("/")[1] for path in without if path.startswith("LocalGlobal")}
    assert stages == {
        "Stem", "StemNorm", "Norm", "Stage1PatchEmbedding", "Stage2PatchEmbedding",
    }  # fmt: skip
    kernel = "LocalGlobalTransformer/Stage{}PatchEmbedding/Pointwise/kernel"
    assert without[kernel.format(1)] == (8, 24) and without[kernel.format(2)] == (24, 40)
    assert {p: s for p, s in full.items() if not p.startswith("LocalGlobal")} == {
        p: s for p, s in without.items() if not p.startswith("LocalGlobal")
    }


@pytest.mark.parametrize(
    "name",
    ["", "no_mer", *(pytest.param(n, marks=pytest.mark.slow) for n in ABLATIONS if n != "no_mer")],
)
def test_gradients_reach_everything_that_remains(name):
    model = dataclasses.replace(TINY.model, stochastic_depth=0.0)  # which skips whole branches
    no_decay = dataclasses.replace(TINY.optimizer, weight_decay=0.0)  # which moves every weight
    config = tiny(ablate=name, model=model, optimizer=no_decay)
    state = create_train_state(config, 2, fold_key(0, "p0"))
    rng = np.random.default_rng(1)  # some weights start at zero and stop gradients there
    params = jax.tree.map(
        lambda leaf: rng.uniform(-0.3, 0.3, leaf.shape).astype(np.float32), state.params
    )
    corpus, indices = pack_clips(random_clips()), np.arange(4)
    batch = training_batch(corpus, indices, jax.random.key(0), config.clip)
    network = make_model(config, 2)
    state = state.replace(params=params)
    new, metrics = jax.jit(lambda state: update(state, batch, {}, config, network))(state)
    # Adam's first step has the size of the learning rate wherever there is a gradient.
    grads = jax.tree.map(lambda a, b: a - b, new.params, params)
    still = [
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(grads)
        if not np.any(leaf)
    ]
    assert still == []
    weights = config.loss
    terms = {
        "cross_entropy": weights.recognition_weight,
        "dynamic_image": weights.dynamic_image_weight,
        "rank": weights.rank_weight,
    }
    present = {term for term in terms if term in metrics}
    assert set(terms) - present == ({MODULES[name][2]} if name in MODULES else set())
    expected = sum(float(metrics[term]) * terms[term] for term in present)
    assert float(metrics["total"]) == pytest.approx(expected, rel=1e-5)
    assert ("accuracy" not in metrics) == (name == "no_mer")


@pytest.mark.parametrize("name", ABLATIONS)
def test_outputs_are_none_where_ablated(name):
    config = tiny(ablate=name)
    state = jax.eval_shape(lambda key: create_train_state(config, 2, key), fold_key(0, "p0"))
    corpus, indices = pack_clips(random_clips()), np.arange(4)
    _, outputs = jax.eval_shape(
        lambda variables: eval_step(variables, corpus, indices, config=config, classes=2),
        state.variables,
    )
    missing = [field for field, value in vars(outputs).items() if value is None]
    assert missing == ([MODULES[name][1]] if name in MODULES else [])


def test_the_files_of_a_fold_lack_what_was_removed(made):
    name, workdir, _ = made
    directory = fold_directory(workdir, 0, "p0")
    _, output, loss = MODULES.get(name, (None, None, None))
    with np.load(directory.outputs) as stored:
        whole = {"frames", "target", "dynamic_image", "rank_scores"}
        assert set(stored.files) == whole - {output}
    losses = {"cross_entropy", "dynamic_image", "rank", "total"}
    for row in read_log(directory.log):
        assert losses & set(row) == losses - {loss}
        assert ("accuracy" in row) == (name != "no_mer")
    final = json.loads(directory.done.read_text())["final_losses"]
    assert [key for key, value in final.items() if value is None] == ([loss] if loss else [])
    with (workdir / "predictions.csv").open() as file:
        for row in csv.DictReader(file):
            assert (row["dic_mse"] == "") == (name == "no_dic")
            for column in ("prediction", "p_class0", "p_class1"):
                assert (row[column] == "") == (name == "no_mer")


def test_the_report_of_an_ablation_is_whole(made):
    name, workdir, report = made
    assert json.loads((workdir / "report.json").read_text()) == report
    assert report["complete"] and report["config"]["ablate"] == name
    scores = ("acc", "uf1", "weighted_f1", "uar", "war", "per_class_recall", "confusion_matrix",
              "chance", "largest_class_acc")  # fmt: skip
    assert all((report[score] is None) == (name == "no_mer") for score in scores)
    assert (report["dic_mse"] is None) == (name == "no_dic")
    assert (report["auxiliary"]["dynamic_image"] is None) == (name == "no_dic")
    assert (report["auxiliary"]["rank"] is None) == (name == "no_rank")
    _, _, loss = MODULES.get(name, (None, None, None))
    assert {k for k, v in report["training_losses"].items() if v is None} == {loss} - {None}
    head = MODULES.get(name, ("LocalGlobalTransformer",))[0]
    assert (head in report["parameters"]) == (name not in MODULES)
    left_out = {
        "no_mer": {"confusion_matrix.png", "subject_accuracy.png"},
        "no_dic": {"dynamic_images.png"},
        "no_rank": {"rank_scores.png"},
    }
    figures = {"confusion_matrix.png", "subject_accuracy.png", "training_curves.png",
               "dynamic_images.png", "rank_scores.png"}  # fmt: skip
    drawn = {path.name for path in (workdir / "figures").iterdir()}
    assert drawn == figures - left_out.get(name, set())
    for text in (
        summary_text(report, workdir),
        (workdir / "report.md").read_text(),
        (workdir / "report.html").read_text(),
    ):
        assert f"ablated: {name}" in text
        assert ("switched off" in text) == (name in MODULES)
        words = re.sub(r'"data:[^"]*"', "", text)
        assert not re.search(r"\b(None|nan)\b", words)


def test_without_recognition_the_dynamic_images_levels_are_the_headline(tmp_path):
    clips = random_clips(people=2, corpora=("left", "right"), split="corpora")
    report = train_and_report(tmp_path, tiny(ablate="no_mer"), seeds=(0, 1), clips=clips)
    table = PredictionTable.read(tmp_path / "predictions.csv")
    assert len(table) == 24 and not table.has_predictions
    by_seed = [table.dic_mse[table.seed == seed].mean() for seed in (0, 1)]
    assert report["dic_mse"] == pytest.approx(np.mean(by_seed))
    assert report["spread"]["dic_mse"] == pytest.approx(np.std(by_seed, ddof=1))
    assert report["spread"]["acc"] is None
    of_left = table.dic_mse[np.array(table.dataset) == "left"].mean()
    assert report["per_dataset"][0]["dic_mse"] == pytest.approx(of_left)
    levels = report["auxiliary"]["dynamic_image"]
    headline = summary_text(report, tmp_path).split("\n\n")[2]
    values = [line.split()[-2] for line in headline.splitlines()[3:]]
    assert f"{report['dic_mse']:.4g} (sd " in headline
    assert values == [
        f"{levels[level]:.4g}"
        for level in ("best_constant_image", "best_constant_value", "own_mean")
    ]
    for text in (summary_text(report, tmp_path), (tmp_path / "report.md").read_text()):
        assert "UF1" not in text and "Chance level" not in text


def no_predictions(**changes):
    arguments = {
        "protocol": "3class", "select": "last", "seed": 0, "fold": "006", "classes": ("a", "b"),
        "datasets": ["samm"] * 2, "subjects": ["006"] * 2, "clips": ["x", "y"],
        "labels": ["a", "b"], "probabilities": None, "dic_mse": [0.25, 0.5],
    }  # fmt: skip
    return PredictionTable.of_fold(**arguments | changes)


def test_a_table_without_predictions_reads_back(tmp_path):
    path = tmp_path / "predictions.csv"
    no_predictions().write(path)
    assert path.read_text().splitlines()[1:] == [
        "samm,3class,last,0,006,006,x,a,,,,0.25", "samm,3class,last,0,006,006,y,b,,,,0.5",
    ]  # fmt: skip
    table = PredictionTable.read(path)
    assert not table.has_predictions and not table.correct.any()
    assert table.prediction == ("", "") and np.isnan(table.probabilities).all()
    table.write(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("x,a,a,0.75,0.25,0.25", "some rows have a prediction and some have none"),
        ("x,a,a,,,0.25", "not a number"),
        ("x,a,,0.75,0.25,0.25", "has the prediction ''"),
        ("x,a,a,0.75,,0.25", "not a number"),
    ],
)
def test_either_all_predictions_are_empty_or_none(tmp_path, row, words):
    path = tmp_path / "predictions.csv"
    no_predictions().write(path)
    path.write_text(path.read_text().replace("x,a,,,,0.25", row))
    with pytest.raises(UserError, match=words):
        PredictionTable.read(path)


def test_folds_with_and_without_predictions_are_not_pooled():
    other = no_predictions(fold="007", clips=["z", "w"], probabilities=[[1, 0], [0, 1]])
    assert other.has_predictions
    with pytest.raises(UserError, match=r"some have none.*--ablate"):
        pool([no_predictions(), other])


def test_the_option_is_read_and_checked():
    options, _ = parse_train_options(["--dataset=samm", "--ablate=no_local_global"], "train", "")
    assert options.config.ablate == "no_local_global"
    assert make_model(options.config, 5).ablate == "no_local_global"
    for backbone in ("vit_base", "resnet18"):
        for name in ("no_local", "no_global", "no_local_global"):
            with pytest.raises(UserError, match=f"--ablate={name} .*--backbone={backbone}"):
                validate(dataclasses.replace(preset("paper"), backbone=backbone, ablate=name))
        for name in MODULES:
            validate(dataclasses.replace(preset("paper"), backbone=backbone, ablate=name))
    for backbone in ("conv", "conv_bn_relu_pointwise"):
        validate(dataclasses.replace(preset("small"), backbone=backbone, ablate="no_local_global"))
    with pytest.raises(UserError, match=r"no_mer predicts no category.*--select=last"):
        validate(dataclasses.replace(preset("paper"), ablate="no_mer", select="val"))


def test_progress_shows_the_losses_that_are_present():
    text = format_losses({"total": 4.0, "dynamic_image": 0.02, "rank": 16.0})
    assert text == "dynamic image 0.0200, rank 16.00"
