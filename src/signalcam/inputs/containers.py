"""Read pandas, xarray, MNE, wfdb and other objects, recognised by class name without an import."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from numbers import Real
from typing import Any

import numpy as np

from signalcam.arrays import Array, namespace
from signalcam.errors import CamWarning, InputError, LayoutError
from signalcam.inputs.container_data import ContainerData
from signalcam.inputs.layout import DUMMY, Layout, same_rate
from signalcam.inputs.pytree import is_array

_BATCH = ("batch", "sample")  # what the axis of samples may be called in an object with named axes
_DIMS = ("channel", "time", "frequency", "depth", "height", "width")


def read_container(container: Any, layout: Layout | None, channel_axis: int | None) -> ContainerData | None:
    """Read the signals of an object of another package.

    Args:
        container: An object of pandas (``DataFrame``, ``Series``), xarray (``DataArray``) or MNE (``Raw``, ``Epochs``,
            ``Evoked``). A wfdb ``Record``, a ``Batch`` of ``signalcam.data``, a pair ``(waveform, rate)``. A
            tokenizer's ``BatchEncoding``, another mapping that is no ``dict``, or a list of these.
        layout: The layout asked for; it wins over the object's own.
        channel_axis: Where the framework has the channels; ``None`` leaves them where they are, and adds none.

    Returns:
        The signals, in the order of ``layout``; ``None`` for any other object.

    Raises:
        CamError: The object cannot be read so, or its rate disagrees with the layout.
    """
    if isinstance(container, list) and container and all(_reader(each) for each in container):
        return _join_samples([read_container(each, layout, channel_axis) for each in container])
    reader = _reader(container)
    if reader is None:
        return None
    data = reader(container, layout)
    if data.layout is None or isinstance(data.array, dict):
        return data
    return _arranged(data, layout, channel_axis)


def _reader(container: Any) -> Callable[[Any, Layout | None], ContainerData] | None:
    """The function that reads an object, chosen by the names of its classes."""
    for kind in type(container).__mro__:
        package, name = kind.__module__.partition(".")[0], kind.__name__
        if (package, name) in _READERS:
            return _READERS[package, name]
    if isinstance(container, Mapping) and not isinstance(container, dict):
        return _mapping
    pair = isinstance(container, tuple) and len(container) == 2 and is_array(container[0])
    return _pair if pair and isinstance(container[1], Real) and not isinstance(container[1], bool) else None


# --- one reader an object -----------------------------------------------------------------------------


def _frame(frame: Any, _layout: Layout | None) -> ContainerData:
    """Read rows as time and columns as channels; the outer of two row levels is the sample."""
    levels = frame.index.nlevels
    if levels > 2:
        message = f"the rows of the DataFrame have {levels} levels; expected time, or sample and time. Drop the others with reset_index."
        raise LayoutError(message)
    values = _numeric(frame.to_numpy(), "DataFrame")
    layout: dict[str, Any] = {"channel_names": tuple(map(str, frame.columns))}
    if levels == 1:
        times = _clock(frame.index.to_numpy())
        return ContainerData(values[None], Layout("batch time channel", **layout, **times))
    outer, inner = (frame.index.get_level_values(level).to_numpy() for level in (0, 1))
    names = tuple(dict.fromkeys(outer.tolist()))
    rows = [np.flatnonzero(outer == name) for name in names]
    if len({len(each) for each in rows}) > 1:
        counts = sorted({len(each) for each in rows})
        message = f"the samples of the DataFrame have from {counts[0]} to {counts[-1]} rows; they must be alike. Pass a list of one DataFrame a sample."
        raise LayoutError(message)
    array = np.stack([values[each] for each in rows])
    times = _clock(inner[rows[0]])
    return ContainerData(array, Layout("batch time channel", **layout, **times), names)


def _series(series: Any, layout: Layout | None) -> ContainerData:
    return _frame(series.to_frame("0" if series.name is None else series.name), layout)


def _labelled(array: Any, layout: Layout | None) -> ContainerData:
    """Read an array with named axes, coordinates and attributes."""
    dims = [str(dim) for dim in array.dims]
    batch = _batch_dim(dims, layout)
    names = None
    if batch is not None and batch in array.coords:
        names = tuple(array.coords[batch].values.tolist())
    order = [dim for dim in dims if dim != batch]
    values = _numeric(np.asarray(array.values), "DataArray")
    values = np.moveaxis(values, dims.index(batch), 0) if batch is not None else values[None]
    about = _about_axes({dim: array.coords[dim] for dim in order if dim in array.coords})
    rates = [array.attrs[key] for key in ("sampling_rate", "sfreq", "fs") if key in array.attrs]
    if rates and "time" in order and "time" not in about.get("coordinates", {}):
        about.setdefault("sampling_rate", float(rates[0]))
    if "units" in array.attrs:
        about["units"] = str(array.attrs["units"])
    return ContainerData(values, Layout(("batch", *order), **about), names)


def _batch_dim(dims: Sequence[str], layout: Layout | None) -> str | None:
    """The axis of samples of a DataArray; ``None`` for a single sample."""
    batch_dims = [dim for dim in dims if dim in _BATCH]
    others = [dim for dim in dims if dim not in (layout.dims if layout else _DIMS)]
    if batch_dims or not others:
        return batch_dims[0] if batch_dims else None
    if layout and len(others) == 1:
        return others[0]
    message = f"which axis of the DataArray ({', '.join(dims)}) holds the samples is not known. Call it 'batch' or give a layout that names all the others."
    raise LayoutError(message)


def _about_axes(coords: Mapping[str, Any]) -> dict[str, Any]:
    """Names, rate and coordinates of axes, in a layout's terms."""
    about: dict[str, Any] = {}
    for dim, coord in coords.items():
        values = coord.values
        if dim == "channel":
            about["channel_names"] = tuple(map(str, values.tolist()))
        elif dim == "time" and values.dtype.kind in "mM":
            about |= _clock(values)
        elif values.dtype.kind in "fiu":
            about.setdefault("coordinates", {})[dim] = values
            if "units" in coord.attrs:
                about.setdefault("axis_units", {})[dim] = str(coord.attrs["units"])
    return about


