"""WFDB, EDF, BDF, FIF and sound: what was written is what is read, whole and in part."""

import mne
import numpy as np
import pytest
import soundfile
import wfdb
from data.files import write_edf, write_wav, write_wfdb

import signalcam as sc


def test_wfdb_records_come_in_physical_units(tmp_path, signal):
    write_wfdb(tmp_path, "100", signal, channels=["MLII", "V5"])
    batch = sc.data.open(tmp_path / "100.hea").read([0])
    np.testing.assert_allclose(batch.inputs[0], signal, atol=5e-4)
    layout = batch.layout
    assert (layout.sampling_rate, layout.channel_names, layout.units) == (100, ("MLII", "V5"), "mV")
    assert batch.names == ("100",)


def test_wfdb_windows_lie_around_annotations(tmp_path, signal):
    write_wfdb(tmp_path, "100", signal)
    wfdb.wrann("100", "atr", np.array([5, 60, 200, 399]), ["N", "V", "N", "V"], write_dir=str(tmp_path))
    windows = sc.data.Windows(0.4, around="atr")
    reader = sc.data.open(tmp_path / "100.hea", windows=windows, channels=["C1"])
    batch = reader.read(range(len(reader)))
    assert batch.labels == ("V", "N")
    assert batch.names == ("100[40:80]", "100[180:220]")
    np.testing.assert_allclose(batch.inputs[1, 0], signal[1, 180:220], atol=5e-4)
    padded = sc.data.open(tmp_path / "100.hea", windows=sc.data.Windows(0.4, None, "pad", "atr"))
    assert len(padded) == 4
    first, last = padded.read([0, 3]).inputs
    np.testing.assert_allclose(first[:, 15:], signal[:, :25], atol=5e-4)
    np.testing.assert_allclose(last[:, :21], signal[:, 379:], atol=5e-4)
    assert not first[:, :15].any()
    assert not last[:, 21:].any()


def test_a_gap_in_a_wfdb_record_is_told(tmp_path, signal):
    signal[0, 10:14] = np.nan
    write_wfdb(tmp_path, "100", signal)
    reader = sc.data.open(tmp_path / "100.hea", windows=1.0)
    batch = reader.read(range(4))
    assert batch.numbers == (1, 2, 3)
    assert "4 of its 200 values are NaN" in batch.failed[0]


def test_the_fingerprint_of_a_wfdb_record_sees_its_signal_file(tmp_path, signal):
    write_wfdb(tmp_path, "100", signal)
    reader = sc.data.open(tmp_path / "100.hea")
    before = reader.fingerprint
    write_wfdb(tmp_path, "100", signal + 1)
    assert sc.data.open(tmp_path / "100.hea").fingerprint != before


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
def test_edf_and_bdf_are_read_in_volts(tmp_path, signal, suffix):
    write_edf(tmp_path / f"x{suffix}", 100 * signal, ["Fz", "Cz"])
    batch = sc.data.open(tmp_path / f"x{suffix}", channels=["Cz"]).read([0])
    np.testing.assert_allclose(batch.inputs[0, 0], 1e-4 * signal[1], atol=4e-8)
    layout = batch.layout
    assert (layout.sampling_rate, layout.channel_names, layout.units) == (100, ("Cz",), "V")


def test_windows_lie_around_the_annotations_of_an_edf(tmp_path, signal):
    write_edf(tmp_path / "x.edf", 100 * signal, ["Fz", "Cz"], notes=[(0.5, "left"), (2.25, "right")])
    reader = sc.data.open(tmp_path / "x.edf", windows=sc.data.Windows(0.2, around="annotations"))
    batch = reader.read([1, 0])
    assert batch.labels == ("right", "left")
    np.testing.assert_allclose(batch.inputs[0], 1e-4 * signal[:, 215:235], atol=4e-8)
    other = sc.data.open(tmp_path / "x.edf", windows=sc.data.Windows(0.2, around="atr"))
    assert "no events 'atr'. Take around='annotations'" in other.read([0]).failed[0]


def recording(signal):
    info = mne.create_info(["Fz", "Cz"], 100.0, "eeg")
    return mne.io.RawArray(1e-5 * signal, info, verbose="ERROR")


def test_fif_recordings_and_their_annotations_are_read(tmp_path, signal):
    raw = recording(signal)
    raw.set_annotations(mne.Annotations([1.0, 3.0], 0.0, ["a", "b"]))
    raw.save(tmp_path / "x_raw.fif", fmt="double", verbose="ERROR")
    reader = sc.data.open(tmp_path / "x_raw.fif", windows=sc.data.Windows(20, around="annotations", unit="samples"))
    batch = reader.read([0, 1])
    assert batch.labels == ("a", "b")
    np.testing.assert_allclose(batch.inputs[1], 1e-5 * signal[:, 290:310])


def test_annotations_of_a_cut_recording_stay_where_they_were(tmp_path, signal):
    raw = recording(signal)
    raw.set_meas_date(0)
    raw.set_annotations(mne.Annotations([2.0], 0.0, ["a"], orig_time=raw.info["meas_date"]))
    raw.crop(1.0).save(tmp_path / "x_raw.fif", fmt="double", verbose="ERROR")
    reader = sc.data.open(tmp_path / "x_raw.fif", windows=sc.data.Windows(0.2, around="annotations"))
    np.testing.assert_allclose(reader.read([0]).inputs[0], 1e-5 * signal[:, 190:210])


