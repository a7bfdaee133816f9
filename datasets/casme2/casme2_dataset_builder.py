"""The corpus `casme2`: CASME II, spontaneous micro-expressions, 200 frames a second, colour.

Built from an official folder (raw, long, or face crops) and its sheet; see `datasets/README.md`.
W.-J. Yan, X. Li, S.-J. Wang, G. Zhao, Y.-J. Liu, Y.-H. Chen and X. Fu, "CASME II: an improved
spontaneous micro-expression database and the baseline evaluation", 2014; had under licence.
"""

from datasets.casme2.corpus import Casme2
from datasets.filmed_builder import FilmedBuilder


class Builder(FilmedBuilder):
    """Builds CASME II from `manual_dir`."""

    name = "casme2"
    corpus = Casme2()
