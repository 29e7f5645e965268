"""Files are decoded again: each frame has its own heat, its own time, and the shape it had."""

import gc
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import signalcam as sc

FRAMES, HIGH, WIDE = 10, 40, 60


@pytest.fixture
def moving(make):
    """A dark grey video in which heat moves from left to right."""
    exp = make((1, 3, FRAMES, HIGH, WIDE), "batch channel time height width", [2, 3, 4], sampling_rate=8)
    when, down, across = np.indices((FRAMES, HIGH, WIDE))
    exp.layers[0].values[:] = np.exp(-((down - 20) ** 2 + (across - centre(when)) ** 2) / 20)
    x = np.full(exp.input.shape, 0.2)
    x[..., 0, 0] = 1.0  # so that it is shown as given
    return replace(exp, input=x)


def centre(frame):
    return 5 + 5.5 * frame


def decoded(path):
    """Frames and durations of a file."""
    if path.suffix == ".mp4":
        ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="needs the extra 'video'")
        pattern = path.parent / "frame%03d.png"
        command = [ffmpeg.get_ffmpeg_exe(), "-i", path, "-fps_mode", "passthrough", pattern]
        told = subprocess.run(command, capture_output=True, check=True, text=True).stderr  # noqa: S603 - our own file
        found = sorted(path.parent.glob("frame*.png"))
        frames = [np.asarray(Image.open(each).convert("RGB")) for each in found]
        return frames, [1000 / float(re.search(r"([\d.]+) fps", told)[1])] * len(frames)
    frames, durations = [], []
    with Image.open(path) as image:
        for number in range(image.n_frames):
            image.seek(number)
            image.load()
            frames.append(np.asarray(image.convert("RGB")))
            durations.append(image.info["duration"])
    return frames, durations


@pytest.mark.parametrize("suffix", ["webp", "gif", "mp4"])
def test_a_moving_object_moves_the_heat(moving, tmp_path, suffix):
    if suffix == "mp4":
        pytest.importorskip("imageio_ffmpeg", reason="needs the extra 'video'")
    path = tmp_path / f"cam.{suffix}"
    moving.save_video(path, captions=False)
    frames, durations = decoded(path)
    assert len(frames) == FRAMES
    times = frames[0].shape[1] / WIDE
    assert frames[0].shape[0] == HIGH * times
    for number, frame in enumerate(frames):
        warm = frame.astype(float).sum(axis=2)
        warm[: int(8 * times)] = 0  # the white corner
        warm *= warm > warm.max() - 40
        found = (warm.sum(axis=0) @ np.arange(frame.shape[1])) / warm.sum() / times
        assert found == pytest.approx(min(centre(number), WIDE - 3), abs=2)
    assert sum(durations) == pytest.approx(1000 * FRAMES / 8, abs=1)


def test_frames_last_as_long_as_the_layout_says_or_as_asked_for(moving, tmp_path):
    for options, total in (({}, 1250), ({"fps": 3}, 3333), ({"fps": 30}, 333)):
        moving.save_video(tmp_path / "cam.webp", **options)
        assert sum(decoded(tmp_path / "cam.webp")[1]) == pytest.approx(total, abs=1)
    moving.save_video(tmp_path / "cam.gif", fps=30)
    assert sum(decoded(tmp_path / "cam.gif")[1]) == pytest.approx(333, abs=10)


def test_frames_at_places_in_time_have_their_rate(make, tmp_path):
    exp = make((1, 1, 5, 8, 9), "batch _ time height width", [2, 3, 4], coordinates={"time": 3 + np.arange(5) / 4})
    exp.save_video(tmp_path / "cam.webp")
    assert decoded(tmp_path / "cam.webp")[1] == [250] * 5


def test_captions_stand_below_and_say_when_and_what(moving, tmp_path):
    moving.save_video(tmp_path / "plain.webp", captions=False)
    moving.save_video(tmp_path / "said.webp")
    plain, said = (decoded(tmp_path / f"{name}.webp")[0] for name in ("plain", "said"))
    high = len(plain[0])
    assert said[0].shape[0] > high
    foot = np.stack([frame[high:] for frame in said]).astype(int)
    assert np.ptp(foot, axis=0).mean() < 1  # the same below every frame
    corner = [frame[:14, :70].astype(int) for frame in said]
    assert np.abs(corner[1] - corner[2]).max() > 100  # the time goes on


def test_all_frames_have_one_scale(make, tmp_path):
    exp = make((1, 1, 2, 8, 8), "batch _ time height width", [2, 3, 4])
    exp.layers[0].values[..., 0, :, :] = 0.1
    exp.layers[0].values[..., 1, :, :] = 1.0
    exp = replace(exp, input=np.zeros(exp.input.shape))
    exp.save_video(tmp_path / "cam.webp", captions=False)
    weak, strong = decoded(tmp_path / "cam.webp")[0]
    assert weak.max() < 30
    assert strong.max() > 180


def test_frames_keep_their_true_proportions(make, tmp_path):
    exp = make((1, 1, 2, 10, 20), "batch _ time height width", [2, 3, 4], spacing={"height": 2.0, "width": 0.5})
    exp.save_video(tmp_path / "cam.webp", captions=False)
    high, wide, _ = decoded(tmp_path / "cam.webp")[0][0].shape
    assert high / wide == 2
    assert high >= 200


def test_an_odd_number_of_pixels_fits_an_mp4(make, tmp_path):
    pytest.importorskip("imageio_ffmpeg", reason="needs the extra 'video'")
    exp = make((1, 1, 3, 201, 203), "batch _ time height width", [2, 3, 4])
    exp.save_video(tmp_path / "cam.mp4", captions=False)
    assert decoded(tmp_path / "cam.mp4")[0][0].shape == (202, 204, 3)


