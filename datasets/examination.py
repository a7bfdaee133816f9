"""Reads every frame of a clip and looks for its face, to tell all that is wrong at once."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence

from tqdm import tqdm

from datasets.alignment import similarity
from datasets.errors import UserError
from datasets.face_models import FaceModels
from datasets.faces import FaceLandmarker
from datasets.filmed import FilmedClip
from datasets.frames import read_frame
from datasets.processes import map_in_processes


@dataclasses.dataclass(frozen=True)
class Examination:
    """What was found in a clip.

    Attributes:
      readable: frames that can be read.
      unreadable: sentences, each on a file that cannot.
      faults: sentences on what else keeps the clip from being built.
      faceless: sentences of the same kind, of a clip that --on_no_face=skip leaves out.
    """

    readable: int
    unreadable: tuple[str, ...]
    faults: tuple[str, ...]
    faceless: tuple[str, ...]


class Examiner:
    """Examines clips; one object per process."""

    def __init__(self, models: FaceModels | None):
        self._landmarker = models and FaceLandmarker(models)

    def __call__(self, clip: FilmedClip) -> Examination:
        """Reads all its frames; looks for a face until one is found."""
        unreadable, sizes, has_face = [], Counter(), self._landmarker is None
        for path in dict.fromkeys(clip.files):  # one may stand in for others
            try:
                frame = read_frame(path)
            except UserError as error:
                unreadable.append(str(error))
                continue
            sizes[frame.shape[:2]] += 1
            has_face = has_face or self._shows_face(frame)
        where, faults, faceless = f"clip {clip.clip} of {clip.subject} ({clip.where})", [], []
        if not sizes:
            faceless.append(f"{where} has no frame that can be read; copy it again.")
        elif not has_face:
            faceless.append(f"no face was found in any frame of {where}; look at its frames.")
        if len(sizes) > 1:
            told = ", ".join(f"{count} of {w}x{h}" for (h, w), count in sizes.most_common())
            faults.append(f"{where} has frames of differing sizes ({told}); copy it again.")
        return Examination(sum(sizes.values()), tuple(unreadable), tuple(faults), tuple(faceless))

    def _shows_face(self, frame) -> bool:
        landmarks = self._landmarker.find(frame)
        if landmarks is None:
            return False
        try:
            similarity(landmarks)
        except ValueError:  # degenerate, so no face
            return False
        return True


def examine_clips(
    clips: Sequence[FilmedClip], models: FaceModels | None, workers: int
) -> Iterator[Examination]:
    """Examines clips in their order, with a progress bar.

    Args:
      clips: to be examined.
      models: that find faces; None does not look for them.
      workers: processes; 0 = one per core.
    """
    seen = map_in_processes(Examiner, (models,), clips, workers)
    yield from tqdm(seen, "reading frames", len(clips), unit="clip")
