"""The corpus `casme_sq`: the micro-expressions of CAS(ME)^2, 30 frames a second, colour.

Built from its selected pictures, face crops or long videos, and its coding; see
`datasets/README.md`. F. Qu, S.-J. Wang, W.-J. Yan, H. Li, S. Wu and X. Fu, "CAS(ME)2: a database
for spontaneous macro-expression and micro-expression spotting and recognition", 2018; had under
licence.
"""

from datasets.casme_sq.corpus import CasmeSq
from datasets.filmed_builder import FilmedBuilder


class Builder(FilmedBuilder):
    """Builds CAS(ME)^2 from `manual_dir`."""

    name = "casme_sq"
    corpus = CasmeSq()
