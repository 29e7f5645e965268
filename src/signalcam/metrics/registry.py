"""Here you find the registry of metrics: register, list and find them by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from signalcam.errors import MethodError, nearest
from signalcam.metrics.perturbation import PerturbationExperiment

Direction = Literal["higher", "lower"]


@dataclass(frozen=True)
class Metric:
    """A registered metric: its function, direction and source.

    Attributes:
        name: In lower case with dashes.
        function: From an experiment (one target, method and layer) and options to ``(sample,)``.
        better: ``"higher"`` or ``"lower"``.
        paper: The publication.
        options: Options of the function.
    """

    name: str
    function: Callable[..., np.ndarray]
    better: Direction
    paper: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (self.function.__doc__ or self.name).splitlines()[0]

    def values(self, study: PerturbationExperiment) -> np.ndarray:
        """Return the values ``(sample,)``; NaN where the metric is not defined."""
        return np.asarray(self.function(study, **self.options), np.float64)

    def with_options(self, called: str | None = None, **options: Any) -> Metric:
        """Return the metric with other options.

        Args:
            called: Its name in the result; needed if two variants are computed.
            options: Options in the metric's docstring, after the study.

        Raises:
            MethodError: It has no such option.
        """
        parameters = list(inspect.signature(self.function).parameters)[1:]
        for name in options:
            if name not in parameters:
                message = f"{self.name} has no option {name!r}.{nearest(name, parameters)} It has: {', '.join(parameters) or 'none'}."
                raise MethodError(message)
        return replace(self, name=called or self.name, options={**self.options, **options})


_registry: dict[str, Metric] = {}
_Function = Callable[..., np.ndarray]


def metric(name: str, *, better: Direction, paper: str, **options: Any) -> Callable[[_Function], _Function]:
    """Register a metric under a name; one function may have several names, with different options.

    Args:
        name: Lower case with dashes.
        better: The direction of better maps: ``"higher"`` or ``"lower"``.
        paper: The publication.
        options: Options of the function.
    """

    def register(function: _Function) -> _Function:
        _registry[name] = Metric(name, function, better, paper, options)
        return function

    return register


def metrics() -> tuple[Metric, ...]:
    """Return every registered metric, sorted by name.

    Example:
        >>> import signalcam as sc
        >>> [each.better for each in sc.metrics.metrics() if each.name == "deletion"]
        ['lower']
    """
    return tuple(_registry[each] for each in sorted(_registry))


def names() -> tuple[str, ...]:
    """Return the names of all registered metrics.

    Example:
        >>> import signalcam as sc
        >>> [each for each in sc.metrics.names() if each.startswith("road")]
        ['road', 'road-lerf', 'road-morf']
    """
    return tuple(each.name for each in metrics())


def find(name: object, **options: Any) -> Metric:
    """Return a metric by name, with other options if there are any.

    Args:
        name: A name, or a ``Metric``.
        options: See ``Metric.with_options``.

    Raises:
        MethodError: There is no such metric, or it has no such option.

    Example:
        >>> find("deletion", imputer="mean", called="deletion by the mean").name
        'deletion by the mean'
    """
    metric_of_name = name if isinstance(name, Metric) else _registry.get(str(name).lower().replace("_", "-"))
    if metric_of_name is None:
        message = f"there is no metric {name!r}.{nearest(str(name), _registry)} Known: {', '.join(sorted(_registry))} (see signalcam.metrics.metrics())."
        raise MethodError(message)
    return metric_of_name.with_options(**options) if options else metric_of_name
