"""Parquet, Arrow and CSV: what was written is what is read."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import signalcam as sc

X = np.random.default_rng(1).normal(size=(10, 12)).astype("float32")


def write(table, path):
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=4)
        return path
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=4)
    return path


@pytest.fixture(params=["x.parquet", "x.arrow"])
def path(request, tmp_path):
    return tmp_path / request.param


def test_fixed_lists_are_rows(path):
    column = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 12)
    table = pa.table({"name": [f"n{each}" for each in range(10)], "ecg": column, "label": list(range(10))})
    reader = sc.data.open(write(table, path))
    batch = reader.read([9, 0, 4, 5])
    np.testing.assert_array_equal(batch.inputs, X[[9, 0, 4, 5]])
    assert len(reader) == 10
    assert batch.labels == (9, 0, 4, 5)
    assert batch.names[0] == "n9"


def test_lists_of_any_length_are_a_list_of_samples(path):
    rows = [X[each, : 3 + each % 4] for each in range(10)]
    reader = sc.data.open(write(pa.table({"ecg": [row.tolist() for row in rows]}), path))
    batch = reader.read([3, 0, 8])
    assert isinstance(batch.inputs, list)
    for each, number in zip(batch.inputs, (3, 0, 8), strict=True):
        np.testing.assert_allclose(each, rows[number])


def test_lists_of_lists_are_channels_over_time(path):
    table = pa.table({"ecg": [X[each].reshape(3, 4).tolist() for each in range(10)]})
    batch = sc.data.open(write(table, path)).read([7])
    np.testing.assert_allclose(batch.inputs, X[[7]].reshape(1, 3, 4))


def test_several_columns_are_the_channels_of_one_sample(path):
    table = pa.table({"I": X.tolist(), "II": (2 * X).tolist(), "age": list(range(10))})
    reader = sc.data.open(write(table, path), inputs=["II", "I"], labels="age")
    batch = reader.read([1])
    np.testing.assert_allclose(batch.inputs[0], np.stack([2 * X[1], X[1]]))
    assert batch.layout.channel_names == ("II", "I")
    assert batch.labels == (1,)


def test_an_empty_cell_fails_alone_and_a_missing_number_is_not_finite(path):
    rows = [each.tolist() for each in X]
    rows[2], rows[3][5] = None, None
    batch = sc.data.open(write(pa.table({"ecg": pa.array(rows, pa.list_(pa.float32()))}), path)).read(range(10))
    assert set(batch.failed) == {2, 3}
    assert "empty" in batch.failed[2]
    assert "NaN" in batch.failed[3]


def test_tensors_of_fixed_shape_keep_it(path):
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(X.reshape(10, 3, 4))
    batch = sc.data.open(write(pa.table({"ecg": tensors}), path)).read([6, 2])
    np.testing.assert_array_equal(batch.inputs, X[[6, 2]].reshape(2, 3, 4))


def test_unknown_and_undecided_columns_are_told(path):
    write(pa.table({"I": X.tolist(), "II": X.tolist()}), path)
    with pytest.raises(sc.InputError, match="'I', 'II' holds the samples is not known"):
        sc.data.open(path)
    with pytest.raises(sc.InputError, match="no column 'III'"):
        sc.data.open(path, inputs="III")


def test_a_truncated_table_among_good_ones_is_told(tmp_path):
    for name in "abc":
        write(pa.table({"ecg": X.tolist()}), tmp_path / f"{name}.parquet")
    whole = (tmp_path / "b.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[: len(whole) // 2])
    reader = sc.data.open(tmp_path)
    batch = reader.read(range(len(reader)))
    assert len(batch) == 20
    assert set(batch.failed) == {10}
    assert "b.parquet" in batch.failed[10]


def test_csv_columns_are_channels_and_the_clock_gives_the_rate(tmp_path, signal):
    lines = ["time,I,II", *(f"{n / 250:.3f},{a},{b}" for n, (a, b) in enumerate(signal.T))]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    batch = sc.data.open(tmp_path / "x.csv").read([0])
    np.testing.assert_allclose(batch.inputs[0], signal)
    assert batch.layout.sampling_rate == 250
    assert batch.layout.channel_names == ("I", "II")
    one = sc.data.open(tmp_path / "x.csv", channels=["II"], windows=0.4).read([3])
    np.testing.assert_allclose(one.inputs[0], signal[1:, 300:400])
    assert one.names == ("x[300:400]",)


def test_a_tsv_without_a_clock_takes_the_rate_given(tmp_path, signal):
    lines = ["I\tII", *(f"{a}\t{b}" for a, b in signal.T)]
    (tmp_path / "x.tsv").write_text("\n".join(lines))
    layout = sc.Layout("batch channel time", 100)
    reader = sc.data.open(tmp_path / "x.tsv", windows=1.0, layout=layout)
    assert len(reader) == 4
    assert reader.layout.sampling_rate == 100
    with_unknown = sc.data.open(tmp_path / "x.tsv", windows=sc.data.Windows(1.0, unit="seconds"))
    assert "sampling rate is not known" in with_unknown.read([0]).failed[0]


def test_words_and_an_uneven_clock_are_told(tmp_path):
    (tmp_path / "a.csv").write_text("time,I\n0,1\n1,2\n5,3\n")
    (tmp_path / "b.csv").write_text("time,I\n0,1\n1,x\n2,3\n")
    (tmp_path / "c.csv").write_text("time,I\n0,1\n1,2\n2,3\n")
    (tmp_path / "d.csv").write_text("")
    batch = sc.data.open(tmp_path).read(range(4))
    assert batch.numbers == (2,)
    assert "even steps" in batch.failed[0]
    assert "'I' holds values that are no numbers" in batch.failed[1]
    assert "d.csv: No columns" in batch.failed[3]
