"""The registry of file formats: suffixes and the function that opens each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signalcam.data.audio import open_audio
from signalcam.data.hdf5 import open_hdf5
from signalcam.data.images import open_image
from signalcam.data.mne_records import Epochs, open_mne
from signalcam.data.nifti import open_nifti
from signalcam.data.numpy_files import open_numpy
from signalcam.data.parquet import open_parquet
from signalcam.data.tables import open_csv
from signalcam.data.video import open_video
from signalcam.data.wfdb_records import open_wfdb, wfdb_files
from signalcam.data.zarr_arrays import open_zarr
from signalcam.errors import InputError, nearest


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        name: Name for ``open(path, format=...)``.
        suffixes: Endings of its file names, in lower case.
        open: From a path and the format's options to a ``Record``, or to a ``Reader`` if ``many``.
        many: Whether a file holds many samples.
        files: From a path to the other files that it refers to.
    """

    name: str
    suffixes: tuple[str, ...]
    open: Callable[..., Any]
    many: bool = False
    files: Callable[[str], Sequence[str]] | None = None

    @property
    def options(self) -> list[str]:
        """Names of the options of ``open``."""
        return list(inspect.signature(self.open).parameters)[1:]

    def check(self, options: Mapping[str, Any]) -> None:
        """Raise ``InputError`` for an unknown option."""
        for option in options:
            if option not in self.options:
                options_text = ", ".join(self.options) or "none"
                message = f"{option!r} is no option of {self.name} files, which have {options_text}.{nearest(option, self.options)}"
                raise InputError(message)


_formats: dict[str, Format] = {}


def register(name: str, suffixes: str | Iterable[str], opener: Callable[..., Any], *, many: bool = False) -> None:
    """Register a file format for ``open``.

    Args:
        name: Name of the format: ``open(path, format=name)``.
        suffixes: One or several, ``".abc"``. A suffix that is already registered belongs to the new format.
        opener: From a path and options of its own to a ``Record``: one signal, image or volume. It must be a
            function of a module, so that other processes find it.
        many: Whether a file holds many samples; ``opener`` then returns a ``Reader``.

    Raises:
        InputError: A suffix does not begin with a dot or a hyphen.

    Example:
        >>> import numpy as np
        >>> def open_ramp(path, *, length=5):
        ...     layout = sc.Layout("batch channel time", sampling_rate=10)
        ...     return sc.data.Record((1, length), layout, lambda start, stop: np.arange(start, stop)[None])
        >>> sc.data.register("ramp", ".ramp", open_ramp)
    """
    endings = (suffixes,) if isinstance(suffixes, str) else tuple(suffixes)
    if invalid := [each for each in endings if each[:1] not in (".", "-", "_")]:
        message = f"suffix {invalid[0]!r} of {name!r} does not begin with a dot. Write '.{invalid[0]}'."
        raise InputError(message)
    _add_format(Format(name, tuple(each.lower() for each in endings), opener, many))


def _add_format(new: Format) -> None:
    _formats.pop(new.name, None)
    _formats[new.name] = new


def formats() -> tuple[Format, ...]:
    """List every file format that can be read."""
    return tuple(_formats.values())


def find(name: str) -> Format:
    """Find a format by its name; raise ``InputError`` if there is none."""
    if name not in _formats:
        message = f"no kind of file is called {name!r}.{nearest(name, _formats)} {describe_formats()}"
        raise InputError(message)
    return _formats[name]


def format_of(path: Path) -> Format | None:
    """Find the format of a file by its longest matching suffix, on a tie the newest; ``None`` if none fits."""
    fitting = [
        (len(suffix), number, kind)
        for number, kind in enumerate(_formats.values())
        for suffix in kind.suffixes
        if path.name.lower().endswith(suffix)
    ]
    return max(fitting, key=lambda entry: entry[:2])[2] if fitting else None


def describe_formats() -> str:
    """Describe all formats and their suffixes in a sentence."""
    kinds = "; ".join(f"{each.name} ({' '.join(each.suffixes)})" for each in _formats.values())
    return f"Known are {kinds}. Others can be taught: signalcam.data.register."


for _each in (
    Format("numpy", (".npy", ".npz"), open_numpy, many=True),
    Format("zarr", (".zarr", ".zarr.zip"), open_zarr, many=True),
    Format("hdf5", (".h5", ".hdf5", ".hdf", ".mat"), open_hdf5, many=True),
    Format("parquet", (".parquet", ".pq", ".arrow", ".feather"), open_parquet, many=True),
    Format("wfdb", (".hea",), open_wfdb, files=wfdb_files),
    Format("mne", (".edf", ".bdf", ".fif", ".fif.gz"), open_mne),
    Format("epochs", ("-epo.fif", "_epo.fif", "-epo.fif.gz", "_epo.fif.gz"), Epochs, many=True),
    Format("audio", (".wav", ".flac", ".ogg", ".aif", ".aiff", ".mp3"), open_audio),
    Format("csv", (".csv", ".tsv"), open_csv),
    Format("image", (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"), open_image),
    Format("nifti", (".nii", ".nii.gz"), open_nifti),
    Format("video", (".mp4", ".avi", ".mov", ".mkv", ".webm"), open_video),
):
    _add_format(_each)