def test_a_volume_is_shown_slice_by_slice_along_its_first_axis_and_upright(make, tmp_path):
    exp = make((1, 1, 6, 8, 10), "batch _ left inferior anterior", [2, 3, 4])
    heat = np.zeros((6, 8, 10))
    heat[2, 0, 9] = 1  # above and in front
    exp.layers[0].values[:] = heat
    exp = replace(exp, input=np.zeros(exp.input.shape))
    exp.save_video(tmp_path / "cam.gif", captions=False)
    frames = [frame.astype(int).sum(axis=2) for frame in decoded(tmp_path / "cam.gif")[0]]
    bright = [frame for frame in frames if frame.max() > 300]
    assert len(bright) == 1
    where = np.argwhere(bright[0] > 300)
    times = bright[0].shape[0] // 8
    assert where.min(axis=0).tolist() == [0, 9 * times]
    assert where.max(axis=0).tolist() == [times - 1, 10 * times - 1]


def test_what_is_no_number_has_no_heat(moving, tmp_path):
    moving.layers[0].values[..., :5, :, :] = np.nan
    moving.save_video(tmp_path / "cam.webp", captions=False)
    first = decoded(tmp_path / "cam.webp")[0][0]
    assert np.abs(first[60:].astype(int) - 51).max() < 8  # only the grey picture


def test_a_signed_video_is_red_and_blue(make, tmp_path):
    exp = make((1, 1, 2, 8, 8), "batch _ time height width", [2, 3, 4], signed=True)
    exp.layers[0].values[..., 0, :, :] = -1
    exp.layers[0].values[..., 1, :, :] = 1
    exp.save_video(tmp_path / "cam.webp", captions=False)
    against, in_favour = (frame.mean(axis=(0, 1)) for frame in decoded(tmp_path / "cam.webp")[0])
    assert against[2] > against[0]
    assert in_favour[0] > in_favour[2]


@pytest.mark.parametrize("name", ["cam.avi", "cam", "cam.webp.zip"])
def test_an_unknown_kind_of_file_is_told(moving, tmp_path, name):
    with pytest.raises(sc.StoreError, match=r"expected \.webp, \.gif, \.mp4"):
        moving.save_video(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["webp", "gif", "mp4"])
def test_a_file_that_cannot_be_written_is_told_and_nothing_is_left(moving, tmp_path, suffix):
    if suffix == "mp4":
        pytest.importorskip("imageio_ffmpeg", reason="needs the extra 'video'")
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(sc.StoreError, match="cannot save to"):
        moving.save_video(tmp_path / "folder" / f"cam.{suffix}")
    taken = tmp_path / f"taken.{suffix}"
    taken.mkdir()
    with pytest.raises(sc.StoreError, match="cannot save to"):
        moving.save_video(taken)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder", taken.name]


@pytest.mark.parametrize("suffix", ["webp", "gif", "mp4"])
def test_what_fails_halfway_leaves_the_earlier_file(moving, tmp_path, monkeypatch, suffix):
    if suffix == "mp4":
        pytest.importorskip("imageio_ffmpeg", reason="needs the extra 'video'")
    path = tmp_path / f"cam.{suffix}"
    path.write_bytes(b"earlier")
    from signalcam.plot import video  # noqa: PLC0415 - only here

    once = []

    def fail(picture, levels, table):
        once.append(1)
        if len(once) > 3:
            raise RuntimeError
        return np.zeros((*levels.shape, 3), np.uint8)

    monkeypatch.setattr(video, "blend", fail)
    with pytest.raises(RuntimeError):
        moving.save_video(path)
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # imageio-ffmpeg leaves the pipe of a dead process to be closed
def test_an_ffmpeg_that_fails_is_told_and_nothing_is_left(moving, tmp_path, monkeypatch):
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="needs the extra 'video'")
    with monkeypatch.context() as changed:
        changed.setattr(ffmpeg._io, "get_ffmpeg_exe", lambda: "/bin/false")
        with pytest.raises(sc.StoreError, match="cannot save to"):
            moving.save_video(tmp_path / "cam.mp4")
        gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_told(moving, tmp_path, fps):
    with pytest.raises(sc.LayoutError, match="frames a second, above 0"):
        moving.save_video(tmp_path / "cam.webp", fps=fps)


def test_a_rate_that_a_file_cannot_hold_is_told(make, tmp_path):
    exp = make((1, 1, 5, 8, 9), "batch _ time height width", [2, 3, 4], sampling_rate=2000)
    with pytest.raises(sc.LayoutError, match="Pass fps=1000 or less"):
        exp.save_video(tmp_path / "cam.webp")
    with pytest.raises(sc.LayoutError, match="Pass fps=50 or less"):
        exp.save_video(tmp_path / "cam.gif")


def test_frames_at_uneven_times_need_a_rate(make, tmp_path):
    exp = make((1, 1, 3, 8, 9), "batch _ time height width", [2, 3, 4], coordinates={"time": [0, 1, 5]})
    with pytest.raises(sc.LayoutError, match="such as fps=10"):
        exp.save_video(tmp_path / "cam.webp")
    exp.save_video(tmp_path / "cam.webp", fps=10)


def test_a_picture_is_no_video(make, tmp_path):
    with pytest.raises(sc.LayoutError, match="3 axes, such as time, height and width"):
        make((1, 1, 5, 6), "batch channel height width", [2, 3]).save_video(tmp_path / "cam.webp")


def test_what_writes_mp4_may_be_missing(moving, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(sc.MissingExtra, match=r"signalcam\[video\]"):
        moving.save_video(tmp_path / "cam.mp4")
    assert not Path(tmp_path / "cam.mp4").exists()
