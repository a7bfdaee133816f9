"""TFDS builders: from a plan of clips to aligned examples in array_record files.

An example holds every frame of one micro-expression clip from onset to offset, aligned, and its
annotation. Examples are stored in the order of (subject, clip), and written one after the other,
which needs neither TensorFlow nor memory for the corpus. The dataset's metadata describe the build.
"""

import collections
import contextlib
import dataclasses
import importlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from datasets.clip_tasks import Annotation, BuiltClip, ClipTask, build_clips
from datasets.errors import UserError
from datasets.face_models import get_face_models
from datasets.folder_search import file_digest, folder_of, relative
from datasets.image_corpus import ImageCorpus
from datasets.options import BuildOptions, corpus_command
from datasets.protocols import OWN, is_own
from datasets.reading import SPLIT, VERSION, needs_manual_dir

_CLIPS_PER_FILE = 100
_ANNOTATION = [field.name for field in dataclasses.fields(Annotation)]
_LISTED = 10  # sentences of one kind; the others are only counted


@dataclasses.dataclass(frozen=True)
class Plan:
    """Content of a corpus before any frame is read.

    Attributes:
      tasks: the clips.
      label_version: of the annotation.
      corrections: sentences, one per corrected cell.
      warnings: other sentences.
      earlier_label_version: of `earlier_emotion`; "" if there is none.
      source: folder and sheet that the corpus is built from; empty if it is drawn.
    """

    tasks: Sequence[ClipTask]
    label_version: str
    corrections: Sequence[str] = ()
    warnings: Sequence[str] = ()
    earlier_label_version: str = ""
    source: dict[str, str] = dataclasses.field(default_factory=dict)


class CorpusBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Builds one corpus; subclasses define `plan`.

    Args of the constructor, besides those of TFDS:
      options: resolved for this corpus; None for the defaults.
      manual_dir: folder that the corpus was unpacked into; None for that of TFDS.
      landmark_file: keeps landmarks between builds; None keeps none.
    """

    VERSION = tfds.core.Version(VERSION)
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Ask the authors of the corpus for it, and name the folder it was unpacked into; see "
        "datasets/README.md."
    )

    def __init__(
        self,
        *,
        options: BuildOptions | None = None,
        manual_dir: Path | None = None,
        landmark_file: Path | None = None,
        **kwargs: Any,
    ):
        self.build_options = options or BuildOptions().resolved(self.name)
        self.corpus_dir = manual_dir
        self._landmark_file = landmark_file
        super().__init__(**{"file_format": "array_record"} | kwargs)

    def plan(self) -> Plan:
        """Returns the clips of the corpus; raises UserError if the folder does not hold it."""
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        side = self.build_options.side
        kinds = {
            str: tfds.features.Text(),
            int: tfds.features.Scalar(np.int32),
            float: tfds.features.Scalar(np.float32),
        }
        return _Info(
            builder=self,
            description=(sys.modules[type(self).__module__].__doc__ or "").strip(),
            features=tfds.features.FeaturesDict(
                {
                    # ArrayRecord compresses; `bytes` is the fast encoding of TFDS.
                    "frames": tfds.features.Tensor(
                        shape=(None, side, side, 3), dtype=np.uint8, encoding="bytes"
                    ),
                    "label_version": kinds[str],
                    **{field.name: kinds[field.type] for field in dataclasses.fields(Annotation)},
                }
            ),
            metadata=tfds.core.MetadataDict(),
            # Keys are positions in the order of (subject, clip), and are kept.
            disable_shuffling=True,
        )

    def _download_and_prepare(self, dl_manager: Any, download_config: Any = None) -> None:
        # TFDS' own writer collects the whole corpus first, and above a gigabyte needs TensorFlow.
        # The info is a new one since only that names the temporary folder of this build.
        info = self._info()
        writer = tfds.core.SequentialWriter(
            info, _CLIPS_PER_FILE, file_format=self.info.file_format.value
        )
        with contextlib.closing(self._split_generators(dl_manager)[SPLIT]) as examples:
            writer.initialize_splits([SPLIT])
            for _, example in examples:
                writer.add_examples({SPLIT: [example]})
        writer.close_all()
        self.info.set_splits(info.splits)

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        if self.corpus_dir is None and needs_manual_dir(self.name):
            self.corpus_dir = Path(dl_manager.manual_dir)
        plan = self.plan()
        models = get_face_models(self.build_options.face_models)
        return {SPLIT: self._generate_examples(plan, models)}

    def _generate_examples(self, plan: Plan, models: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        tasks = sorted(plan.tasks, key=lambda task: (task.subject, task.clip))
        for one, other in itertools.pairwise(tasks):
            if (one.subject, one.clip) == (other.subject, other.clip):
                raise UserError(
                    f"{self.name} holds clip {one.clip} of {one.subject} twice; keep one of them."
                )
        options, subjects, frames, stored = self.build_options, set(), 0, 0
        warnings = list(plan.warnings)
        skipped = collections.defaultdict(list)  # reason -> clips
        deep = collections.Counter()  # grey value taken for white -> clips
        built = build_clips(tasks, models, options.crop, options.workers, self._landmark_file)
        with contextlib.closing(built) as clips:
            for clip in tqdm(clips, f"building {self.name}", len(tasks), unit="clip"):
                annotation = clip.annotation
                name = f"{annotation.clip} ({annotation.subject})"
                if clip.frames is None:
                    skipped[_reason_to_skip(clip, options.on_no_face)].append(name)
                    continue
                if count := clip.unreadable:
                    were = "frame was" if count == 1 else "frames were"
                    warnings.append(f"clip {name}: {count} unreadable {were} left out.")
                if clip.white is not None:
                    deep[clip.white] += 1
                # A corpus' own kind of annotation may have further fields.
                example = {field: getattr(annotation, field) for field in _ANNOTATION}
                example |= {"label_version": plan.label_version, "frames": clip.frames}
                yield stored, example
                subjects.add(annotation.subject)
                frames, stored = frames + len(clip.frames), stored + 1
        if not stored:
            raise UserError(
                f"no clip of {self.name} is left: no face was found in any readable frame."
            )
        warnings += [
            f"{len(names)} of {len(tasks)} clips were skipped, since {why}: {', '.join(names)}."
            for why, names in skipped.items()
        ]
        warnings += [
            f"{count} of {len(tasks)} clips have grey values of more than 8 bits; all frames of a "
            f"clip were scaled alike, with {white:g} as white."
            for white, count in deep.items()
        ]
        # Complete only now; TFDS writes it after the examples.
        self.info.metadata.update(
            label_version=plan.label_version,
            earlier_label_version=plan.earlier_label_version,
            corrections=list(plan.corrections),
            warnings=warnings,
            options=options.identity(),
            source=plan.source,
            counts={"clips": stored, "subjects": len(subjects), "frames": frames},
        )


def builder_class(name: str) -> type[CorpusBuilder]:
    """Returns the class that builds the corpus `name`."""
    folder = OWN if is_own(name) else name
    builder = importlib.import_module(f"datasets.{folder}.{folder}_dataset_builder").Builder
    return builder.named(name) if is_own(name) else builder


class ImageCorpusBuilder(CorpusBuilder, skip_registration=True):
    """Builds a corpus from the folder it was unpacked into; subclasses define `corpus`."""

    corpus: ImageCorpus

    def plan(self) -> Plan:
        """Returns every row of the sheet with its frames; raises UserError if one has none."""
        folder, options = self.corpus_dir, self.build_options
        doctor = corpus_command("datasets.doctor", self.name, folder, options)
        found = self.corpus.survey(folder, options)
        sheet, missing = found.annotations.sheet, found.missing
        if found.problems:
            more = len(found.problems) - 1
            others = f" (and {more} more; list them with: {doctor})" if more else ""
            raise UserError(f"{found.problems[0].rstrip('.')}{others}.")
        if not found.clips:
            raise UserError(f"no clip of {self.name} has its frames; see: {doctor}")
        warnings = _first_ones(found.notes, f"notes; list them with: {doctor}")
        if missing:
            warnings.append(
                f"{len(missing)} of {len(found.annotations.rows)} clips were skipped, since all or "
                "many of their frames are missing:"
            )
            warnings += _first_ones(missing, f"of them; list them with: {doctor}")
        warnings += _first_ones(found.losses, f"clips that lack frames; list them with: {doctor}")
        return Plan(
            tasks=found.clips,
            label_version=found.annotations.label_version,
            corrections=found.annotations.corrections,
            warnings=warnings,
            earlier_label_version=found.annotations.earlier_label_version,
            source={
                "manual_dir": str(folder),
                "sheet": relative(sheet, folder_of(folder)) if sheet else "",
                "sheet_sha256": file_digest(sheet) if sheet else "",
                "found_sha256": found.digest,
            },
        )


class _Info(tfds.core.DatasetInfo):
    def initialize_from_bucket(self) -> None:
        """Does nothing: these corpora are in no bucket, and asking leaves a folder in /tmp."""


def _reason_to_skip(clip: BuiltClip, on_no_face: str) -> str:
    """Returns why a clip without aligned frames is skipped; raises UserError if it is not."""
    if on_no_face == "fail":
        what = "no face was found in any" if clip.readable else "there is no readable"
        raise UserError(
            f"{what} frame of clip {clip.annotation.clip} of {clip.annotation.subject} "
            f"({clip.where}); check its frames, or skip such clips with --on_no_face=skip."
        )
    return "no face was found in them" if clip.readable else "none of their frames can be read"


def _first_ones(sentences: Sequence[str], what: str) -> list[str]:
    """Returns the first sentences, and the number of those left out."""
    more = len(sentences) - _LISTED
    return [*sentences[:_LISTED], *([f"{more} more {what}"] if more > 0 else [])]