def test_epochs_are_samples_with_the_names_of_their_events(tmp_path, signal):
    events = np.array([[50, 0, 7], [150, 0, 9], [250, 0, 7]])
    epochs = mne.Epochs(
        recording(signal),
        events,
        {"left": 7, "right": 9},
        0,
        0.29,
        baseline=None,
        preload=True,
        verbose="ERROR",
    )
    epochs.save(tmp_path / "x-epo.fif", fmt="double", verbose="ERROR")
    reader = sc.data.open(tmp_path / "x-epo.fif")
    batch = reader.read([2, 1])
    assert len(reader) == 3
    assert batch.labels == ("left", "right")
    assert batch.names == (2, 1)
    np.testing.assert_allclose(batch.inputs[0], 1e-5 * signal[:, 250:280])
    assert batch.layout.sampling_rate == 100
    assert batch.layout.channel_names == ("Fz", "Cz")


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_sound_is_read_in_windows(tmp_path, signal, suffix):
    write_wav(tmp_path / f"x{suffix}", signal / 4, 8000)
    reader = sc.data.open(tmp_path / f"x{suffix}", windows=sc.data.Windows(0.01, stride=0.005))
    assert len(reader) == 9
    assert reader.layout.sampling_rate == 8000
    batch = reader.read([8, 1])
    np.testing.assert_allclose(batch.inputs[0], signal[:, 320:400] / 4, atol=1e-6)
    np.testing.assert_allclose(batch.inputs[1], signal[:, 40:120] / 4, atol=1e-6)
    mono = sc.data.open(tmp_path / f"x{suffix}", mono=True).read([0]).inputs
    np.testing.assert_allclose(mono[0, 0], signal.mean(0) / 4, atol=1e-6)


def test_sounds_of_unequal_length_are_a_list(tmp_path, signal):
    write_wav(tmp_path / "a.wav", signal)
    write_wav(tmp_path / "b.wav", signal[:, :300])
    batch = sc.data.open(tmp_path).read([0, 1])
    assert [each.shape for each in batch.inputs] == [(2, 400), (2, 300)]


def good(folder, suffix, name, signal):
    if suffix == ".wav":
        write_wav(folder / f"{name}.wav", signal)
    elif suffix == ".hea":
        write_wfdb(folder, name, signal)
    elif suffix == ".edf":
        write_edf(folder / f"{name}.edf", 100 * signal, ["Fz", "Cz"])
    else:
        recording(signal).save(folder / f"{name}_raw.fif", verbose="ERROR")


@pytest.mark.parametrize("suffix", [".wav", ".hea", ".edf", ".fif"])
@pytest.mark.parametrize("windows", [None, 1.0])
def test_a_broken_file_among_good_ones_is_told(tmp_path, signal, suffix, windows):
    for name in "abc":
        good(tmp_path, suffix, name, signal)
    bad = next(tmp_path.glob(f"b*{suffix}"))
    bad.write_bytes(b"nothing of this kind\n" * 3)
    reader = sc.data.open(tmp_path, windows=windows)
    batch = reader.read(range(len(reader)))
    each = 4 if windows else 1
    assert set(batch.failed) == {each}
    assert batch.failed[each].startswith(str(bad))
    assert len(batch) == 2 * each
    assert reader.fingerprint == sc.data.open(tmp_path, windows=windows).fingerprint


def test_a_truncated_file_is_told(tmp_path, signal):
    soundfile.write(tmp_path / "a.flac", signal.T, 100)
    write_wfdb(tmp_path, "b", signal)
    for name in ("a.flac", "b.dat"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    for name in ("a.flac", "b.hea"):
        assert 0 in sc.data.open(tmp_path / name).read([0]).failed, name


@pytest.mark.parametrize("suffix", [".wav", ".hea", ".edf"])
def test_another_rate_or_other_channels_are_told_by_sample(tmp_path, signal, suffix):
    good(tmp_path, suffix, "a", signal)
    if suffix == ".wav":
        write_wav(tmp_path / "b.wav", signal, 50)
    elif suffix == ".hea":
        write_wfdb(tmp_path, "b", signal, 50)
        write_wfdb(tmp_path, "c", signal, channels=["C1", "C0"])
    else:
        write_edf(tmp_path / "b.edf", 100 * signal, ["Fz", "Cz"], 50)
        write_edf(tmp_path / "c.edf", 100 * signal, ["Fz", "Pz"])
    reader = sc.data.open(tmp_path)
    batch = reader.read(range(len(reader)))
    assert batch.numbers == (0,)
    assert "has 50 samples a second, but 100 are expected" in batch.failed[1]
    assert suffix == ".wav" or "has channels C1, C0" in batch.failed[2] or "Fz, Pz" in batch.failed[2]
    said = sc.data.open(tmp_path, layout=sc.Layout("batch channel time", 50))
    assert said.read(range(2)).numbers == (1,)
