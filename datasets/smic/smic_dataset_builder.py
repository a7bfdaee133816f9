"""The corpus `smic`: SMIC, its HS part, 100 frames a second, colour.

Built from SMIC's clips (raw or face crops) or from SMIC-E's longer ones and their sheet; see
`datasets/README.md`. X. Li, T. Pfister, X. Huang, G. Zhao and M. Pietikainen, "A spontaneous
micro-expression database: inducement, collection and baseline", 2013; had under licence.
"""

from datasets.filmed_builder import FilmedBuilder
from datasets.smic.corpus import Smic


class Builder(FilmedBuilder):
    """Builds SMIC (HS) from `manual_dir`."""

    name = "smic"
    corpus = Smic()
