"""The TFDS builder of every corpus of picture files."""

from datasets.common import CorpusBuilder, Plan
from datasets.errors import UserError
from datasets.filmed import FilmedCorpus
from datasets.options import corpus_command
from datasets.sources import describe_source
from datasets.survey import Survey, survey

_LISTED = 10  # sentences of one kind before the rest is summed up


class FilmedBuilder(CorpusBuilder, skip_registration=True):
    """Builds a corpus from the folder it was unpacked into; subclasses name the corpus.

    Attributes:
      corpus: how it names things.
    """

    corpus: FilmedCorpus
    _found: Survey

    def plan(self) -> Plan:
        """Every row of the sheet with its frames.

        Raises:
          UserError: a row or clip cannot be built.
        """
        doctor = corpus_command(
            "datasets.doctor", self.name, self.corpus_dir, self.build_options
        )  # fmt: skip
        found = self._found = survey(self.corpus, self.corpus_dir, self.build_options)
        if found.problems:
            more = len(found.problems) - 1
            others = f" ({more} more like it are listed by: {doctor})" if more else ""
            raise UserError(f"{found.problems[0].rstrip('.')}{others}.")
        if not found.clips:
            raise UserError(f"no clip of {self.name} has its frames; look at: {doctor}")
        warnings = _summed_up(found.notes, f"notes like these are listed by: {doctor}")
        if found.missing:
            rows = len(found.annotations.rows)
            warnings.append(
                f"{len(found.missing)} of {rows} clips were skipped, since all or many of their "
                "frames are missing:"
            )
            warnings += _summed_up(found.missing, f"of them are listed by: {doctor}")
        warnings += _summed_up(found.losses, f"clips that lack frames are listed by: {doctor}")
        return Plan(
            tasks=found.clips,
            label_version=found.annotations.label_version,
            corrections=found.annotations.corrections,
            warnings=tuple(warnings),
            earlier_label_version=found.annotations.earlier_label_version,
        )

    def _source(self) -> dict[str, str]:
        found = self._found
        return describe_source(found.annotations.sheet, self.corpus_dir, found.digest)


def _summed_up(sentences: tuple[str, ...], what: str) -> list[str]:
    more = len(sentences) - _LISTED
    return [*sentences[:_LISTED], *([f"{more} more {what}"] if more > 0 else [])]
