"""Readers of signals, images and volumes: samples by number, from files or memory."""

from signalcam.data.batching import batches
from signalcam.data.kinds import Format, formats, register
from signalcam.data.memory import of
from signalcam.data.opening import open  # noqa: A004 - a public name, called as sc.data.open
from signalcam.data.protocol import Batch, Reader
from signalcam.data.records import Record, Windows

__all__ = ["Batch", "Format", "Reader", "Record", "Windows", "batches", "formats", "of", "open", "register"]
