"""SAMM: spontaneous micro-expressions, 200 frames per second, grey; licensed by its authors.

Built from `006/006_1_2/006_05562.jpg` (raw or face crops) and `SAMM_Micro_FACS_Codes_v2.xlsx`; see
`datasets/README.md`. A. K. Davison, C. Lansley, N. Costen, K. Tan and M. H. Yap, "SAMM: a
spontaneous micro-facial movement dataset", 2018.
"""

import re

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
    sheet_patterns = ("micro_facs", "")
    label_version = "SAMM_Micro_FACS_Codes_v2"
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


class Builder(ImageCorpusBuilder):
    """Builds SAMM."""

    name = "samm"
    corpus = Samm()
