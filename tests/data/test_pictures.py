"""Images, volumes and videos: what was written is what is read."""

import imageio_ffmpeg
import nibabel
import numpy as np
import pytest
from PIL import Image

import signalcam as sc

# imageio-ffmpeg leaves the pipes of the process that it ended to the garbage collector
LEFT_OPEN = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
PIXELS = np.random.default_rng(2).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def test_a_folder_of_images_is_labelled_by_its_folders(tmp_path):
    for name, factor in (("cat", 0), ("dog", 1)):
        (tmp_path / name).mkdir()
        Image.fromarray(PIXELS * factor).save(tmp_path / name / "1.png")
    (tmp_path / "dog/2.png").write_bytes(b"\x89PNG nothing more")
    reader = sc.data.open(tmp_path)
    batch = reader.read(range(3))
    assert batch.labels == ("cat", "dog")
    assert batch.names == ("cat/1", "dog/1")
    np.testing.assert_allclose(batch.inputs[1], PIXELS / 255, rtol=1e-6)
    assert batch.layout.dims == ("batch", "height", "width", "channel")
    assert set(batch.failed) == {2}
    assert "dog/2.png" in batch.failed[2]


def test_images_are_brought_to_a_size_and_a_mode(tmp_path):
    Image.fromarray(np.full((6, 8, 3), 51, np.uint8)).save(tmp_path / "a.png")
    batch = sc.data.open(tmp_path / "a.png", size=(3, 5), mode="L").read([0])
    np.testing.assert_allclose(batch.inputs, np.full((1, 3, 5, 1), 0.2), rtol=1e-6)
    assert batch.layout.channel_names == ("L",)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_volumes_keep_their_spacing(tmp_path, suffix):
    values = np.arange(24.0, dtype="float32").reshape(2, 3, 4)
    image = nibabel.Nifti1Image(values, np.diag([1.5, 2, 3, 1]))
    image.header.set_xyzt_units("mm", "sec")
    image.to_filename(tmp_path / f"v{suffix}")
    batch = sc.data.open(tmp_path / f"v{suffix}").read([0])
    np.testing.assert_array_equal(batch.inputs[0, 0], values)
    assert batch.layout.spacing == {"depth": 1.5, "height": 2, "width": 3}
    assert batch.layout.axis_units == {"depth": "mm", "height": "mm", "width": "mm"}


def test_volumes_over_time_are_cut_into_windows(tmp_path):
    values = np.arange(48.0, dtype="float32").reshape(2, 3, 2, 4)
    image = nibabel.Nifti1Image(values, np.eye(4))
    image.header.set_zooms((1, 1, 1, 500))
    image.header.set_xyzt_units("mm", "msec")
    image.to_filename(tmp_path / "v.nii")
    reader = sc.data.open(tmp_path / "v.nii", windows=1.0)
    assert len(reader) == 2
    assert reader.layout.sampling_rate == 2
    np.testing.assert_array_equal(reader.read([1]).inputs[0, 0], np.moveaxis(values, 3, 0)[2:])


def test_a_broken_volume_among_good_ones_is_told(tmp_path):
    for name in "ab":
        nibabel.Nifti1Image(np.ones((2, 3, 4), "float32"), np.eye(4)).to_filename(tmp_path / f"{name}.nii")
    (tmp_path / "b.nii").write_bytes((tmp_path / "b.nii").read_bytes()[:380])
    batch = sc.data.open(tmp_path).read([0, 1])
    assert batch.numbers == (0,)
    assert set(batch.failed) == {1}


@LEFT_OPEN
def test_a_video_is_read_in_part(tmp_path):
    shades = np.repeat(np.arange(0, 240, 20, dtype=np.uint8), 32 * 48 * 3).reshape(12, 32, 48, 3)
    writer = imageio_ffmpeg.write_frames(str(tmp_path / "v.mp4"), (48, 32), fps=4, quality=9)
    writer.send(None)
    for frame in shades:
        writer.send(frame.tobytes())
    writer.close()
    reader = sc.data.open(tmp_path / "v.mp4", windows=1.0)
    assert len(reader) == 3
    assert reader.layout.sampling_rate == 4
    batch = reader.read([2])
    assert batch.inputs.shape == (1, 3, 4, 32, 48)
    np.testing.assert_allclose(batch.inputs[0, :, :, 16, 24], np.tile(shades[8:, 16, 24, 0], (3, 1)) / 255, atol=0.02)
    small = sc.data.open(tmp_path / "v.mp4", size=(16, 24)).read([0]).inputs
    assert small.shape == (1, 3, 12, 16, 24)


@LEFT_OPEN
def test_a_file_that_is_no_video_is_told(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"nothing" * 99)
    with pytest.raises(sc.InputError, match=r"v.mp4 could not be read"):
        sc.data.open(tmp_path / "v.mp4")
