"""`prediction.html` in the system's Chromium, from a file."""

from types import SimpleNamespace

import numpy as np
import pytest

from fdp_jax.inference.results import draw_pictures, render_page
from tests.browser.conftest import barriers

CATEGORIES = ("happiness", "surprise", "none")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    rng = np.random.default_rng(0)
    windows = [
        {"start": k / 10, "end": k / 10 + 0.5, "first_frame": 10 * k, "last_frame": 10 * k + 50,
         "prediction": "happiness",
         "probabilities": dict(zip(CATEGORIES, rng.dirichlet([1, 1, 1]), strict=True))}
        for k in range(40)
    ]  # fmt: skip
    intervals = [
        {"onset": 1.0, "apex": 1.2, "offset": 1.5, "category": "happiness", "confidence": 0.9}
    ]
    content = {
        "video": "clip <b>.mp4", "width": 640, "height": 480, "frames_per_second": 100.0,
        "frames_read": 400, "meaning": "Not a lie detector.", "worth": "Drawn faces only.",
        "notices": ["No face in 3 frames."], "intervals": intervals, "windows": windows,
        "classes": CATEGORIES, "shown": {"window": 7}, "model": "a network", "folds": [],
    }  # fmt: skip
    outputs = {
        "frames": rng.integers(0, 256, (8, 64, 64), np.uint8), "target": rng.random((64, 64)),
        "dynamic_image": rng.random((64, 64)), "rank_scores": rng.random(8),
    }  # fmt: skip
    best = SimpleNamespace(
        window=SimpleNamespace(seconds=np.linspace(0.7, 1.2, 8)), outputs=outputs
    )
    path = tmp_path_factory.mktemp("prediction") / "prediction.html"
    path.write_text(render_page(content, draw_pictures(content, best)), "utf-8")
    return path.as_uri()


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1280, "light")])
def test_there_is_no_barrier_and_nothing_to_scroll_sideways(address, open_page, width, scheme):
    page = open_page(address, width=width, scheme=scheme)
    assert barriers(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("img").count() == 4
    assert all(page.locator("img").evaluate_all("all => all.map(e => e.alt)"))
