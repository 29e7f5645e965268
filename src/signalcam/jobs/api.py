"""``Job``: a whole data set explained into one store."""

from __future__ import annotations

from pathlib import Path

from signalcam.jobs.config import JobConfig
from signalcam.jobs.run import run_job
from signalcam.jobs.store_reader import open_store
from signalcam.results.explanation import Explanation


class Job(JobConfig):
    """A whole data set explained into one store, which any crash leaves ready to go on.

    Every parameter is a section of the job file, a mapping of its names; ``data``, ``model`` and ``output`` may be
    one word. Paths, and the module of ``model``, are looked for from ``folder`` on.

    Args:
        data: Where the samples are: what ``signalcam.data.open`` takes, a path, or ``path``, ``format``, ``windows``
            and options of such files; or ``build`` and ``arguments``, a function that returns a reader, a loader, or
            whatever ``signalcam.data.of`` takes, called in each process. ``labels`` may also be a ``.npy`` file
            with a class each, and ``groups`` one with a group each. ``dtype`` (``float16``, ``float32``,
            ``float64``) converts what is read.
        model: ``"module:function"``, or ``build``, ``arguments``, ``weights``, ``trust``, ``device``, ``autocast`` (runs a
            PyTorch network in ``bfloat16`` or ``float16`` where that is safe, maps in single precision), ``class_names``.
        output: The store to make: a path, or ``path`` and ``dtype`` (``float16``, ``float32``, ``uint8``).
        explain: ``method``, ``layer``, ``target``, ``signed``, ``score``, ``align``, as for ``signalcam.explain``.
        layout: ``dims``, ``sampling_rate``, ``channel_names``, ``units``, ``spacing``, ``axis_units``.
        units: ``size`` (samples committed at once; by default 1024, more where there are more than a million) and
            ``batch`` (samples through the model at once).
        aggregates: ``by``, ``bins``, ``quantiles``; and around the ``events`` of a file ``before`` and ``after`` each.
        metrics: ``names`` of metrics that every map is scored by, and ``measure``, ``imputer``, ``steps``, ``window``,
            ``baselines``, ``seed``, as for ``signalcam.metrics.evaluate``.
        engine: ``name`` (``local``, ``ray`` or ``rank``), ``processes``, ``threads`` of each, ``timeout`` (seconds a unit
            may take), ``on_error`` (``record`` or ``stop``); for Ray ``address``, ``cpus`` and ``gpus`` of each process.
        folder: Where relative paths begin; by default where the program runs.

    Raises:
        JobError: A section is wrong; one sentence for each wrong name.

    Example:
        >>> job = sc.Job(data="windows.npy", model="networks:build", output="maps.zarr")
        >>> job.units.batch, job.units.size_for(10_000_000)
        (32, 4096)
    """

    def run(self, *, progress: bool = False, log: str | Path | None = None) -> Explanation:
        """Do what is not done yet, and open the result.

        Args:
            progress: Show a progress bar.
            log: A file to which a JSON object is appended for everything that happens, one a line.

        Returns:
            The explanation of all samples, whose maps are read when they are needed.

        Raises:
            JobError: The job cannot run as described.
            StoreError: The output is another job's, in use by another run, or cannot be written.
        """
        return open_store(run_job(self, progress=progress, log=log), self)
