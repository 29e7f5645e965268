"""Jobs that read, explain and write at the same time, whose stores stay small in files and quick to look at."""

import errno
import os
import queue

import numpy as np
import pytest
import zarr

import signalcam as sc
from signalcam.jobs import Status, aggregate, incremental, status, store, summary, worker
from signalcam.jobs.config_sections import UnitsSection
from signalcam.jobs.incremental import IncrementalMerge
from signalcam.jobs.prefetch import prefetch
from signalcam.jobs.store import QUARANTINED, JobStore
from signalcam.jobs.store_reader import Names, SampleArray
from signalcam.jobs.worker import Worker

UNITS = range(5)


@pytest.fixture(scope="module")
def about(sections):
    """What the store of the small job knows when it is made."""
    one = Worker(sc.Job(**sections, output="unused"))
    known = {
        "digest": "",
        "samples": len(one.reader),
        "job": one.job.model_dump(mode="json"),
        "folder": str(one.job.folder),
    }
    known |= {"identity": one.identity(), "facts": one.facts(), "block": 4}
    return known | {"groups": aggregate.list_groups(known, ["a", "b"])}


@pytest.fixture
def made(about, sections, tmp_path):
    """Makes an empty store, with a worker for it."""

    def make(name="maps.zarr", **engine):
        place = tmp_path / name
        JobStore(place, about).make()
        return Worker(sc.Job(**sections, output=str(place), engine=engine))

    return make


def arrays_of(place):
    group = zarr.open_group(place, mode="r")
    return {name: np.asarray(each[...]) for name, each in group.members(max_depth=None) if isinstance(each, zarr.Array)}


def assert_same_bits(one, two):
    one, two = arrays_of(one), arrays_of(two)
    assert set(one) == set(two)
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name], strict=True)
        assert values.dtype.kind == "T" or values.tobytes() == two[name].tobytes(), name


# --- reading, explaining and writing at the same time ------------------------------------------------


@pytest.mark.parametrize("bytes_at_once", [1, 24 * 320, 2**22])  # a batch, three of a unit's two, all
def test_doing_it_at_the_same_time_changes_no_bit(bytes_at_once, made, monkeypatch):
    one, two = made("one.zarr"), made("two.zarr")
    failed = {unit: one.run_unit(unit) for unit in UNITS}
    monkeypatch.setattr(worker, "_READ_BYTES", bytes_at_once)
    assert list(two.run_units(UNITS)) == list(failed.items())
    assert sum(failed.values()) == 2  # not finite, and met with dislike
    assert_same_bits(one.archive.place, two.archive.place)


def test_a_unit_is_told_once_it_is_on_the_disk_also_while_the_next_is_waited_for(made):
    one, told = made(), queue.Queue()
    told.put(0)
    work = one.run_units(iter(told.get, None))
    for unit in UNITS:  # as a driver that gives out one unit at a time
        assert next(work)[0] == unit
        assert unit in one.archive.status()
        told.put(unit + 1 if unit + 1 in UNITS else None)
    assert next(work, None) is None


def test_no_more_than_two_units_are_in_memory():
    held, most = set(), []

    def make(number):
        held.add(number)
        most.append(len(held))
        return number

    def write(number):
        held.discard(number)
        return number

    assert list(prefetch(iter(range(50)), make, write)) == list(range(50))
    assert max(most) <= 2


class Broken:
    """A reader whose disk is gone."""

    layout = None

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def read(self, numbers):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_what_the_reader_raises_ends_the_job_or_is_recorded(made):
    stopping = made("stopping.zarr", on_error="stop")
    stopping.__dict__["reader"] = Broken(70)
    with pytest.raises(sc.JobError, match=r"sample 0 cannot be explained \(OSError: .*Input/output"):
        list(stopping.run_units(UNITS))
    assert stopping.archive.status() == {}
    recording = made("recording.zarr")
    recording.__dict__["reader"] = Broken(70)
    assert dict(recording.run_units(UNITS)) == {0: 16, 1: 16, 2: 16, 3: 16, 4: 6}


def test_who_gives_out_units_may_fail(made):
    def cut():
        yield 0
        raise EOFError

    one = made()
    with pytest.raises(EOFError):
        list(one.run_units(cut()))
    assert one.archive.status() == {0: 1}  # what was being written is written


