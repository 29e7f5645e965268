"""The report as one self-contained HTML page: rendering and writing it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from signalcam.errors import InputError, StoreError
from signalcam.report import job_overview
from signalcam.report.page import load_bokeh, render_page
from signalcam.report.quantize import estimate_size, quantize_page
from signalcam.report.summary import group_samples, summarize_page
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
    load_bokeh()  # checked first, before any work
    if not len(exp):
        message = "the result holds no samples, so there is nothing to show. Explain at least one."
        raise InputError(message)
    job_groups = summarize_groups(exp)
    if job_groups is None or not job_groups.counts:
        samples = exp if job_groups is None else exp.isel(sample=slice(0, job_overview.FIRST_SAMPLES))
        _require_size(samples)
        page_summary, (positions, data) = summarize_page(samples), quantize_page(samples)
    else:
        samples = job_overview.select_first_samples(exp, job_groups, MOST_CHARACTERS)
        page_summary, (positions, data) = (
            job_overview.describe_job(exp, job_groups, samples),
            quantize_page(samples, job_groups, job_overview.select_groups(job_groups)),
        )
    return render_page({**page_summary, "packed": positions}, "embedded", data)


def write(exp: Explanation, path: str | PathLike[str]) -> None:
    """Write the page to a file, whole or not at all."""
    target, text = zarr_store.as_path(path), render(exp)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=target.parent) as folder:
            temporary = Path(folder) / "new.html"
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(target)
    except OSError as error:
        message = f"cannot write a report to {target}: {error.strerror or error}. Choose a file in a writable folder."
        raise StoreError(message) from error


def _require_size(exp: Explanation) -> None:
    needed = estimate_size(exp, len(group_samples(exp)))
    if needed <= MOST_CHARACTERS:
        return
    fit = len(exp) * MOST_CHARACTERS // needed
    hint = f", or take fewer samples: exp.isel(sample=slice(0, {fit}))" if fit else ""
    message = (
        f"a page of this result would hold about {needed / 1e6:.0f} MB, and one of more than {MOST_CHARACTERS / 1e6:.0f} MB opens slowly. "
        f"Save it, exp.save('maps.zarr'), and look at it with: signalcam view maps.zarr{hint}."
    )
    raise StoreError(message)
