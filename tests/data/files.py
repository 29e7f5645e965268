"""Small files of every kind, written without SignalCAM."""

import struct

import numpy as np

RATE = 100


def write_wav(path, signal, rate=RATE):
    import soundfile  # noqa: PLC0415

    soundfile.write(path, signal.T, rate, subtype="FLOAT" if path.suffix == ".wav" else "PCM_24")


def write_wfdb(folder, name, signal, rate=RATE, channels=None):
    import wfdb  # noqa: PLC0415

    channels = channels or [f"C{each}" for each in range(len(signal))]
    wfdb.wrsamp(
        name,
        rate,
        ["mV"] * len(signal),
        channels,
        signal.T.astype(float),
        fmt=["16"] * len(signal),
        adc_gain=[1000.0] * len(signal),
        baseline=[0] * len(signal),
        write_dir=str(folder),
    )
    return folder / f"{name}.hea"


def write_edf(path, signal, channels, rate=RATE, notes=()):
    """One-second blocks of 16 bits (EDF) or 24 (BDF), by the published layout of the header."""
    bdf = path.suffix == ".bdf"
    count, seconds = len(signal), signal.shape[1] // rate
    top = 2 ** (23 if bdf else 15)
    kinds = [*channels, *(["EDF Annotations"] if notes else [])]
    size = [rate] * count + ([60] if notes else [])

    def row(texts, width):
        return b"".join(str(text).ljust(width).encode() for text in texts)

    low, high = -top, top - 1
    header = b"\xffBIOSEMI" if bdf else b"0".ljust(8)
    header += row(["X X X X", "Startdate 01-JAN-2020 X X X"], 80) + b"01.01.2000.00.00"
    header += row([256 * (1 + len(kinds))], 8) + row(["24BIT" if bdf else "EDF+C" if notes else ""], 44)
    header += row([seconds, 1], 8) + row([len(kinds)], 4) + row(kinds, 16) + row([""] * len(kinds), 80)
    header += row(["uV"] * count + [""] * bool(notes), 8)
    header += row([-1000] * count + [-1] * bool(notes), 8) + row([1000] * count + [1] * bool(notes), 8)
    header += row([low] * len(kinds), 8) + row([high] * len(kinds), 8)
    header += row([""] * len(kinds), 80) + row(size, 8) + row([""] * len(kinds), 32)
    digital = np.rint((signal + 1000) / 2000 * (high - low) + low).astype("<i4")
    width = 3 if bdf else 2
    body = b""
    for second in range(seconds):
        for each in digital[:, second * rate : (second + 1) * rate]:
            body += b"".join(struct.pack("<i", value)[:width] for value in each)
        if notes:
            text = f"+{second}\x14\x14\x00" + "".join(
                f"+{at}\x14{name}\x14\x00" for at, name in notes if second <= at < second + 1
            )
            body += text.encode().ljust(120, b"\0")
    path.write_bytes(header + body)
