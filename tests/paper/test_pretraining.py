"""The table of what pretraining is worth, on clips in memory."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from datasets.protocols import Protocol
from fdp_jax.evaluate import pack_clips
from fdp_jax.inference.trained_network import load_weights
from fdp_jax.options import TrainOptions
from fdp_jax.paper import pretraining, registry
from fdp_jax.weights import BUNDLED_NAME
from tests.helpers.tiny import random_clips

CLASSES = ("happiness", "others", "surprise")


@pytest.fixture
def clips(monkeypatch):
    clips = random_clips(people=3, each=3, classes=3)
    clips = dataclasses.replace(clips, protocol=Protocol("3class", CLASSES, clips.protocol.parts))
    monkeypatch.setattr(pretraining, "load_clips", lambda *_: clips)
    return clips


def table_of(protocol):
    experiment = registry.experiment("pretraining")
    options = TrainOptions(preset="small", data_dir=Path("unused"))
    return pretraining.pretraining_table(experiment, (), options, protocol, BUNDLED_NAME)


def test_the_network_chooses_among_the_categories_that_it_shares_with_the_corpus(clips):
    table = table_of(clips.protocol)
    network = load_weights(BUNDLED_NAME)
    known = np.flatnonzero(clips.labels != CLASSES.index("others"))
    shares = network.predict_packed(pack_clips(clips), known)["probabilities"]
    surprise, happiness = (shares[:, network.classes.index(c)] for c in ("surprise", "happiness"))
    right = (surprise > happiness) == (clips.labels[known] == CLASSES.index("surprise"))
    (row,) = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert row["start"] == "pretrained, without training" and row["steps"] == 0
    assert row["Acc"] == pytest.approx(100 * right.mean(), abs=0.01)
    low, high = map(float, row["Acc, 95 %"].strip("[]").split(","))
    assert low <= row["Acc"] <= high
    assert "6 clips of happiness and surprise, among which it chooses" in table.notes[0]


def test_nothing_is_scored_where_the_categories_have_too_little_in_common(clips):
    protocol = Protocol("3class", ("happiness", "others", "positive"), clips.protocol.parts)
    assert table_of(protocol).rows == ()
