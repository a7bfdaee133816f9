"""Errors of the two auxiliary tasks, and the baselines that a network has to beat.

Both losses look small on their own: the best constant image has a mean squared error near 1e-2, and
constant scores have a rank loss of 16 at slope 1 with 8 frames. The baselines are fitted on the
test clips, which favours them: beating one is meaningful, narrowly missing it is not.

Axes: n clips, t frames, h rows, w columns.
"""

import math

import numpy as np
from scipy import stats

_MARGIN = 0.02  # an improvement on the best constant below this share counts as "little"


def dynamic_image_levels(
    target: np.ndarray, constructed: np.ndarray, mse: np.ndarray
) -> dict[str, float]:
    """Returns the mean squared error of the constructions and of three trivial ones.

    `structure_correlation` is the mean over clips of the correlation between the pixels of
    construction and target, which ignores the brightness and contrast of both; 0 for a flat one.

    Args:
      target: float [n, h, w], ground-truth dynamic images in [0, 1].
      constructed: float [n, h, w].
      mse: float [n], error of each clip's construction.
    """
    flat = np.asarray(target, dtype=np.float64).reshape(len(target), -1)
    return {
        "mse": float(np.mean(mse)),
        "best_constant_image": float(np.mean((flat - flat.mean(axis=0)) ** 2)),
        "best_constant_value": float(np.var(flat)),
        "own_mean": float(np.mean(np.var(flat, axis=1))),
        "structure_correlation": float(_correlations(flat, constructed).mean()),
    }


def _correlations(flat: np.ndarray, constructed: np.ndarray) -> np.ndarray:
    """Returns the correlation of each clip's pixels, float64 [n]; 0 where one side is constant."""
    other = np.asarray(constructed, dtype=np.float64).reshape(flat.shape)
    centred = [side - side.mean(axis=1, keepdims=True) for side in (flat, other)]
    lengths = np.prod([np.linalg.norm(side, axis=1) for side in centred], axis=0)
    products = (centred[0] * centred[1]).sum(axis=1)
    return np.divide(products, lengths, out=np.zeros(len(flat)), where=lengths > 1e-9)


def rank_levels(scores: np.ndarray, slope: float) -> dict[str, float]:
    """Returns the rank loss (Eq. 5), its best constant, and the order of the scores.

    Args:
      scores: float [n, t].
      slope: of the target K(k) = slope * k.

    Returns:
      loss, best_constant, kendall_tau (0 for constant scores), n_constant (clips with constant
      scores) and slope.
    """
    taus = kendall_taus(scores)
    return {
        "loss": float(rank_losses(scores, slope).mean()),
        "best_constant": best_constant_rank_loss(np.shape(scores)[1], slope),
        "kendall_tau": float(np.nan_to_num(taus).mean()),
        "n_constant": int(np.isnan(taus).sum()),
        "slope": float(slope),
    }


def verdict(loss: float, best_constant: float, own_mean: float = math.inf) -> str:
    """Returns what a loss shows on unseen subjects: nothing, little, brightness or learnt.

    Args:
      loss: of either task.
      best_constant: loss of its best constant.
      own_mean: loss of the mean of each clip, for dynamic images.
    """
    if loss >= best_constant:
        return "nothing"
    if loss > (1 - _MARGIN) * best_constant:
        return "little"
    return "brightness" if loss >= own_mean else "learnt"


def rank_targets(n_frames: int, slope: float) -> np.ndarray:
    """Returns K(k) = slope * k for k = 0 .. t - 1, float64 [t]."""
    return slope * np.arange(n_frames, dtype=np.float64)


def best_constant_rank_loss(n_frames: int, slope: float) -> float:
    """Returns the rank loss of the best constant scores, the median of the targets."""
    targets = rank_targets(n_frames, slope)
    return float(np.abs(targets - np.median(targets)).sum())


def rank_losses(scores: np.ndarray, slope: float) -> np.ndarray:
    """Returns Eq. 5 of each clip, float64 [n], summed over the frames of scores float [n, t]."""
    scores = np.asarray(scores, dtype=np.float64)
    return np.abs(rank_targets(scores.shape[1], slope) - scores).sum(axis=1)


def kendall_taus(scores: np.ndarray) -> np.ndarray:
    """Returns Kendall's tau of scores [n, t] with time, float64 [n]; NaN for constant scores."""
    time = np.arange(np.shape(scores)[1])
    return np.array(
        [np.nan if np.ptp(row) == 0 else stats.kendalltau(time, row).statistic for row in scores]
    )
