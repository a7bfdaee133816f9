"""How often a training looks up from its work: log lines and checkpoints (no jax needed)."""

from dataclasses import dataclass

CHECKPOINT_SHARE = 0.03  # of the time, that checkpoints may take


@dataclass(frozen=True)
class Cadence:
    """How often a training looks up from its work; changes no number.

    Attributes:
      log_every: steps between two lines of the log.
      checkpoint_every: checkpoints are written after multiples of so many steps.
      checkpoint_seconds: least time between two checkpoints; 0 writes one at each multiple.
    """

    log_every: int
    checkpoint_every: int
    checkpoint_seconds: float = 0.0

    def logs(self, step: int, steps: int) -> bool:
        """Whether `step` ends a line; wherever a checkpoint may be, so that a resumed log is the
        same whatever the clock said."""
        return step % self.log_every == 0 or step % self.checkpoint_every == 0 or step == steps

    def saves(self, step: int, seconds: float, last_took: float) -> bool:
        """Whether a checkpoint is due.

        Args:
          step: just done.
          seconds: since the last checkpoint was through.
          last_took: seconds that writing it took; a slow disk is asked more seldom.
        """
        least = self.checkpoint_seconds and max(
            self.checkpoint_seconds, last_took / CHECKPOINT_SHARE
        )
        return step % self.checkpoint_every == 0 and seconds >= least
