"""The base of every corpus' TFDS builder: plan -> clips on disk or drawn -> aligned examples.

An example holds every frame of one micro-expression clip from onset to offset, aligned, and all
that the sheets tell of it. Examples are stored in the order of (subject, clip). The dataset's
metadata tell how the corpus came about. Written as array_record, one example after the other, so
no TensorFlow is needed, nor memory for the corpus.

Adding a corpus: a package `datasets/<name>/` with `<name>_dataset_builder.py` that holds a
subclass `Builder` with a `plan`, and its protocols in `datasets.protocols`.
"""

import collections
import contextlib
import dataclasses
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from datasets.clip_tasks import BuiltClip, ClipTask, build_clips
from datasets.errors import UserError
from datasets.face_models import get_face_models
from datasets.options import BuildOptions
from datasets.reading import SPLIT, VERSION, needs_manual_dir

_CLIPS_PER_FILE = 100


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a corpus consists of, before any frame is read.

    Attributes:
      tasks: the clips.
      label_version: of the annotation.
      earlier_label_version: of `earlier_emotion`; "" where there is none.
      corrections: sentences, one for each cell that was corrected.
      warnings: sentences, what else is to be known.
    """

    tasks: tuple[ClipTask, ...]
    label_version: str
    corrections: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    earlier_label_version: str = ""


class CorpusBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Builds one corpus; subclasses say what it consists of.

    Args of the constructor, beside those of TFDS:
      options: resolved for this corpus; None takes the defaults.
      manual_dir: the folder the corpus was unpacked into; None asks TFDS for it, if any is needed.
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
        """The clips of the corpus and what was corrected.

        Raises:
          UserError: the folder does not hold the corpus.
        """
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        text, number = tfds.features.Text, tfds.features.Scalar
        side = self.build_options.side
        return _Info(
            builder=self,
            description=(sys.modules[type(self).__module__].__doc__ or "").strip(),
            features=tfds.features.FeaturesDict(
                {
                    # ArrayRecord compresses by itself; `bytes` is the quick way through TFDS.
                    "frames": tfds.features.Tensor(
                        shape=(None, side, side, 3), dtype=np.uint8, encoding="bytes"
                    ),
                    "subject": text(),
                    "clip": text(),
                    "emotion": text(),
                    "earlier_emotion": text(),
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

    def _download_and_prepare(self, dl_manager: Any, download_config: Any = None) -> None:
        # TFDS' own writer collects the whole corpus before it writes, and beyond a gigabyte needs
        # TensorFlow to. What it prepares here is moved to its place at the end, and only a new
        # info names the folder that it lies in until then.
        info = self._info()
        writer = tfds.core.SequentialWriter(
            info, _CLIPS_PER_FILE, file_format=self.info.file_format.value
        )
        for split, examples in self._split_generators(dl_manager).items():
            writer.initialize_splits([split])
            with contextlib.closing(examples):
                for _, example in examples:
                    writer.add_examples({split: [example]})
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
                    f"clip {one.clip} of {one.subject} in {self.name} is there twice; keep one of "
                    "them."
                )
        options, subjects, frames, stored = self.build_options, set(), 0, 0
        partial, skipped = [], collections.defaultdict(list)  # sentences; reason -> clips
        built = build_clips(tasks, models, options.crop, options.workers, self._landmark_file)
        with contextlib.closing(built) as clips:
            for clip in tqdm(clips, f"building {self.name}", len(tasks), unit="clip"):
                if clip.frames is None:
                    skipped[_unusable(clip, options.on_no_face)].append(_in_short(clip))
                    continue
                if clip.unreadable:
                    partial.append(f"clip {_in_short(clip)}: {_left_out(clip.unreadable)}")
                yield stored, _example(clip, plan.label_version)
                subjects.add(clip.annotation.subject)
                frames, stored = frames + len(clip.frames), stored + 1
        if not stored:
            raise UserError(
                f"no clip of {self.name} is left: no face was found in any frame that can be read."
            )
        warnings = [*plan.warnings, *partial]
        warnings += [
            f"{len(clips)} of {len(tasks)} clips were skipped, since {why}: {', '.join(clips)}."
            for why, clips in skipped.items()
        ]
        # Complete only now; TFDS writes it after the examples.
        self.info.metadata.update(
            label_version=plan.label_version,
            earlier_label_version=plan.earlier_label_version,
            corrections=list(plan.corrections),
            warnings=warnings,
            options=options.identity(),
            source=self._source(),
            counts={"clips": stored, "subjects": len(subjects), "frames": frames},
        )

    def _source(self) -> dict[str, str]:
        """What a corpus from a folder was built from; see `datasets.sources`."""
        return {}


class _Info(tfds.core.DatasetInfo):
    def initialize_from_bucket(self) -> None:
        """Does nothing: these corpora are in no bucket, and asking leaves a folder in /tmp."""


def _unusable(clip: BuiltClip, on_no_face: str) -> str:
    """Why such clips have no aligned frames; ends the build for it unless they are to be skipped.

    Raises:
      UserError: they are not.
    """
    if on_no_face == "fail":
        what = "no face was found in any" if clip.readable else "there is no readable"
        raise UserError(
            f"{what} frame of clip {clip.annotation.clip} of {clip.annotation.subject} "
            f"({clip.where}); look at its frames, or leave such clips out with --on_no_face=skip."
        )
    return "no face was found in them" if clip.readable else "none of their frames can be read"


def _in_short(clip: BuiltClip) -> str:
    return f"{clip.annotation.clip} ({clip.annotation.subject})"


def _left_out(count: int) -> str:
    return f"{count} unreadable frame{' was' if count == 1 else 's were'} left out."


def _example(clip: BuiltClip, label_version: str) -> dict[str, Any]:
    return {
        "frames": clip.frames,
        "label_version": label_version,
        **dataclasses.asdict(clip.annotation),
    }
