"""How far the benchmark is, and numbers in words."""

import sys


def tell(sentence: str) -> None:
    """A line on the standard error, where it disturbs no JSON."""
    print(sentence, file=sys.stderr, flush=True)


def seconds(value: float) -> str:
    """`2.13 s`, or `14.2 ms` below a tenth of a second."""
    return f"{value:.3g} s" if value >= 0.1 else f"{value * 1e3:.3g} ms"


def gigabytes(value: float) -> str:
    """Of bytes, decimal: `5.3 GB`."""
    return f"{value / 1e9:.1f} GB"
