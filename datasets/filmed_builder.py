"""The TFDS builder of every corpus of picture files."""

from datasets.common import CorpusBuilder, Plan
from datasets.errors import UserError
from datasets.filmed import FilmedCorpus
from datasets.survey import survey

_LISTED = 10  # sentences of one kind before they are summed up


class FilmedBuilder(CorpusBuilder, skip_registration=True):
    """Builds a corpus from the folder it was unpacked into; subclasses name the corpus.

    Attributes:
      corpus: how it names things.
    """

    corpus: FilmedCorpus

    def plan(self) -> Plan:
        """Every row of the sheet with its frames.

        Raises:
          UserError: a row or clip cannot be built.
        """
        options, doctor = self.build_options, self._doctor()
        skip = options.on_missing == "skip"
        found = survey(self.corpus, self.corpus_dir, options.label_version, options.frames_in, skip)
        if found.problems:
            more = len(found.problems) - 1
            others = f" ({more} more like it are listed by: {doctor})" if more else ""
            raise UserError(f"{found.problems[0].rstrip('.')}{others}.")
        if not found.clips:
            raise UserError(f"no clip of {self.name} has its frames; look at: {doctor}")
        warnings = list(found.notes)
        if found.missing:
            warnings.append(
                f"{len(found.missing)} of {len(found.annotations.rows)} clips were skipped, since "
                f"most of their frames are missing: {' '.join(found.missing)}"
            )
        warnings += _summed_up(found.losses, f"clips lack some of their frames; see {doctor}.")
        return Plan(
            tasks=found.clips,
            label_version=found.annotations.label_version,
            corrections=found.annotations.corrections,
            warnings=tuple(warnings),
            earlier_label_version=found.annotations.earlier_label_version,
        )

    def _doctor(self) -> str:
        return f"python -m datasets.doctor {self.name} --manual_dir={self.corpus_dir}"


def _summed_up(sentences: tuple[str, ...], what: str) -> list[str]:
    return list(sentences) if len(sentences) <= _LISTED else [f"{len(sentences)} {what}"]