def test_a_full_disk_is_told_by_the_thread_that_writes(made, monkeypatch):
    one, write = made(), zarr.AsyncArray.setitem

    async def full(array, *where):
        if array.name == "/unit/count" and one.archive.status():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        await write(array, *where)

    with monkeypatch.context() as patched:
        patched.setattr(zarr.AsyncArray, "setitem", full)
        with pytest.raises(sc.StoreError, match="No space left on device"):
            list(one.run_units(UNITS))
    assert one.archive.pending() == [1, 2, 3, 4]
    assert [unit for unit, _ in one.run_units([1, 2, 3, 4])] == [1, 2, 3, 4]


def test_what_a_unit_wrote_is_on_the_disk_before_its_status_is_written(made, monkeypatch):
    one, synced = made(), []
    sync = store.sync_to_disk
    monkeypatch.setattr(
        store, "sync_to_disk", lambda files: synced.append((list(files), set(one.archive.status()))) or sync(files)
    )
    one.run_unit(2)
    (written, before), (last, _) = synced
    assert before == set()
    assert last == [one.archive.committed()[2]]
    known = {
        each
        for each in one.archive.place.rglob("c*")
        if each.is_file() and each.parent.name in {*one.archive.by_sample, *one.archive.by_unit}
    }
    assert set(written) == known


# --- blocks of units ---------------------------------------------------------------------------------


def filled(place, about, *, block, without=()):
    """A store of 19 units of 2 samples, full of random maps, but for some units."""
    job = {**about["job"], "units": {"size": 2, "batch": 2}}
    kept = JobStore(place, {**about, "samples": 37, "job": job, "block": block})
    kept.make()
    for unit in sorted(set(range(19)) - set(without)):
        commit(kept, unit)
    return kept


def commit(kept, unit):
    rng, rows = np.random.default_rng(unit), kept.blank(unit)
    for name, values in rows.items():
        if name.startswith(("maps_", "peak_")):
            values[...] = rng.random(values.shape)
        elif name in ("label", "predicted"):
            values[...] = rng.integers(0, 3, values.shape)
    rows["group"][:] = "a"
    kept.commit(unit, rows, aggregate.unit_sums(kept.about, rows), 0)


def files_of(kept):
    """The units that have files of their sums."""
    return {int(each.name.split(".")[1]) for each in (kept.place / "unit").rglob("c.*")}


@pytest.fixture
def unrolled(about, tmp_path):
    return filled(tmp_path / "never.zarr", about, block=0)


def assert_same_sums(one, two):
    one, two = summary(one.place), summary(two.place)
    assert one.identical(two)
    assert all(one[name].values.tobytes() == two[name].values.tobytes() for name in one)


def test_blocks_put_together_change_no_bit_of_the_sums(about, unrolled, tmp_path):
    kept = filled(tmp_path / "maps.zarr", about, block=4)
    assert_same_sums(kept, unrolled)
    whole = kept.status()
    IncrementalMerge(kept)
    assert [kept.is_merged(block) for block in range(4)] == [True] * 4
    assert set(kept.committed()) == {16, 17, 18}
    assert files_of(kept) == {16, 17, 18}
    assert_same_sums(kept, unrolled)
    assert kept.status() == whole == dict.fromkeys(range(19), 0)
    assert kept.pending() == []
    assert status(kept.place).done == 37


def test_a_block_is_put_together_when_its_last_unit_is_done(about, tmp_path):
    kept = filled(tmp_path / "maps.zarr", about, block=4, without=range(2, 19))
    rolled = IncrementalMerge(kept)
    for unit in (3, 18, 2):
        assert not kept.is_merged(0)
        commit(kept, unit)
        rolled.record_unit(unit, 0)
    assert kept.is_merged(0)
    assert set(kept.committed()) == {18}


