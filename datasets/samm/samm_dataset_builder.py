"""SAMM: spontaneous micro-expressions, 200 frames per second, grey; licensed by its authors.

Built from `006/006_1_2/006_05562.jpg` (raw or face crops) and `SAMM_Micro_FACS_Codes_v2.xlsx`; see
`datasets/README.md`. A. K. Davison, C. Lansley, N. Costen, K. Tan and M. H. Yap, "SAMM: a
spontaneous micro-facial movement dataset", 2018.
"""

import re
from pathlib import Path

from datasets.builder import ImageCorpusBuilder
from datasets.image_corpus import ImageCorpus


class Samm(ImageCorpus):
    """Names of SAMM."""

    name = "samm"
    title = "SAMM"
    fps = 200.0
    emotions = (
        "anger", "contempt", "disgust", "fear", "happiness", "other", "sadness", "surprise",
    )  # fmt: skip
    aliases = {"others": "other"}  # noqa: RUF012
    sheet_name = "SAMM_Micro_FACS_Codes_v2.xlsx"
    columns = {  # noqa: RUF012
        "subject": "Subject",
        "filename": "Filename",
        "onset": "Onset Frame",
        "apex": "Apex Frame",
        "offset": "Offset Frame",
        "action_units": "Action Units",
        "emotion": "Estimated Emotion",
        "objective_class": "Objective Classes",
    }
    optional_columns = {"duration": "Duration"}  # noqa: RUF012
    subject_folder = re.compile(r"(\d{3})")
    subject_id = "{:03d}"
    preferred_trees = (r"^(?!.*crop)", "crop")  # the paper aligns raw frames itself

    def sheet_rank(self, path: Path) -> int | None:
        """Ranks the sheet of micro-expressions before any other."""
        return 0 if "micro_facs" in path.name.lower() else 1

    def version_of(self, path: Path) -> str:
        """Returns the only version."""
        return "SAMM_Micro_FACS_Codes_v2"


class Builder(ImageCorpusBuilder):
    """Builds SAMM."""

    name = "samm"
    corpus = Samm()
