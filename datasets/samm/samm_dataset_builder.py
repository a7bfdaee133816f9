"""The corpus `samm`: spontaneous micro-expressions, 200 frames a second, grey.

Built from SAMM's official folder (`006/006_1_2/006_05562.jpg`, raw or face crops) and its sheet;
see `datasets/README.md`. A. K. Davison, C. Lansley, N. Costen, K. Tan and M. H. Yap, "SAMM: a
spontaneous micro-facial movement dataset", 2018; had under licence from its authors.
"""

from datasets.filmed_builder import FilmedBuilder
from datasets.samm.corpus import Samm


class Builder(FilmedBuilder):
    """Builds SAMM from `manual_dir`."""

    name = "samm"
    corpus = Samm()
