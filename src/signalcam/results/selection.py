"""Here you find how samples, targets, methods and layers of an explanation are selected.

An explanation imports this file, so that its functions do not name its class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar

import numpy as np

from signalcam.attribution.registry import find
from signalcam.errors import MethodError, TargetError, nearest
from signalcam.results.attached_scores import select_scores
from signalcam.results.input_maps import NETWORK_INPUT, InputMaps

By = Literal["sample", "predicted", "label"]
Whole = TypeVar("Whole")  # an explanation, which this file must not import
AXES = ("sample", "target", "cam", "layer")


def check_axes(selection: Mapping[str, object]) -> None:
    """Raise a ``MethodError`` if a selection names an axis that does not exist."""
    for axis in selection:
        if axis == "method":
            message = "the axis of methods is called 'cam'. Select by it: exp.sel(cam='grad-cam')."
            raise MethodError(message)
        if axis not in AXES:
            message = f"there is no axis {axis!r} to choose from; choose by {', '.join(AXES)}."
            raise MethodError(message)


def as_names(names: Any) -> Sequence[Any]:
    """Return one name, or several, as a sequence."""
    return list(names) if isinstance(names, list | tuple | np.ndarray) else [names]


def resolve_indices(selection: int | slice | Sequence[int], length: int, axis: str) -> list[int]:
    """Return the positions that a number, slice or list selects."""
    try:
        indices = np.arange(length)[selection]
    except IndexError as error:
        message = f"there is no {axis} {selection!r}: there are {length}, counted from 0."
        raise TargetError(message) from error
    return [int(index) for index in np.atleast_1d(indices)]


def index_of(name: Any, names: Sequence[Any], axis: str) -> int:
    """Return the position of a name in a list of names."""
    if name in names:
        return list(names).index(name)
    what = "method" if axis == "cam" else axis
    message = f"there is no {what} {name!r} here.{nearest(str(name), map(str, names))} There are: {', '.join(map(str, names[:20]))}."
    raise TargetError(message)


def input_maps_of(exp: Any) -> InputMaps:
    """Return the input at hand, with its maps."""
    return InputMaps(exp.of, exp.layers, exp.layout, exp.input, exp.shapes)


def change_inputs(explanation: Whole, change: Callable[[InputMaps], InputMaps], **fields: Any) -> Whole:
    """Change the maps of every explained input in one way; ``fields`` are other fields to replace."""
    exp: Any = explanation
    new, others = change(input_maps_of(exp)), tuple(map(change, exp.others))
    changed: Whole = replace(
        exp, layers=new.layers, layout=new.layout, input=new.input, shapes=new.shapes, others=others, **fields
    )
    return changed


def select_indices(explanation: Whole, selection: Mapping[str, int | slice | Sequence[int]]) -> Whole:
    """Select by position; see ``Explanation.isel``."""
    exp: Any = explanation
    check_axes(selection)
    entries = (exp.sample_names, exp.targets, exp.methods, exp.layers)
    s, t, m, y = (
        resolve_indices(selection.get(axis, slice(None)), len(names), axis)
        for axis, names in zip(AXES, entries, strict=True)
    )

    def rows(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[s]

    smaller: Any = change_inputs(
        exp,
        lambda one_input: one_input.select(s, t, m),
        targets=tuple(exp.targets[i] for i in t),
        methods=tuple(exp.methods[i] for i in m),
        scores=exp.scores[s][:, t],
        target_classes=exp.target_classes[s][:, t],
        logits=rows(exp.logits),
        probabilities=rows(exp.probabilities),
        classes=rows(exp.classes),
        true_classes=rows(exp.true_classes),
        sample_names=tuple(exp.sample_names[i] for i in s),
        failed=tuple(exp.failed[i] for i in s) if exp.failed else (),
        windows=None if exp.windows is None else exp.windows.isel(target=t),
        metrics=select_scores(exp.metrics, s, {"target": t, "cam": m, "layer": y}, exp.methods),
    )
    part: Whole = replace(smaller, layers=tuple(smaller.layers[i] for i in y))
    return part


def select_names(explanation: Whole, selection: Mapping[str, Any]) -> Whole:
    """Select by name; see ``Explanation.sel``."""
    exp: Any = explanation
    check_axes(selection)
    entries = dict(zip(AXES, (exp.sample_names, exp.targets, exp.methods, exp.layer_names), strict=True))
    indices = {
        axis: [index_of(_full_name(exp, axis, name), entries[axis], axis) for name in as_names(names)]
        for axis, names in selection.items()
    }
    return select_indices(explanation, indices)


def _full_name(exp: Any, axis: str, name: Any) -> Any:
    if axis == "cam" and name not in exp.methods:  # a method of a saved result need not be registered any more
        return find(name).name
    if axis == "target" and isinstance(name, int | np.integer):
        return exp.class_name(int(name))
    return name


def select_interval(explanation: Whole, begin: float, end: float, dim: str) -> Whole:
    """Select an interval of an axis; see ``Explanation.between``."""
    exp: Any = explanation
    start, stop = input_maps_of(exp).interval_to_indices(dim, begin, end)
    windows = exp.windows
    if windows is not None:
        overlaps = (windows["start"] < stop) & (windows["stop"] > start)
        windows = windows.isel(window=np.flatnonzero(overlaps.values))
    return change_inputs(
        explanation, lambda one_input: one_input.between(dim, begin, end), metrics=None, windows=windows
    )


def select_modality(explanation: Whole, name: str | int | tuple[Any, ...]) -> Whole:
    """Select the maps of another input; see ``Explanation.modality``."""
    exp: Any = explanation
    path = "/".join(map(str, name)) if isinstance(name, tuple) else str(name)
    if path == exp.of:
        return explanation
    inputs = {one_input.name: one_input for one_input in (*exp.others, input_maps_of(exp))}
    index_of(path, exp.modalities, "modality")
    new = inputs.pop(path)
    modality: Whole = replace(
        exp,
        of=path,
        layers=new.layers,
        layout=new.layout,
        input=new.input,
        shapes=new.shapes,
        others=tuple(inputs.values()),
        metrics=exp.metrics if NETWORK_INPUT in exp.modalities else None,
    )
    return modality
