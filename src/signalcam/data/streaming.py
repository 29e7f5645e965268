"""The reader of batch streams: data loaders, TensorFlow data sets and generator functions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import RLock
from typing import Any

import numpy as np

from signalcam.data.collate import Entry, collate_samples, describe_error, require_numbers, to_python
from signalcam.data.file_stamp import digest
from signalcam.data.protocol import Batch
from signalcam.errors import InputError, MissingExtra
from signalcam.inputs.layout import Layout

_SHUFFLING_SAMPLERS = {"RandomSampler", "SubsetRandomSampler", "WeightedRandomSampler"}  # of PyTorch
_FINGERPRINT_SAMPLES = 8  # first samples that enter the fingerprint
_KEEP_FACTOR = 4  # a stream keeps its last samples: this many times the largest request


# --- batches and their samples -----------------------------------------------------------------------


@dataclass(frozen=True)
class Keys:
    """Keys of the input, the true class and the name in samples or batches that are dicts."""

    inputs: str | None = None
    labels: str | None = None
    names: str | None = None

    def split(self, item: Any) -> Entry:
        """Split ``x``, ``(x, y)`` or a dict into input, class and name; the last two may be ``None``."""
        if isinstance(item, Mapping):
            return tuple(self._select(item, each) for each in ("inputs", "labels", "names"))
        if isinstance(item, tuple) and len(item) == 2:
            inputs, _, name = self.split(item[0]) if isinstance(item[0], Mapping) else (item[0], None, None)
            return inputs, item[1], name
        if isinstance(item, tuple) and len(item) != 1:
            message = f"it is a tuple of {len(item)}; expected x, (x, y), or a dict with inputs='...' saying which is the input."
            raise InputError(message)
        return (item[0] if isinstance(item, tuple) else item), None, None

    def _select(self, item: Mapping[str, Any], field: str) -> Any:
        key = getattr(self, field)
        if key is None and field != "inputs":
            return None
        if key not in item:
            message = f"it is a dict of {', '.join(map(repr, item))}; say which of them are the {field}, as in {field}={next(iter(item), 'x')!r}."
            raise InputError(message)
        return item[key]


def as_array(value: Any) -> np.ndarray:
    """Copy a tensor or array of any library to NumPy; loaders may reuse their buffers."""
    array = np.array(_to_numpy(value))
    if array.dtype.kind in "OSU":
        message = f"it is {type(value).__name__} of {array.dtype} values; expected an array of numbers."
        raise InputError(message)
    return array


def _to_numpy(value: Any) -> Any:
    """Convert a tensor to NumPy; return anything else unchanged."""
    value = value.detach().cpu() if hasattr(value, "detach") else value
    return value.numpy() if hasattr(value, "numpy") else value


def class_of(label: Any) -> Any:
    """Convert a label to a class number or name; ``None`` for anything else, such as a regression value.

    Of floats only 0.0 and 1.0 are classes, as losses of two classes use them. A value of 72.0 may be a pulse.
    """
    array = np.asarray(_to_numpy(label))
    if array.size != 1 or array.dtype.kind == "c":
        return None
    value = to_python(array.reshape(())[()])
    if array.dtype.kind == "f":
        return int(value) if value in (0, 1) else None
    return value


def entries_of(item: Any, keys: Keys) -> list[Entry]:
    """Split a batch into samples; raise ``InputError`` if it is none."""
    pair = isinstance(item, list) and len(item) == 2 and is_pair(item)
    inputs, labels, names = keys.split(tuple(item) if pair else item)
    if labels is not None and np.ndim(labels) == 0:  # a single sample, not a batch
        return [(as_array(inputs), class_of(labels), to_python(_to_numpy(names)))]
    rows = _split_rows(inputs)
    columns = [(None,) * len(rows) if each is None else each for each in (labels, names)]
    if mismatched := [each for each in columns if len(each) != len(rows)]:
        message = f"a batch has {len(mismatched[0])} labels or names for {len(rows)} samples; expected one each."
        raise InputError(message)
    return [
        (row, None if label is None else class_of(label), to_python(_to_numpy(name)))
        for row, label, name in zip(rows, *columns, strict=True)
    ]


def is_pair(item: Sequence[Any]) -> bool:
    """Whether a sequence of two is an input and its class, and not two samples."""
    return isinstance(item[0], Mapping) or np.ndim(item[1]) < np.ndim(item[0])


def _split_rows(inputs: Any) -> Sequence[np.ndarray]:
    """Split the inputs of a batch, an array or a list of any lengths, into samples."""
    if isinstance(inputs, tuple):
        message = (
            f"it has {len(inputs)} inputs, but a reader's samples have one. Stream it: Explainer(...).stream(batches)."
        )
        raise InputError(message)
    rows = [as_array(each) for each in inputs] if isinstance(inputs, list) else as_array(inputs)
    if np.ndim(rows[0] if len(rows) else rows) == 0:
        message = f"a batch has shape {np.shape(rows)}; expected samples first, then their axes."
        raise InputError(message)
    return rows  # type: ignore[return-value] # an array is a sequence of its rows


# --- passes over a stream ----------------------------------------------------------------------------


def start_pass(samples: Any) -> Iterator[Any]:
    """Start iterating over a stream of batches, or over what a function returns.

    Raises:
        InputError: It is shuffled, or cannot be iterated over.
    """
    try:
        source = samples if hasattr(samples, "__iter__") or is_batched(samples) else samples()
        _require_order(source)
        return _iterate(source)
    except (InputError, MissingExtra, MemoryError):
        raise
    except Exception as error:
        message = f"{type(samples).__name__} cannot be iterated: {describe_error(error)}. Pass an iterable of batches, or a function that returns one."
        raise InputError(message) from error


def _iterate(source: Any) -> Iterator[Any]:
    if is_batched(source):
        return (source[each] for each in range(len(source)))
    if _is_collated(source):  # PyTorch's collation turns tuples into lists
        return (tuple(each) if isinstance(each, list) else each for each in source)
    return iter(source)


def _is_collated(loader: Any) -> bool:
    """Whether a loader uses PyTorch's default collation."""
    name = getattr(getattr(loader, "collate_fn", None), "__name__", "")
    return name in ("default_collate", "default_convert")