@pytest.mark.parametrize("deleted", [0, 1, 5, 20])
def test_a_crash_while_units_are_taken_away_changes_nothing(deleted, about, unrolled, tmp_path, monkeypatch):
    kept = filled(tmp_path / "maps.zarr", about, block=4)
    unlink, left = type(kept.place).unlink, [deleted]

    def crash(path, **options):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        unlink(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(type(kept.place), "unlink", crash)
        with pytest.raises(KeyboardInterrupt):
            IncrementalMerge(kept)
    assert kept.is_merged(0)
    assert 0 in kept.committed() or deleted > 19
    assert_same_sums(kept, unrolled)
    assert kept.pending() == []
    assert status(kept.place).done == 37
    IncrementalMerge(kept)
    assert set(kept.committed()) == {16, 17, 18}
    assert_same_sums(kept, unrolled)


def test_a_crash_before_a_block_is_whole_leaves_its_units(about, unrolled, tmp_path, monkeypatch):
    kept = filled(tmp_path / "maps.zarr", about, block=4)
    before = files_of(kept)
    with monkeypatch.context() as patched:
        patched.setattr(
            incremental, "sync_to_disk", lambda files: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left"))
        )
        with pytest.raises(sc.StoreError, match="No space left"):
            IncrementalMerge(kept)
    assert not kept.is_merged(0)
    assert files_of(kept) == before
    assert_same_sums(kept, unrolled)


def test_sums_read_while_a_block_is_put_together_are_the_same(about, unrolled, tmp_path, monkeypatch):
    kept = filled(tmp_path / "maps.zarr", about, block=4)
    known, add, meanwhile = kept.status(), aggregate.add_units, []

    def late(store, units, done):
        if units == store.units_of(1) and not meanwhile:
            meanwhile.append(units)
            incremental.merge_block(kept, 1)  # by the driver, just before these are read
        return add(store, units, done)

    monkeypatch.setattr(aggregate, "add_units", late)
    assert_same_sums(kept, unrolled)
    assert meanwhile
    assert kept.status() == known


def test_a_block_with_a_unit_given_up_waits_for_it(about, unrolled, tmp_path):
    kept = filled(tmp_path / "maps.zarr", about, block=4, without=[5])
    kept.commit(5, kept.blank(5), {}, QUARANTINED)
    rolled = IncrementalMerge(kept)
    rolled.record_unit(5, QUARANTINED)
    assert [kept.is_merged(block) for block in range(4)] == [True, False, True, True]
    assert kept.pending() == [5]
    assert status(kept.place).quarantined == 2
    assert int(summary(kept.place)["count"].sel(of="all")) == 35
    commit(kept, 5)  # another run tries it again
    rolled = IncrementalMerge(kept)
    assert kept.is_merged(1)
    assert kept.pending() == []
    assert_same_sums(kept, unrolled)


def test_a_run_leaves_its_blocks_put_together(sections, tmp_path, monkeypatch):
    place = tmp_path / "maps.zarr"
    monkeypatch.setattr("signalcam.jobs.run.BLOCK", 2)
    sc.Job(**sections, output=str(place)).run()
    kept = JobStore.open(place)
    assert set(kept.committed()) == {4}
    assert (status(place).done, status(place).failed) == (70, 2)
    whole = sc.Job(**sections, output=str(tmp_path / "whole.zarr"))
    monkeypatch.setattr("signalcam.jobs.run.BLOCK", 256)
    whole.run()
    assert summary(place).identical(summary(tmp_path / "whole.zarr"))


def test_the_status_of_a_hundred_thousand_units_is_right(about, tmp_path):
    kept = JobStore(tmp_path / "maps.zarr", {**about, "samples": 1_600_000 - 3, "block": 256})
    kept.make()
    assert (kept.units, kept.blocks) == (100_000, 390)
    for block in range(kept.blocks):
        file = kept.status_of(block)
        file.parent.mkdir(parents=True)
        file.write_bytes(np.full(256, 1 + (block == 7), "<u4").tobytes())
        os.utime(file, (1000 + block, 1000 + block))
    for unit in (99_840, 99_841, 99_999):
        kept.array("unit/status")[unit] = 1
        os.utime(kept.committed()[unit], (1390, 1390))
    kept.array("unit/status")[99_842] = QUARANTINED
    done = 16 * (390 * 256 + 3) - 3
    found = status(kept.place)
    assert found == Status(
        1_600_000 - 3, done, 256, 16, running=False, per_second=3 * 16 - 3, seconds_left=found.seconds_left
    )
    assert kept.pending() == list(range(99_842, 99_999))


# --- how large units are -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "size", "units"),
    [
        (1, 1024, 1),
        (1_000_000, 1024, 977),
        (1_000_001, 2048, 489),
        (10_000_000, 4096, 2442),
        (100_000_000, 16384, 6104),
        (1_000_000_000, 32768, 30518),
    ],
)
def test_units_grow_with_the_number_of_samples(samples, size, units):
    assert UnitsSection().size_for(samples) == size
    assert -(-samples // size) == units
    assert UnitsSection(size=64).size_for(samples) == 64


def test_a_unit_holds_whole_batches():
    assert UnitsSection(batch=48).size_for(1000) == 1056
    assert UnitsSection(batch=5000).size_for(1000) == 5000


def test_a_job_that_goes_on_finds_the_size_it_began_with(sections, tmp_path, monkeypatch):
    job = sc.Job(**{**sections, "units": {"batch": 8}}, output=str(tmp_path / "maps.zarr"))
    first = job.run()
    assert JobStore.open(tmp_path / "maps.zarr").size == 1024
    monkeypatch.setattr(UnitsSection, "size_for", lambda self, samples: 64)
    assert job.run().provenance["job"] == first.provenance["job"]


# --- opening a store ---------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch):
    """Which chunks are asked for."""
    keys, get = [], zarr.storage.LocalStore.get

    async def counted(self, key, *rest, **more):
        keys.append(key)
        return await get(self, key, *rest, **more)

    monkeypatch.setattr(zarr.storage.LocalStore, "get", counted)
    monkeypatch.setattr(zarr.storage.LocalStore, "get_partial_values", None)
    return keys


def chunks(asked):
    return {key for key in asked if "zarr.json" not in key}


def test_a_store_opens_without_its_numbers_and_chosen_samples_read_theirs(made, asked):
    one = made()
    list(one.run_units(UNITS))
    asked.clear()
    exp = sc.load(one.archive.place)
    assert len(exp) == 70
    assert "70 samples" in repr(exp)
    assert chunks(asked) == {"failed/c.0", "failed/c.1"}  # of units in which samples failed
    asked.clear()
    some = exp.isel(sample=slice(0, 8))
    assert some.sample_names[:5] == ("w0", "w1", "w2", "w3", "w4")
    assert isinstance(some.scores, np.ndarray)
    read = chunks(asked)
    assert read
    assert {key.rpartition("/")[2].split(".")[1] for key in read} == {"0"}  # of the first unit alone


def test_what_is_lazy_is_what_it_would_be_in_memory(made):
    one = made()
    list(one.run_units(UNITS))
    exp, known = sc.load(one.archive.place), arrays_of(one.archive.place)
    for mine, name in ((exp.scores, "score"), (exp.logits, "logit"), (exp.classes, "predicted")):
        values = known[name]
        assert isinstance(mine, SampleArray)
        np.testing.assert_array_equal(mine, values)
        np.testing.assert_array_equal(mine[3], values[3])
        np.testing.assert_array_equal(mine[[60, 2]], values[[60, 2]])
        np.testing.assert_array_equal(mine[mine == mine[0]], values[values == values[0]])
        np.testing.assert_array_equal(mine[None], values[None])
    rows = np.arange(70)
    np.testing.assert_array_equal(exp.logits[rows, exp.classes], known["logit"][rows, known["predicted"]])
    assert not hasattr(exp.scores, "values")
    np.testing.assert_array_equal(exp.isel(sample=[1, 69], target=1).scores, known["score"][[1, 69]][:, [1]])


def test_names_are_read_some_at_a_time():
    asked = []
    names = Names(lambda rows: asked.append(len(rows)) or rows * 10, 10, 4)
    assert [names[i] for i in (0, 1, 3, 9, -1)] == [0, 10, 30, 90, 90]
    assert asked == [4, 2]
    assert names[2:4] == (20, 30)
    assert names == tuple(range(0, 100, 10))
    assert names != (1, 2)
    assert names != 3
    assert 50 in names
    assert list(names) == list(range(0, 100, 10))
    with pytest.raises(IndexError):
        names[10]
