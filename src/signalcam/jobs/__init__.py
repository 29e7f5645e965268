"""Jobs: a whole data set explained, unit after unit, into one store that survives anything."""

from signalcam.errors import MissingExtra

try:
    import pydantic as _pydantic  # noqa: F401 - asked for here, so that one sentence says what is missing
except ModuleNotFoundError as error:
    raise MissingExtra("a job", "jobs") from error

from signalcam.jobs.aggregate import summary
from signalcam.jobs.api import Job
from signalcam.jobs.progress import Status, status

__all__ = ["Job", "Status", "status", "summary"]