def is_batched(source: Any) -> bool:
    """Whether an object has whole batches by number, as a Keras ``PyDataset``."""
    return hasattr(source, "on_epoch_end") and hasattr(source, "__getitem__")


def is_by_number(source: Any) -> bool:
    """Whether an object has a length and samples by number."""
    return hasattr(source, "__getitem__") and hasattr(source, "__len__") and not is_batched(source)


def dataset_of_loader(loader: Any) -> Any:
    """Data set of a loader that keeps its samples unchanged and in order, else the loader itself."""
    in_order = type(getattr(loader, "sampler", None)).__name__ == "SequentialSampler"
    inner = getattr(loader, "dataset", None)
    is_complete = getattr(loader, "batch_size", None) is not None and not getattr(loader, "drop_last", False)
    return inner if is_complete and in_order and _is_collated(loader) and is_by_number(inner) else loader


def _require_order(loader: Any) -> None:
    samplers = [getattr(each, "sampler", None) for each in (loader, getattr(loader, "batch_sampler", None))]
    kinds = {kind.__name__ for each in samplers for kind in type(each).__mro__}
    shuffles = any(getattr(each, "shuffle", None) is True for each in (loader, *samplers))
    if shuffles or kinds & _SHUFFLING_SAMPLERS or not getattr(loader, "in_order", True):
        message = f"{type(loader).__name__} draws the order of its samples anew in each pass, so they have no numbers. Turn off shuffling: shuffle=False, or a sampler of fixed order."
        raise InputError(message)


