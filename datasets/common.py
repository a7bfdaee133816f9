"""The base of every corpus' TFDS builder: plan -> clips on disk or drawn -> aligned examples.

An example holds every frame of one micro-expression clip from onset to offset, aligned, and all
that the sheets tell of it. Examples are stored in the order of (subject, clip). The dataset's
metadata tell how the corpus came about. Written as array_record, so no TensorFlow is needed.

Adding a corpus: a package `datasets/<name>/` with `<name>_dataset_builder.py` that holds a
subclass `Builder` with a `plan`, and its protocols in `datasets.protocols`.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from datasets.alignment import SIDE
from datasets.clip_tasks import BuiltClip, ClipTask, build_clips
from datasets.errors import UserError
from datasets.face_models import get_face_models
from datasets.options import BuildOptions
from datasets.reading import SPLIT, VERSION


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a corpus consists of, before any frame is read.

    Attributes:
      tasks: the clips.
      label_version: of the annotation.
      corrections: sentences, one for each cell that was corrected.
      warnings: sentences, what else is to be known.
    """

    tasks: tuple[ClipTask, ...]
    label_version: str
    corrections: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class CorpusBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Builds one corpus; subclasses say what it consists of.

    Args of the constructor, beside those of TFDS:
      options: resolved for this corpus.
      manual_dir: the folder the corpus was unpacked into; None where there is none.
      source: what the corpus is built from, for the metadata.
    """

    VERSION = tfds.core.Version(VERSION)

    def __init__(
        self,
        *,
        options: BuildOptions,
        manual_dir: Path | None = None,
        source: dict[str, str] | None = None,
        **kwargs: Any,
    ):
        self.build_options = options
        self.corpus_dir = manual_dir
        self.source = source or {}
        super().__init__(file_format="array_record", **kwargs)

    def plan(self) -> Plan:
        """The clips of the corpus and what was corrected.

        Raises:
          UserError: the folder does not hold the corpus.
        """
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        text, number = tfds.features.Text, tfds.features.Scalar
        return tfds.core.DatasetInfo(
            builder=self,
            description=(sys.modules[type(self).__module__].__doc__ or "").strip(),
            features=tfds.features.FeaturesDict(
                {
                    # ArrayRecord compresses by itself; `bytes` is the quick way through TFDS.
                    "frames": tfds.features.Tensor(
                        shape=(None, SIDE, SIDE, 3), dtype=np.uint8, encoding="bytes"
                    ),
                    "subject": text(),
                    "clip": text(),
                    "emotion": text(),
                    "objective_class": text(),
                    "action_units": text(),
                    "label_version": text(),
                    "onset": number(np.int32),
                    "apex": number(np.int32),
                    "offset": number(np.int32),
                    "fps": number(np.float32),
                }
            ),
            metadata=tfds.core.MetadataDict(),
            # Keys are the places in the order of (subject, clip), and are kept.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        plan = self.plan()
        models = get_face_models(self.build_options.face_models)
        return {SPLIT: self._generate_examples(plan, models)}

    def _generate_examples(self, plan: Plan, models: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        tasks = sorted(plan.tasks, key=lambda task: (task.subject, task.clip))
        names = [task.clip for task in tasks]
        if twice := {name for name in names if names.count(name) > 1}:
            raise UserError(f"clip {min(twice)} of {self.name} is there twice; keep one of them.")
        options, skipped = self.build_options, []
        subjects, frames, stored = set(), 0, 0
        built = build_clips(tasks, models, options.per_frame, options.workers)
        with contextlib.closing(built) as clips:
            for clip in tqdm(clips, f"building {self.name}", len(tasks), unit="clip"):
                if clip.frames is None:
                    _no_face(clip, options.on_no_face)
                    skipped.append(clip.annotation.clip)
                    continue
                yield stored, _example(clip, plan.label_version)
                subjects.add(clip.annotation.subject)
                frames, stored = frames + len(clip.frames), stored + 1
        if not stored:
            raise UserError(f"no clip of {self.name} is left: no face was found in any of them.")
        warnings = list(plan.warnings)
        if skipped:
            warnings.append(
                f"{len(skipped)} of {len(tasks)} clips were skipped, since no face was found in "
                f"them: {', '.join(skipped)}."
            )
        # Complete only now; TFDS writes it after the examples.
        self.info.metadata.update(
            label_version=plan.label_version,
            corrections=list(plan.corrections),
            warnings=warnings,
            options=options.identity(),
            source=self.source,
            counts={"clips": stored, "subjects": len(subjects), "frames": frames},
        )


def _no_face(clip: BuiltClip, on_no_face: str) -> None:
    if on_no_face == "fail":
        raise UserError(
            f"no face was found in any frame of clip {clip.annotation.clip} ({clip.where}); look "
            "at its frames, or leave such clips out with --on_no_face=skip."
        )


def _example(clip: BuiltClip, label_version: str) -> dict[str, Any]:
    return {
        "frames": clip.frames,
        "label_version": label_version,
        **dataclasses.asdict(clip.annotation),
    }