def _mne_epochs(epochs: Any, _layout: Layout | None) -> ContainerData:
    names = tuple(int(each) for each in epochs.selection)
    codes = {code: name for name, code in epochs.event_id.items()}
    labels = tuple(codes.get(int(code), "") for code in epochs.events[:, 2])
    unique = len(set(names)) == len(names)
    has_labels = all(labels) and len(codes) == len(epochs.event_id)
    return ContainerData(
        epochs.get_data(), _mne_layout(epochs), names if unique else None, labels if has_labels else None
    )


def _mne_raw(raw: Any, _layout: Layout | None) -> ContainerData:
    return ContainerData(raw.get_data()[None], _mne_layout(raw))


def _mne_evoked(evoked: Any, _layout: Layout | None) -> ContainerData:
    names = (evoked.comment,) if evoked.comment else None
    return ContainerData(evoked.data[None], _mne_layout(evoked), names)


def _mne_layout(recording: Any) -> Layout:
    info = recording.info
    units = {int(channel["unit"]) for channel in info["chs"]}
    volts = units == {107}  # FIFF's number for volts
    times = np.asarray(recording.times, dtype=float)
    start: dict[str, Any] = {"coordinates": {"time": times}} if times[0] else {}
    return Layout(
        "batch channel time", float(info["sfreq"]), tuple(recording.ch_names), "V" if volts else None, **start
    )


def _wfdb_record(record: Any, _layout: Layout | None) -> ContainerData:
    if record.p_signal is None:
        message = f"record {record.record_name!r} holds no signal in physical units. Read it with wfdb.rdrecord(..., physical=True)."
        raise InputError(message)
    units = set(record.units or ())
    layout = Layout(
        "batch time channel", float(record.fs), tuple(record.sig_name), units.pop() if len(units) == 1 else None
    )
    return ContainerData(record.p_signal[None], layout, (str(record.record_name),))


def _read_batch(batch: Any, _layout: Layout | None) -> ContainerData:
    """Read a ``Batch`` of ``signalcam.data``; refuse one with samples that could not be read."""
    failed = dict(batch.failed)
    reason = next((f"The first, {number}: {why}" for number, why in failed.items()), "")
    if not len(batch):
        message = f"none of the {len(failed)} samples of the batch could be read. {reason}".rstrip()
        raise InputError(message)
    if failed:
        message = f"{len(failed)} of {len(failed) + len(batch)} samples could not be read and are left out. {reason}"
        warnings.warn(message, CamWarning, stacklevel=5)
    # numbers where names repeat, or one is missing
    names = batch.names if batch.names and len({*batch.names, None}) > len(batch) else batch.numbers
    return ContainerData(batch.inputs, batch.layout, tuple(names), batch.labels)


