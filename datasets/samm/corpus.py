"""SAMM: `SAMM_Micro_FACS_Codes_v2.xlsx` beside `006/006_1_2/006_05562.jpg`."""

import re
from pathlib import Path

from datasets.filmed import FilmedCorpus


class Samm(FilmedCorpus):
    """How SAMM names things."""

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
    people = re.compile(r"(\d{3})")
    person = "{:03d}"
    preference = (r"^(?!.*crop)", "crop")  # the paper aligns raw frames by itself

    def sheet_rank(self, path: Path) -> int | None:
        """The micro-expressions' sheet before any other."""
        return 0 if "micro_facs" in path.name.lower() else 1

    def version_of(self, sheet: Path) -> str:
        """There is one version."""
        return "SAMM_Micro_FACS_Codes_v2"
