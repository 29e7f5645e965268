"""The rank engine: processes started by torchrun, srun or a Slurm array, each with its share of the units."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from signalcam.errors import JobError, StoreError

WAIT_SECONDS = 900.0  # seconds in which the first rank must have made the store
_HINT = "Start it by torchrun or srun, or as a Slurm array; or set RANK and WORLD_SIZE. On one machine engine.name = 'local' needs none of them"


@dataclass(frozen=True)
class Rank:
    """The number of this process, from 0, and the count of all."""

    number: int = 0
    count: int = 1

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Rank:
        """Read the rank from the variables of torchrun or Slurm; raise ``JobError`` if there is none."""
        if "RANK" in environ or "WORLD_SIZE" in environ:
            rank = cls(_read_int(environ, "RANK"), _read_int(environ, "WORLD_SIZE"))
        elif "SLURM_PROCID" in environ or "SLURM_ARRAY_TASK_ID" in environ:
            task = cls(_read_int(environ, "SLURM_PROCID", 0), _read_int(environ, "SLURM_NTASKS", 1))
            part = _array_task(environ)
            rank = cls(part.number * task.count + task.number, part.count * task.count)
        else:
            message = f"engine.name is 'rank', but the environment names no rank. {_HINT}."
            raise JobError(message)
        if not 0 <= rank.number < rank.count:
            message = f"the environment names rank {rank.number} of {rank.count}, counted from 0, which is impossible. {_HINT}."
            raise JobError(message)
        return rank

    def share(self, units: Sequence[int]) -> list[int]:
        """Select this rank's units: every n-th by number, whatever others have done by now."""
        return [unit for unit in units if unit % self.count == self.number]

    def wait_for(self, place: Path) -> None:
        """Wait until rank 0 has created the store; raise ``StoreError`` after ``WAIT_SECONDS``."""
        limit = time.monotonic() + WAIT_SECONDS
        while not place.exists():
            if time.monotonic() > limit:
                message = f"rank {self.number} of {self.count} waited {WAIT_SECONDS:g} s for rank 0 to make {place}. Look at the output of rank 0, and check that all ranks share a file system."
                raise StoreError(message)
            time.sleep(0.1)


def _read_int(environ: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environ.get(name, default)
    try:
        return int(text)  # type: ignore[arg-type] # nothing is no number, either
    except (TypeError, ValueError) as error:
        message = f"{name} is {text!r} in the environment, but engine.name = 'rank' needs a number. {_HINT}."
        raise JobError(message) from error


def _array_task(environ: Mapping[str, str]) -> Rank:
    """Rank of this task in its Slurm array."""
    if "SLURM_ARRAY_TASK_ID" not in environ:
        return Rank()
    first, step = _read_int(environ, "SLURM_ARRAY_TASK_MIN", 0), _read_int(environ, "SLURM_ARRAY_TASK_STEP", 1)
    number, rest = divmod(_read_int(environ, "SLURM_ARRAY_TASK_ID") - first, max(step, 1))
    count = _read_int(environ, "SLURM_ARRAY_TASK_COUNT")
    if rest or number >= count:
        message = f"task {environ['SLURM_ARRAY_TASK_ID']} of this Slurm array of {count} is not in an evenly spaced range. Submit the array as a range, such as --array=0-7."
        raise JobError(message)
    return Rank(number, count)


def visible_gpu(environ: Mapping[str, str]) -> dict[str, str]:
    """Environment that shows a rank one GPU of its node, by its local rank."""
    local = environ.get("LOCAL_RANK") or environ.get("SLURM_LOCALID")
    if local is None:
        return {}
    visible = [each for each in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
    return {"CUDA_VISIBLE_DEVICES": visible[int(local) % len(visible)] if visible else local}
