"""Jobs: explain a whole data set, unit by unit, into one store that survives crashes."""

from signalcam.errors import MissingExtra

try:
    import pydantic as _pydantic  # noqa: F401 - imported here, so that one message names the missing extra
except ModuleNotFoundError as error:
    raise MissingExtra("a job", "jobs") from error

from signalcam.jobs.aggregate import summary
from signalcam.jobs.api import Job
from signalcam.jobs.progress import Status, status

__all__ = ["Job", "Status", "status", "summary"]