def _pair(pair: tuple[Array, float], _layout: Layout | None) -> ContainerData:
    """Read a waveform, ``(time,)``, ``(channel, time)`` or ``(batch, channel, time)``, and its rate."""
    waveform, rate = pair
    axes = ("batch", "channel", "time")[-len(waveform.shape) :]
    if len(waveform.shape) > 3:
        message = f"a waveform with a rate has shape {tuple(waveform.shape)}; expected (time,), (channel, time) or (batch, channel, time)."
        raise LayoutError(message)
    batched = waveform if axes[0] == "batch" else waveform[None]
    return ContainerData(batched, Layout(("batch", *(each for each in axes if each != "batch")), rate))


def _mapping(features: Mapping[Any, Any], _layout: Layout | None) -> ContainerData:
    """Read what a feature extractor or tokenizer returns."""
    return ContainerData({key: _array(each) for key, each in features.items()})


def _array(value: Any) -> Any:
    """Turn lists into an array, or into one array a sample where they are of unequal length."""
    if not isinstance(value, list):
        return value
    uneven = len({np.shape(each) and len(each) for each in value}) > 1
    return [np.asarray(each) for each in value] if uneven else np.asarray(value)


def _encoding(encoding: Any, requested: Layout | None) -> ContainerData:
    """Read a tokenizer's numbers, padding mask and tokens."""
    data = _mapping(encoding, requested)
    ids, marks = (data.array.get(name) for name in ("input_ids", "attention_mask"))
    if ids is None or np.ndim(ids[0]) != 1:
        return data
    lengths = None if isinstance(ids, list) or marks is None else _lengths(marks)
    names = None
    if len(encoding.encodings or ()) == len(ids):  # tokenizers in Rust keep the text, others do not
        cut = lengths or [len(row) for row in ids]
        names = [_texts(each)[:length] for each, length in zip(encoding.encodings, cut, strict=True)]
    layout = requested or Layout("batch token")
    token_names = names if "token" in layout.dims and not layout.token_names else layout.token_names
    return replace(data, layout=replace(layout, lengths=layout.lengths or lengths, token_names=token_names))


def _lengths(marks: Any) -> list[int] | None:
    """The lengths of samples from their masks; ``None`` where padding comes first."""
    real = np.asarray(marks.tolist() if hasattr(marks, "tolist") else marks).astype(bool)
    lengths = real.sum(axis=1)
    straight = (real == (np.arange(real.shape[1]) < lengths[:, None])).all()
    return lengths.tolist() if straight and lengths.all() else None


def _texts(encoding: Any) -> list[str]:
    """The tokens of one text; empty for special tokens."""
    return [
        "" if special else text for text, special in zip(encoding.tokens, encoding.special_tokens_mask, strict=True)
    ]


_READERS: dict[tuple[str, str], Callable[[Any, Layout | None], ContainerData]] = {
    ("pandas", "DataFrame"): _frame,
    ("pandas", "Series"): _series,
    ("xarray", "DataArray"): _labelled,
    ("mne", "BaseEpochs"): _mne_epochs,
    ("mne", "BaseRaw"): _mne_raw,
    ("mne", "Evoked"): _mne_evoked,
    ("wfdb", "Record"): _wfdb_record,
    ("wfdb", "MultiRecord"): _wfdb_record,
    ("transformers", "BatchEncoding"): _encoding,
    ("signalcam", "Batch"): _read_batch,
}


def _numeric(values: np.ndarray, kind: str) -> np.ndarray:
    if values.dtype.kind not in "fiub":
        message = f"the {kind} holds {values.dtype} values; expected numbers. Drop or convert what is none."
        raise InputError(message)
    return values


def _clock(index: np.ndarray) -> dict[str, Any]:
    """Rate and start from an index of dates, durations or fractions; whole numbers count samples."""
    if index.dtype.kind in "mM":
        index = (index - index[0]) / np.timedelta64(1, "s")
    if index.dtype.kind != "f":
        return {}
    steps = np.diff(index)
    even = len(steps) and steps[0] > 0 and np.ptp(steps) <= 1e-3 * abs(steps.mean())
    rate = {"sampling_rate": _plain(1 / float(steps.mean()))} if even else {}
    return rate if rate and not index[0] else {**rate, "coordinates": {"time": index}}


def _plain(rate: float) -> float:
    """Round away digits left by a division."""
    return float(round(rate)) if abs(rate - round(rate)) < 1e-6 * rate else rate


# --- in the order asked for ---------------------------------------------------------------------------


