"""Jobs: a whole data set explained, unit after unit, into one store that survives anything."""

from signalcam.jobs.aggregate import summary
from signalcam.jobs.job import Job
from signalcam.jobs.progress import Status, status

__all__ = ["Job", "Status", "status", "summary"]
