"""How the finished network does on the people it was trained on, beside those left out."""

import numpy as np

from fdp_jax.reporting.auxiliary import dynamic_image_levels, rank_levels


def levels(arrays: dict[str, np.ndarray], labels: np.ndarray, rank_slope: float) -> dict:
    """Scores of the training clips, for `done.json`; None where a module is ablated.

    Args:
      arrays: of `predict_clips`, rows as `labels`.
      labels: int32 [clip].
      rank_slope: a of the rank target.
    """
    found = dict.fromkeys(("acc", "dic_mse", "best_constant_image", "rank_loss", "kendall_tau"))
    if "probabilities" in arrays:
        found["acc"] = float((arrays["probabilities"].argmax(axis=1) == labels).mean())
    if "dic_mse" in arrays:
        images = dynamic_image_levels(arrays["target"], arrays["dic_mse"])
        found |= {"dic_mse": images.mse, "best_constant_image": images.best_constant_image}
    if "rank_scores" in arrays:
        ranks = rank_levels(arrays["rank_scores"], rank_slope)
        found |= {"rank_loss": ranks.loss, "kendall_tau": ranks.kendall_tau}
    return found
