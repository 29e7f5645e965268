"""Where a job's samples and groups come from."""

from __future__ import annotations

import numpy as np

from signalcam.data.protocol import Reader
from signalcam.errors import JobError
from signalcam.jobs.job import Job
from signalcam.jobs.reading import beside, opened

_MOST = 1000  # groups that are summed up: each holds maps in memory


def reader_of(job: Job) -> Reader:
    """Open a job's data.

    Raises:
        JobError: There is nothing, or it cannot be read.
    """
    reader = opened(job.path(job.data.path), job.data.inputs, job.data.labels, job.data.names)
    if not len(reader):
        message = f"{job.path(job.data.path)} holds no samples. Give data with at least one."
        raise JobError(message)
    return reader


def groups_of(job: Job, samples: int) -> np.ndarray | None:
    """The group of each sample, if the job names any.

    Raises:
        JobError: There is no such array, or it has not one entry a sample.
    """
    if job.data.groups is None:
        return None
    groups: np.ndarray = np.asarray(beside(job.path(job.data.path), None, job.data.groups))
    if groups.shape != (samples,):
        message = (
            f"data.groups has shape {groups.shape} for {samples} samples. Give one entry a sample."
        )
        raise JobError(message)
    return groups


def group_names(groups: np.ndarray | None) -> list[str]:
    """What groups there are.

    Raises:
        JobError: There are too many to be summed up.
    """
    if groups is None:
        return []
    names = sorted(map(str, np.unique(groups)))
    if len(names) > _MOST:
        message = f"data.groups names {len(names)} groups; maps are summed up for at most {_MOST}. Choose coarser ones."
        raise JobError(message)
    return names
