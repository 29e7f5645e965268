"""Checks of options, labels and sample names before the model runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from signalcam.errors import InputError, MethodError, TargetError, nearest
from signalcam.inputs.layout import as_layout
from signalcam.inputs.pytree import is_array
from signalcam.targets import Target, class_index


def check_options(align: object, nan: object, batch_size: object, class_names: Sequence[str] | None) -> None:
    """Raise where an option of an ``Explainer`` has no meaning."""
    if align not in ("receptive-field", "resize"):
        message = f"there is no alignment {align!r}.{nearest(str(align), ['receptive-field', 'resize'])} Choose 'receptive-field' or 'resize'."
        raise MethodError(message)
    if nan not in ("raise", "warn"):
        message = f"nan={nan!r} is not known; choose 'raise' or 'warn'."
        raise MethodError(message)
    whole = isinstance(batch_size, int | np.integer) and batch_size >= 1
    if batch_size is not None and not whole:
        message = f"batch_size is {batch_size!r}; give at least 1, or None to pick a size that fits."
        raise InputError(message)
    if class_names is not None and len(set(class_names)) < len(class_names):
        message = f"class_names holds a name twice: {', '.join(class_names)}. Give each class its own."
        raise InputError(message)


def check_samples(count: int, targets: Sequence[Target], **per_sample: Sequence[Any] | None) -> None:
    """Raise unless labels, names and targets have one entry for each of ``count`` samples."""
    for what, values in per_sample.items():
        if values is not None and len(values) != count:
            message = f"{len(values)} {what} for {count} samples. Give one a sample, in order."
            raise InputError(message)
    names = per_sample.get("sample_names")
    if names is not None and len(set(map(str, names))) < count:
        message = "sample_names holds a name twice. Give each sample its own."
        raise InputError(message)
    for target in targets:
        target.check_count(count)


def as_list(value: Any) -> Sequence[Any]:
    """Return a sequence: the value itself if it is a list or tuple, else a list of it."""
    if isinstance(value, list | tuple):
        if not value:
            message = "an empty list was given for method, layer or target. Give at least one, or leave it out."
            raise MethodError(message)
        return value
    return [value]


def split_labels(item: Any, layout: Any = None) -> tuple[Any, Any]:
    """Split ``(inputs, labels)`` as loaders yield it; anything else is inputs."""
    if isinstance(item, list) and _are_samples(item, layout):
        return item, None
    pair = isinstance(item, list | tuple) and len(item) == 2 and is_array(item[1])
    if pair and len(item[1].shape) == 1 and "int" in str(item[1].dtype):
        return item[0], item[1]
    return (
        tuple(item) if isinstance(item, list) and len(item) > 1 else item[0] if isinstance(item, list) else item
    ), None


def _are_samples(item: list[Any], layout: Any) -> bool:
    """Whether a list from a loader holds samples of unequal length, and not several inputs."""
    shapes = {tuple(each.shape) if is_array(each) else () for each in item}
    ranks = {len(each) for each in shapes}
    if len(shapes) < 2 or len(ranks) > 1 or () in shapes:
        return False
    if layout is not None and not isinstance(layout, Mapping):
        parsed = as_layout(layout)
        return parsed is not None and ranks == {len(parsed.dims) - 1}
    rows = {each[0] for each in shapes}
    return len(rows) > 1 or max(ranks) < 3  # several inputs have as many rows each


def encode_labels(labels: Sequence[Any], names: Sequence[str] | None, classes: int | None) -> np.ndarray:
    """Turn labels into class indices ``(b,)``.

    Args:
        labels: One index or name a sample.
        names: Of the classes.
        classes: How many the model tells apart, if it does.

    Raises:
        CamError: A label is no class.
    """
    index = _class_indices(labels, names)
    if classes is None:
        return index
    wrong = index[(index < 0) | (index >= classes)]
    if len(wrong):
        message = (
            f"label {wrong[0]} is no class: the model tells {classes} classes apart, 0 to {classes - 1}. "
            "Leave labels=... out where the true class is not known."
        )
        raise TargetError(message)
    return index


def _class_indices(labels: Sequence[Any], names: Sequence[str] | None) -> np.ndarray:
    try:
        plain = [each if isinstance(each, str) else int(each) for each in labels]
    except (TypeError, ValueError) as error:
        message = "labels must be one class index or name a sample, not rows of them. Pass y.argmax(1) for one-hot."
        raise InputError(message) from error
    broken = [label for label, index in zip(labels, plain, strict=True) if label != index]
    if broken:
        message = (
            f"label {broken[0]} is no class. Pass whole numbers, and leave labels out where they are measurements."
        )
        raise InputError(message)
    return np.asarray([class_index(each, names) for each in plain])
