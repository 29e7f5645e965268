"""Every metric under its name: registered, listed and found."""

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
    """A registered metric: how it is worked out, which way is better, and where it comes from.

    Attributes:
        name: In lower case with dashes.
        function: From a study (one target, method and layer) and options to ``(sample,)``.
        better: ``"higher"`` or ``"lower"``.
        paper: Where it is published.
        options: What the function is given beside the study.
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
        """Return ``(sample,)``; NaN where the metric is not defined."""
        return np.asarray(self.function(study, **self.options), np.float64)

    def with_options(self, called: str | None = None, **options: Any) -> Metric:
        """The same with other options.

        Args:
            called: Its name in the result, where both are asked for.
            options: What the metric's docstring lists after the study.

        Raises:
            MethodError: It has no such option.
        """
        known = list(inspect.signature(self.function).parameters)[1:]
        for each in options:
            if each not in known:
                message = (
                    f"{self.name} has no option {each!r}.{nearest(each, known)} It has: {', '.join(known) or 'none'}."
                )
                raise MethodError(message)
        return replace(self, name=called or self.name, options={**self.options, **options})


_registry: dict[str, Metric] = {}
_Function = Callable[..., np.ndarray]


def metric(name: str, *, better: Direction, paper: str, **options: Any) -> Callable[[_Function], _Function]:
    """Register a metric under a name; one function may have several, with other options.

    Args:
        name: Lower case with dashes.
        better: Whether higher or lower values speak for a map.
        paper: Where it is published.
        options: What the function is given beside the study.
    """

    def register(function: _Function) -> _Function:
        _registry[name] = Metric(name, function, better, paper, options)
        return function

    return register


def metrics() -> tuple[Metric, ...]:
    """List every registered metric, by name.

    Example:
        >>> import signalcam as sc
        >>> [each.better for each in sc.metrics.metrics() if each.name == "deletion"]
        ['lower']
    """
    return tuple(_registry[each] for each in sorted(_registry))


def names() -> tuple[str, ...]:
    """The name of every registered metric.

    Example:
        >>> import signalcam as sc
        >>> [each for each in sc.metrics.names() if each.startswith("road")]
        ['road', 'road-lerf', 'road-morf']
    """
    return tuple(each.name for each in metrics())


def find(wanted: object, **options: Any) -> Metric:
    """Return a metric by name, with other options if any are given.

    Args:
        wanted: A name, or a ``Metric``.
        options: See ``Metric.with_options``.

    Raises:
        MethodError: There is no such metric, or it has no such option.

    Example:
        >>> find("deletion", imputer="mean", called="deletion by the mean").name
        'deletion by the mean'
    """
    found = wanted if isinstance(wanted, Metric) else _registry.get(str(wanted).lower().replace("_", "-"))
    if found is None:
        message = f"there is no metric {wanted!r}.{nearest(str(wanted), _registry)} Known: {', '.join(sorted(_registry))} (see signalcam.metrics.metrics())."
        raise MethodError(message)
    return found.with_options(**options) if options else found