def _arranged(data: ContainerData, requested: Layout | None, channel_axis: int | None) -> ContainerData:
    """Transpose to the layout asked for, and merge it with the object's own."""
    own = data.layout or Layout("batch")
    dims = requested.dims if requested else _usual(own.dims, channel_axis)
    uneven = isinstance(data.array, list)
    array = (
        [_ordered(each[None], own.dims, dims)[0] for each in data.array]
        if uneven
        else _ordered(data.array, own.dims, dims)
    )
    return replace(data, array=array, layout=_merged(own, requested or Layout(dims), dims))


def _usual(dims: Sequence[str], channel_axis: int | None) -> tuple[str, ...]:
    """The object's own order of axes, with channels where the framework has them."""
    rest = [dim for dim in dims if dim != "channel"]
    if channel_axis is None:
        return tuple(dims)
    if "channel" in dims or rest == ["batch", "time"]:
        rest.insert(channel_axis if channel_axis > 0 else len(rest), "channel")
    return tuple(rest)


def _ordered(array: Any, own: Sequence[str], dims: Sequence[str]) -> Any:
    """Transpose to some axes; axes with one entry are added or dropped."""
    sizes = dict(zip(own, array.shape, strict=True))
    real = [dim for dim in dims if dim in sizes]
    lost = [dim for dim in own if dim not in dims and sizes[dim] != 1]
    if lost or [dim for dim in dims if dim not in sizes and dim not in (*DUMMY, "channel")]:
        message = f"the object has axes {_format_sizes(sizes)}, but the layout asks for {' '.join(dims)!r}. Name the axes as the object does, each with its own."
        raise LayoutError(message)
    xp = namespace(array)
    real_dims = [dim for dim in own if dim in real]
    array = xp.reshape(array, tuple(sizes[dim] for dim in real_dims))
    turned = xp.permute_dims(array, tuple(real_dims.index(dim) for dim in real))
    return xp.reshape(turned, tuple(sizes.get(dim, 1) for dim in dims))


def _format_sizes(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{dim} ({size})" for dim, size in sizes.items())


def _merged(own: Layout, requested: Layout, dims: Sequence[str]) -> Layout:
    """Merge two layouts; the user's entries win."""
    mine, yours = _rate(own), _rate(requested)
    if mine and yours and not same_rate(mine, yours):
        message = f"the layout says {yours:g} samples a second, but the object itself says {mine:g}. Leave sampling_rate out of the layout, or resample the signal."
        raise LayoutError(message)
    timed = [name for name in ("coordinates", "spacing") if "time" in (getattr(requested, name) or {})]
    options: dict[str, Any] = {}
    for name in (each.name for each in fields(Layout)):
        here, there = getattr(own, name), getattr(requested, name)
        if isinstance(here, dict):
            here = {dim: each for dim, each in here.items() if dim in dims and not (timed and dim == "time")}
            there = {**here, **(there or {})} or None
        options[name] = here if there is None else there
    if timed or "time" not in dims:
        options["sampling_rate"] = requested.sampling_rate
    if "channel" not in dims:
        options["channel_names"] = requested.channel_names
    return Layout(**{**options, "dims": tuple(dims)})


def _rate(layout: Layout) -> float | None:
    """The sampling rate, however the layout gives it."""
    if layout.sampling_rate:
        return layout.sampling_rate
    places = (layout.coordinates or {}).get("time")
    if "time" not in layout.dims or layout.unit("time") != "s" or (places and len(places) < 2):
        return None
    line = layout.line("time", len(places) if places else 2)
    return 1 / line[1] if line else None


def _join_samples(parts: Sequence[ContainerData | None]) -> ContainerData:
    """Join several objects with equal axes to one batch."""
    present = [each for each in parts if each]
    rates = [each.layout and _rate(each.layout) for each in present]
    for rate in rates[1:]:
        if rate and rates[0] and not same_rate(rate, rates[0]):
            message = (
                f"the signals of the list have {rates[0]:g} and {rate:g} samples a second. Resample them to one rate."
            )
            raise LayoutError(message)
    channels = {each.layout and each.layout.channel_names for each in present}
    if len(channels) > 1:
        message = f"the signals of the list have different channels: {' and '.join(map(str, list(channels)[:2]))}. Give all of them the same, in one order."
        raise LayoutError(message)
    names = tuple(name for each in present for name in each.sample_names or ())
    unique = len(names) == len(present) and len(set(names)) == len(names)
    arrays = [each.array for each in present]
    if len({tuple(each.shape[1:]) for each in arrays}) > 1:
        array: Any = [row for each in arrays for row in each]
        layout = present[0].layout and replace(present[0].layout, coordinates=None)
    else:
        array, layout = namespace(arrays[0]).concat(arrays, axis=0), present[0].layout
    return ContainerData(array, layout, names if unique else None)
