"""Select the inputs to explain; attach their layouts and layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from signalcam.errors import InputError, LayoutError, MethodError
from signalcam.inputs.conversion import resolve_path
from signalcam.inputs.layout import Layout, as_layout, check_layout, check_lengths
from signalcam.inputs.padding import RaggedArray, RaggedBatch, check_ragged, cut_to_lengths, length_axes
from signalcam.inputs.pytree import Inputs, Path, is_array, leaves, path_to_str, unpack_extra
from signalcam.inputs.validation import as_list


@dataclass(frozen=True)
class ExplainedInputs:
    """The inputs of one call, with layouts and the layers asked for.

    Attributes:
        samples: All of them, cut where a layout says how long they are.
        whole: The padded arrays these were cut from; ``None`` where nothing was.
        names: Of those that maps are drawn on; one empty name where nobody said which.
        paths: Keys that lead to them.
        layouts: By the keys that lead to an input.
        layers: For each that maps are drawn on the layers asked for; ``None`` where nobody said.
    """

    samples: RaggedBatch
    whole: Inputs | None
    names: tuple[str, ...]
    paths: tuple[Path, ...]
    layouts: Mapping[Path, Layout | None]
    layers: tuple[Any, ...]


def select_inputs(
    inputs: Inputs, of: Any, layout: Any, layer: Any, channel_axis: int, to_numpy: Callable[[Any], np.ndarray]
) -> ExplainedInputs:
    """Select the inputs to explain, and check their layouts.

    Args:
        inputs: The inputs.
        of: Which of them maps are drawn on; see ``Explainer``.
        layout: See ``Explainer``.
        layer: See ``Explainer``.
        channel_axis: Where the model has its channels.
        to_numpy: From the model's arrays to NumPy.

    Raises:
        CamError: A name is no input, or what was said does not fit.
    """
    requested = [None] if of is None else list(of) if isinstance(of, list) else [of]
    paths = tuple(inputs.path if each is None else resolve_path(each, inputs.tree) for each in requested)
    if len(set(paths)) < len(paths) or not paths:
        message = "of=[...] holds an input twice, or none. Name each input once."
        raise InputError(message)
    layouts = _layouts(inputs, paths, layout)
    inputs = inputs.at(paths[0])
    short = _cut(inputs, layouts, channel_axis)
    _check(short, layouts, channel_axis, to_numpy)
    layouts_without_lengths = {
        path: None if layout is None else replace(layout, lengths=None) for path, layout in layouts.items()
    }
    names = tuple(
        "" if name is None else path_to_str(name if isinstance(name, tuple) else (name,)) for name in requested
    )
    about = {
        path: length_axes(layouts_without_lengths.get(path), len(array.shape), channel_axis)
        for path, array in _inputs(short)
    }
    return ExplainedInputs(
        RaggedBatch(short, about, to_numpy),
        None if short is inputs else inputs,
        names,
        paths,
        layouts_without_lengths,
        _layers(inputs, paths, layer),
    )


def describe_extra(inputs: Inputs) -> dict[str, str]:
    """Names of the other inputs and keyword arguments, for provenance."""
    tree, extra = unpack_extra(inputs.tree)
    start = (0,) if extra else ()
    others = [path_to_str(path) for path, each in leaves(tree) if each is not None and (*start, *path) != inputs.path]
    return {name: ", ".join(each) for name, each in (("inputs", others), ("extra", extra)) if each}


def _inputs(inputs: Inputs) -> list[tuple[Path, Any]]:
    return [(path, each) for path, each in leaves(inputs.tree) if is_array(each) or isinstance(each, RaggedArray)]


def _by_input(inputs: Inputs, value: Mapping[Any, Any]) -> dict[Path, Any]:
    return {resolve_path(key, inputs.tree): each for key, each in value.items()}


def _layouts(inputs: Inputs, paths: Sequence[Path], layout: Any) -> dict[Path, Layout | None]:
    if isinstance(layout, Mapping):
        return {path: as_layout(each) for path, each in _by_input(inputs, layout).items()}
    if layout is not None and len(paths) > 1:
        message = "one layout was given for several inputs. Give a dict: layout={'ecg': ..., 'audio': ...}."
        raise LayoutError(message)
    return {paths[0]: as_layout(layout)}


def _layers(inputs: Inputs, paths: Sequence[Path], layer: Any) -> tuple[Any, ...]:
    if isinstance(layer, Mapping):
        own = _by_input(inputs, layer)
        unused = [path for path in own if path not in paths]
        if unused:
            message = f"layer names {path_to_str(unused[0][-1:])!r}, which no map is drawn on. Name it in of=[...] too."
            raise InputError(message)
        return tuple(own.get(path) for path in paths)
    if layer is not None and len(paths) > 1:
        message = "one layer was given for several inputs. Give a dict: layer={'ecg': 'ecg_net.conv3', 'audio': ...}."
        raise MethodError(message)
    return (None if layer is None else as_list(layer),) * len(paths)


def _cut(inputs: Inputs, layouts: Mapping[Path, Layout | None], channel_axis: int) -> Inputs:
    """Cut padded arrays to the lengths their layouts give."""
    for path, layout in layouts.items():
        if layout is None or layout.lengths is None:
            continue
        array = inputs.at(path).explained
        if isinstance(array, RaggedArray):
            message = (
                "lengths are for padded arrays, and a list of samples was given, which has its own. Leave them out."
            )
            raise LayoutError(message)
        check_layout(layout, array.shape)
        axes = length_axes(layout, len(array.shape), channel_axis)
        if len(axes) != 1:
            message = f"lengths need an axis called 'time' in the layout {' '.join(layout.dims)!r}."
            raise LayoutError(message)
        check_lengths(layout.lengths, array.shape, axes[0])
        if min(layout.lengths) < array.shape[axes[0]]:
            inputs = cut_to_lengths(inputs, path, axes[0], layout.lengths)
    return inputs


def _check(
    inputs: Inputs, layouts: Mapping[Path, Layout | None], channel_axis: int, numpy: Callable[[Any], np.ndarray]
) -> None:
    for path, layout in layouts.items():
        array = inputs.at(path).explained
        check_layout(layout, array.shape)
        if layout is not None and layout.token_names is not None:
            _check_names(layout.token_names, array, layout.dims.index("token"), numpy)
    for path, items in _inputs(inputs):
        if isinstance(items, RaggedArray):
            check_ragged(items, layouts.get(path), channel_axis)
    counts = {each.shape[0] for _, each in _inputs(inputs) if isinstance(each, RaggedArray)}
    if len(counts | {inputs.explained.shape[0]} if counts else ()) > 1:
        message = f"the inputs hold {' and '.join(map(str, sorted(counts | {inputs.explained.shape[0]})))} samples. Give as many of each."
        raise InputError(message)


def _check_names(names: Sequence[Sequence[str]], array: Any, axis: int, numpy: Callable[[Any], np.ndarray]) -> None:
    """Raise a ``LayoutError`` unless every token has a name; padding at the end may have none."""
    if len(names) != array.shape[0]:
        message = f"token_names holds {len(names)} lists for {array.shape[0]} samples. Give one a sample, in order."
        raise LayoutError(message)
    cut = isinstance(array, RaggedArray)
    most = array.shapes[:, axis - 1] if cut else [array.shape[axis]] * len(names)
    for row, (own, count) in enumerate(zip(names, most, strict=True)):
        if len(own) > count or (cut and len(own) < count):
            message = f"token_names holds {len(own)} names for sample {row}, which has {count} tokens. Give one a token, in order."
            raise LayoutError(message)
    if not cut and len(array.shape) == 2:
        _check_padding(names, numpy(array))


def _check_padding(names: Sequence[Sequence[str]], tokens: np.ndarray) -> None:
    """Raise where tokens after the last name differ: padding is one number, so names may be one off."""
    name_counts = np.asarray([len(own) for own in names])
    padding_values = np.unique(tokens[np.arange(tokens.shape[1]) >= name_counts[:, None]])
    if len(padding_values) > 1:
        message = f"the tokens behind those that token_names names are {padding_values[0]}, {padding_values[1]}, ...; padding would be one number. Give one name a token, also for what stands before and behind a text ('' is not drawn)."
        raise LayoutError(message)
