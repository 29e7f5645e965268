"""``Job``: the public class that explains a whole data set into one store."""

from __future__ import annotations

from pathlib import Path

from signalcam.jobs.config import JobConfig
from signalcam.jobs.run import run_job
from signalcam.jobs.store_reader import open_store
from signalcam.results.explanation import Explanation


class Job(JobConfig):
    """Explain a whole data set into one store; after a crash, run it again to continue.

    Every parameter is a section of the job file, a mapping of names to values. ``data``, ``model`` and ``output`` may
    be one word. Relative paths, and the module of ``model``, start at ``folder``.

    Args:
        data: The samples: a path, or ``path``, ``format``, ``windows`` and the options of ``signalcam.data.open``.
            Or ``build`` and ``arguments``: a function that returns what ``signalcam.data.of`` takes, called in each
            process. ``labels`` may also be a ``.npy`` file with one class a sample, ``groups`` one with one group a
            sample. ``dtype`` (``float16``, ``float32``, ``float64``) converts the samples.
        model: ``"module:function"``, or ``build``, ``arguments``, ``weights``, ``trust``, ``device``, ``autocast``,
            ``class_names``. ``autocast`` runs a PyTorch network in ``bfloat16`` or ``float16``; maps stay in single
            precision.
        output: The store to write: a path, or ``path`` and ``dtype`` (``float16``, ``float32``, ``uint8``).
        explain: ``method``, ``layer``, ``target``, ``signed``, ``score``, ``align``, as for ``signalcam.explain``.
        layout: ``dims``, ``sampling_rate``, ``channel_names``, ``units``, ``spacing``, ``axis_units``.
        units: ``size`` (samples committed at once; 1024 by default, more above a million samples) and ``batch``
            (samples through the model at once).
        aggregates: ``by``, ``bins``, ``quantiles``; ``events`` names a file of events, and ``before`` and ``after`` the
            time around each.
        metrics: ``names`` of metrics to score every map by, and ``measure``, ``imputer``, ``steps``, ``window``,
            ``baselines``, ``seed``, as for ``signalcam.metrics.evaluate``.
        engine: ``name`` (``local``, ``ray`` or ``rank``), ``processes``, ``threads`` of each, ``timeout`` (seconds a unit
            may take), ``on_error`` (``record`` or ``stop``). For Ray also ``address``, and ``cpus`` and ``gpus`` of each
            process.
        folder: Where relative paths start; the current folder by default.

    Raises:
        JobError: A section is wrong. The message has one sentence for each wrong name.

    Example:
        >>> job = sc.Job(data="windows.npy", model="networks:build", output="maps.zarr")
        >>> job.units.batch, job.units.size_for(10_000_000)
        (32, 4096)
    """

    def run(self, *, progress: bool = False, log: str | Path | None = None) -> Explanation:
        """Explain what is not done yet, and open the result.

        Args:
            progress: Show a progress bar.
            log: A file to append to, one JSON object a line for each event.

        Returns:
            The explanation of all samples. Maps are read when they are needed.

        Raises:
            JobError: The job cannot run as described.
            StoreError: The output is another job's, in use by another run, or cannot be written.
        """
        return open_store(run_job(self, progress=progress, log=log), self)