@dataclass(eq=False)
class Pass:
    """One pass over a stream: its position and the last samples.

    Attributes:
        batches: The batches still to come.
        keys: Keys of batches that are dicts.
        end: Number of samples so far.
        over: Why the pass ended; empty while it goes on.
        broken: Whether it ended by an error.
    """

    batches: Iterator[Any]
    keys: Keys
    end: int = 0
    over: str = ""
    broken: bool = False
    _came: deque[tuple[int, list[Entry]]] = field(default_factory=deque)

    @property
    def begin(self) -> int:
        """Number of the first sample that is still kept."""
        return self._came[0][0] if self._came else self.end

    def advance(self) -> None:
        """Take the next batch."""
        try:
            entries = entries_of(next(self.batches), self.keys)
        except StopIteration:
            self.over = f"the stream ends after {self.end} samples"
        except (MissingExtra, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - loaders raise anything; the reason is kept by sample
            self.broken = True
            self.over = f"the stream breaks off after {self.end} samples: {describe_error(error)}"
        else:
            self._came.append((self.end, entries))
            self.end += len(entries)

    def forget(self, keep: int) -> None:
        """Drop all but the last ``keep`` samples, by whole batches."""
        while len(self._came) > 1 and self.end - self._came[1][0] >= keep:
            self._came.popleft()

    @property
    def kept_entries(self) -> list[Entry]:
        """The samples that are still kept."""
        return [entry for _, entries in self._came for entry in entries]

    def entry(self, number: int) -> Entry:
        """Return a sample that is still kept."""
        first, entries = next(each for each in self._came if number < each[0] + len(each[1]))
        return entries[number - first]


@dataclass(eq=False)
class Stream:
    """A reader of a stream of batches that restarts and always yields equal samples.

    A later sample is reached by reading on, an earlier one by restarting. The last samples are kept.

    Args:
        source: An iterable of batches, or a function that returns one.
        keys: Keys of batches that are dicts.
        length: Number of samples; ``None`` runs through once to count them.
        labels: One per sample, in place of those in the batches.
        names: One per sample, in place of those in the batches.
        layout: Layout of the samples.
        edition: Text that changes when the data change.

    Raises:
        InputError: The stream cannot restart, or yields other samples each time.
    """

    source: Any
    keys: Keys = field(default_factory=Keys)
    length: int | None = None
    labels: Sequence[Any] | None = None
    names: Sequence[Any] | None = None
    layout: Layout | None = None
    edition: str | None = None

    def __post_init__(self) -> None:
        self._lock, self._most = RLock(), _FINGERPRINT_SAMPLES
        first, second = start_pass(self.source), start_pass(self.source)
        if first is second:
            message = f"a {type(first).__name__} can be iterated only once. Pass a function that returns a new one, or stream it: Explainer(...).stream(batches)."
            raise InputError(message)
        self._pass: Pass | None = self._require_same_start(Pass(first, self.keys), Pass(second, self.keys))
        self._count = self._count_samples() if self.length is None else self.length

    def __len__(self) -> int:
        return self._count

    def __getstate__(self) -> dict[str, Any]:
        """Pickle everything but the lock and the current pass."""
        return {name: each for name, each in vars(self).items() if name not in ("_lock", "_pass")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._lock, self._pass = RLock(), None

    @cached_property
    def fingerprint(self) -> str:
        """Hash of length, edition and the first samples; later samples do not enter."""
        first = self.read(range(min(_FINGERPRINT_SAMPLES, len(self))))
        arrays = [(each.shape, str(each.dtype), each.tobytes()) for each in first.inputs]
        about = (self.keys, self.edition, self.layout, first.labels, first.names)
        attached = [None if each is None else list(each) for each in (self.labels, self.names)]
        return digest([len(self), *about, *attached, *arrays])

    def read(self, numbers: Sequence[int]) -> Batch:
        """Read samples by reading on, or from the start if needed; see ``Reader``."""
        order = require_numbers(numbers, len(self))
        entries: dict[int, Entry] = {}
        failed: dict[int, str] = {}
        with self._lock:
            self._most = max(self._most, len(order))
            for number in sorted(set(order)):
                come = self._advance_to(number)
                if number < come.end:
                    entries[number] = self._with_labels(number, come.entry(number))
                else:
                    failed[number] = come.over
        return collate_samples(order, entries, failed, self.layout)

    def _advance_to(self, number: int) -> Pass:
        """Advance to a sample; the pass then keeps it, or is over before it."""
        if self._pass is None or number < self._pass.begin:
            self._pass = Pass(start_pass(self.source), self.keys)
        while self._pass.end <= number and not self._pass.over:
            self._pass.advance()
            self._pass.forget(_KEEP_FACTOR * self._most)
        return self._pass

    def _with_labels(self, number: int, entry: Entry) -> Entry:
        array, label, name = entry
        label = label if self.labels is None else to_python(self.labels[number])
        return array, label, name if self.names is None else to_python(self.names[number])

    def _require_same_start(self, first_pass: Pass, second_pass: Pass) -> Pass:
        """Return the first pass; raise if the first batches of both differ or fail."""
        for one_pass in (first_pass, second_pass):
            one_pass.advance()
            if one_pass.broken:
                raise InputError(f"{one_pass.over}")
        passes = (first_pass, second_pass)
        first, second = (digest((x[0].tobytes(), x[1:]) for x in each.kept_entries) for each in passes)
        if first != second:
            message = f"{type(self.source).__name__} gives other samples in each pass. Turn off shuffling and random augmentation, or seed them at the start of a pass."
            raise InputError(message)
        return first_pass

    def _count_samples(self) -> int:
        """Run through the stream once and count its samples."""
        cardinality = getattr(self.source, "cardinality", None)
        if callable(cardinality) and int(cardinality()) == -1:  # TensorFlow's code for infinite
            message = f"{type(self.source).__name__} has no end. Leave .repeat() out, or give the number of samples, length=...."
            raise InputError(message)
        full_pass = Pass(start_pass(self.source), self.keys)
        while not full_pass.over:
            full_pass.advance()
            full_pass.forget(0)
        if full_pass.broken:
            message = (
                f"{full_pass.over}, so the samples cannot be counted. Repair it, or give their number, length=...."
            )
            raise InputError(message)
        return full_pass.end
