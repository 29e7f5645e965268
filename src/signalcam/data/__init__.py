"""Readers of signals, images and volumes: samples by number, from files or from memory."""

from signalcam.data.formats import Format, formats, register
from signalcam.data.iterate import batches
from signalcam.data.memory import of
from signalcam.data.open import open  # noqa: A004 - a public name, called as sc.data.open
from signalcam.data.protocol import Batch, Reader
from signalcam.data.windows import Record, Windows

__all__ = ["Batch", "Format", "Reader", "Record", "Windows", "batches", "formats", "of", "open", "register"]
