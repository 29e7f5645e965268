"""The report as one self-contained HTML page: rendering and writing it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from signalcam.errors import InputError, StoreError
from signalcam.report import job_overview
from signalcam.report.page import bokeh, page
from signalcam.report.quantize import estimate_size, quantize_page
from signalcam.report.summary import groups, summary
from signalcam.results import zarr_store
from signalcam.results.group_summary import summarize_groups

if TYPE_CHECKING:
    from os import PathLike

    from signalcam.results.explanation import Explanation


MOST_CHARACTERS = 25_000_000  # characters of data that a browser opens quickly


def render(exp: Explanation) -> str:
    """Render a result as one self-contained page.

    Args:
        exp: The result.

    Returns:
        An HTML document that opens from disk and needs no network.

    Raises:
        MissingExtra: Bokeh is not installed.
        StoreError: There is more data than a page should hold.
        InputError: There are no samples.
        LayoutError: Pages cannot show maps with such axes.
    """
    bokeh()  # checked first, before any work
    if not len(exp):
        message = "the result holds no samples, so there is nothing to show. Explain at least one."
        raise InputError(message)
    job_groups = summarize_groups(exp)
    if job_groups is None or not job_groups.counts:
        some = exp if job_groups is None else exp.isel(sample=slice(0, job_overview.FIRST_SAMPLES))
        _require_size(some)
        page_summary, (place, data) = summary(some), quantize_page(some)
    else:
        some = job_overview.first_samples(exp, job_groups, MOST_CHARACTERS)
        page_summary, (place, data) = (
            job_overview.describe_job(exp, job_groups, some),
            quantize_page(some, job_groups, job_overview.shown_groups(job_groups)),
        )
    return page({**page_summary, "packed": place}, "embedded", data)


def write(exp: Explanation, path: str | PathLike[str]) -> None:
    """Write the page to a file, whole or not at all."""
    place, text = zarr_store.as_path(path), render(exp)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=place.parent) as folder:
            new = Path(folder) / "new.html"
            new.write_text(text, encoding="utf-8")
            new.replace(place)
    except OSError as error:
        message = f"cannot write a report to {place}: {error.strerror or error}. Choose a file in a folder that can be written to."
        raise StoreError(message) from error


def _require_size(exp: Explanation) -> None:
    needed = estimate_size(exp, len(groups(exp)))
    if needed <= MOST_CHARACTERS:
        return
    fit = len(exp) * MOST_CHARACTERS // needed
    some = f", or take fewer samples: exp.isel(sample=slice(0, {fit}))" if fit else ""
    message = (
        f"a page of this result would hold about {needed / 1e6:.0f} MB, and one of more than {MOST_CHARACTERS / 1e6:.0f} MB opens slowly. "
        f"Save it, exp.save('maps.zarr'), and look at it with: signalcam view maps.zarr{some}."
    )
    raise StoreError(message)
