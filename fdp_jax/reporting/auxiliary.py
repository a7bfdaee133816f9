"""What the two auxiliary tasks learnt, beside what a network that learnt nothing would reach.

Both losses look small on their own: the best constant image already has a mean squared error near
1e-2, and constant scores have a rank loss of 16 at a = 1, t = 8. So each is printed beside its
trivial levels, and in words. Axes: n clips, t frames, h rows, w columns.

The constant levels are fitted on the test clips themselves, which favours them: beating them means
something, missing them narrowly does not mean much.
"""

from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

# An auxiliary loss within this share of the best constant's is told as "hardly anything".
_HARDLY = 0.02


@dataclass(frozen=True)
class DynamicImageLevels:
    """Mean squared errors over pixels and clips, on images in [0, 1]."""

    mse: float
    best_constant_image: float
    best_constant_value: float
    own_mean: float
    verdict: str  # nothing, little, brightness or learnt
    words: str


@dataclass(frozen=True)
class RankLevels:
    """Rank loss (Eq. 5: sum over frames, mean over clips) and the order of the scores."""

    loss: float
    best_constant: float
    kendall_tau: float
    n_constant: int  # clips whose scores are all equal: no order, counted as tau = 0
    slope: float
    verdict: str  # nothing, little or learnt
    words: str


def dynamic_image_levels(target: np.ndarray, mse: np.ndarray) -> DynamicImageLevels:
    """The construction's error beside three trivial ones.

    Args:
      target: float [n, h, w], ground-truth dynamic images in [0, 1].
      mse: float [n], each clip's error of the construction.
    """
    flat = np.asarray(target, dtype=np.float64).reshape(len(target), -1)
    levels = {
        "mse": float(np.mean(mse)),
        "best_constant_image": float(np.mean((flat - flat.mean(axis=0)) ** 2)),
        "best_constant_value": float(np.var(flat)),
        "own_mean": float(np.mean(np.var(flat, axis=1))),
    }
    verdict = judge_dynamic_image(levels["mse"], levels["best_constant_image"], levels["own_mean"])
    return DynamicImageLevels(**levels, verdict=verdict, words=_DYNAMIC_IMAGE_WORDS[verdict])


def judge_dynamic_image(mse: float, constant_image: float, own_mean: float) -> str:
    """One word for a construction error: nothing, little, brightness or learnt."""
    if mse >= constant_image:
        return "nothing"
    if mse > (1 - _HARDLY) * constant_image:
        return "little"
    return "brightness" if mse >= own_mean else "learnt"


_DYNAMIC_IMAGE_WORDS = {
    "nothing": "The dynamic-image module has learnt nothing that carries over to unseen people:"
    " its error is not below that of one constant image for all clips.",
    "little": "The dynamic-image module has learnt next to nothing: its error is less than 2 %"
    " below that of one constant image for all clips.",
    "brightness": "The dynamic-image module beats one constant image for all clips, but not a"
    " plain grey of each clip's own mean.",
    "learnt": "The dynamic-image module has learnt something: its error is below every trivial"
    " level.",
}


def rank_targets(n_frames: int, slope: float) -> np.ndarray:
    """K(k) = slope * k for k = 0 .. t - 1: float64 [t]."""
    return slope * np.arange(n_frames, dtype=np.float64)


def best_constant_rank_loss(n_frames: int, slope: float) -> float:
    """The rank loss of the best scores that do not change over time: their target's median."""
    targets = rank_targets(n_frames, slope)
    return float(np.abs(targets - np.median(targets)).sum())


def rank_losses(scores: np.ndarray, slope: float) -> np.ndarray:
    """Eq. 5 per clip: scores float [n, t] -> float64 [n]."""
    scores = np.asarray(scores, dtype=np.float64)
    return np.abs(rank_targets(scores.shape[1], slope) - scores).sum(axis=1)


def kendall_taus(scores: np.ndarray) -> np.ndarray:
    """Kendall's tau of each clip's scores with time: [n, t] -> float64 [n], NaN if constant."""
    time = np.arange(np.shape(scores)[1])
    return np.array(
        [np.nan if np.ptp(row) == 0 else stats.kendalltau(time, row).statistic for row in scores]
    )


def rank_levels(scores: np.ndarray, slope: float) -> RankLevels:
    """The rank scorer beside the best constant scores; `scores` float [n, t]."""
    taus = kendall_taus(scores)
    loss = float(rank_losses(scores, slope).mean())
    constant = best_constant_rank_loss(np.shape(scores)[1], slope)
    tau = float(np.nan_to_num(taus).mean())
    verdict = judge_rank(loss, constant)
    return RankLevels(
        loss=loss,
        best_constant=constant,
        kendall_tau=tau,
        n_constant=int(np.isnan(taus).sum()),
        slope=float(slope),
        verdict=verdict,
        words=rank_words(verdict, tau),
    )


def judge_rank(loss: float, constant: float) -> str:
    """One word for a rank loss: nothing, little or learnt."""
    if loss >= constant:
        return "nothing"
    return "little" if loss > (1 - _HARDLY) * constant else "learnt"


def rank_words(verdict: str, tau: float) -> str:
    """The verdict as a sentence; what the order of the scores says is added where it differs."""
    start = {
        "nothing": "The rank scorer has learnt nothing that carries over to unseen people: its loss"
        " is not below that of the best constant scores",
        "little": "The rank scorer has learnt next to nothing: its loss is less than 2 % below that"
        " of the best constant scores",
        "learnt": "The rank scorer has learnt something: its loss is below that of the best"
        " constant scores",
    }[verdict]
    return f"{start} (Kendall's tau of the scores with time: {tau:.2f}; 1 is perfect, 0 is none)."


def mean_levels(parts: list):
    """The mean of several seeds' levels (all of one type), judged afresh."""
    first = asdict(parts[0])
    numbers = [name for name, value in first.items() if not isinstance(value, str)]
    mean = {name: float(np.mean([getattr(part, name) for part in parts])) for name in numbers}
    if isinstance(parts[0], RankLevels):
        verdict = judge_rank(mean["loss"], mean["best_constant"])
        mean["n_constant"] = sum(part.n_constant for part in parts)
        return RankLevels(**mean, verdict=verdict, words=rank_words(verdict, mean["kendall_tau"]))
    verdict = judge_dynamic_image(mean["mse"], mean["best_constant_image"], mean["own_mean"])
    return DynamicImageLevels(**mean, verdict=verdict, words=_DYNAMIC_IMAGE_WORDS[verdict])
