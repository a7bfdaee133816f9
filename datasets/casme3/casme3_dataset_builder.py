"""The corpus `casme3`: CAS(ME)^3 Part A, micro-expressions, 30 frames a second, colour.

Built from the release of clips or of long videos and a sheet of label version 1 or 2; see
`datasets/README.md`. J. Li, Z. Dong, S. Lu, S.-J. Wang, W.-J. Yan, Y. Ma, Y. Liu, C. Huang and
X. Fu, "CAS(ME)3: a third generation facial spontaneous micro-expression database with depth
information and high ecological validity", 2023; had under licence.
"""

from datasets.casme3.corpus import Casme3
from datasets.filmed_builder import FilmedBuilder


class Builder(FilmedBuilder):
    """Builds CAS(ME)^3 Part A from `manual_dir`."""

    name = "casme3"
    corpus = Casme3()
