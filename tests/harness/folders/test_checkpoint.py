"""Checkpoints are exact, detect damage, execute no code, and an older one is always kept."""

import hashlib
import io
import itertools
import os
import pickle
import random
import zipfile
from pathlib import Path

import hypothesis.extra.numpy as npst
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from harness.errors import UserError
from harness.files import DamagedFileError
from harness.folders import checkpoint as module
from harness.folders.checkpoint import Checkpoint, Checkpoints, Position
from tests.support.checkpoints import assert_equal, at

DTYPES = ("float32", "float64", "int64", "bool", "uint8")


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoint")


def signed(content):
    """A file with a valid checksum, as an attacker could create."""
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


# Positions ------------------------------------------------------------------------------------------------------------


def test_positions_are_in_the_order_of_a_run():
    way = [(0, 0, False), (0, 0, True), (9, 0, True), (9, 1, False), (9, 1, True), (10, 0, False)]
    positions = [Position(*values) for values in way]
    assert all(earlier < later for earlier, later in itertools.pairwise(positions))


def test_a_position_is_its_text():
    assert str(Position(12, 345, False)) == "000000012-000000345-0"
    assert Position.parse("000000012-000000345-1") == Position(12, 345, True)
    for text in ("", "12-345-0", "000000012-000000345-2", "000000012-000000345-0 ", "0000000012-000000345-0"):
        assert Position.parse(text) is None


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.booleans())
def test_positions_round_trip_through_text(offline, online, evaluated):
    position = Position(offline, online, evaluated)
    assert Position.parse(str(position)) == position


# Round trips ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_are_restored_bit_for_bit(checkpoints, dtype):
    chance = np.random.default_rng(0)
    arrays = {
        "random bits": np.frombuffer(chance.bytes(960), np.uint8).view("uint8" if dtype == "bool" else dtype),
        "matrix": chance.integers(0, 2, (3, 5, 7)).astype(dtype),
        "scalar": np.ones((), dtype),
        "empty": np.zeros((0, 4), dtype),
        "columns first": np.asfortranarray(np.arange(12).reshape(3, 4).astype(dtype)),
        "every other": np.arange(10).astype(dtype)[::2],
    }
    if dtype.startswith("float"):
        arrays["special"] = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, np.finfo(dtype).tiny / 8], dtype)
    checkpoints.save(Checkpoint(Position(1, 2, True), arrays, {}))
    assert_equal(checkpoints.load(Position(1, 2, True)), Checkpoint(Position(1, 2, True), arrays, {}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.text("abcxyz0189._/- ", min_size=1, max_size=12).filter(lambda name: name != "numbers")


@settings(max_examples=100, deadline=None)
@given(
    arrays=st.dictionaries(
        NAMES, npst.arrays(st.sampled_from(DTYPES), npst.array_shapes(min_dims=0, min_side=0)), max_size=4
    ),
    numbers=st.dictionaries(st.text(), JSON, max_size=4),
)
def test_checkpoints_round_trip(tmp_path_factory, arrays, numbers):
    checkpoints = Checkpoints(tmp_path_factory.getbasetemp() / "everything")
    checkpoint = Checkpoint(Position(1, 2, False), arrays, numbers)
    checkpoints.save(checkpoint)
    assert_equal(checkpoints.load(checkpoint.position), checkpoint)


def test_restored_arrays_are_writable(checkpoints):
    checkpoints.save(at(1))
    checkpoints.load(Position(1, 0, True)).arrays["learner/weight"][:] = 0.0


def test_equal_checkpoints_are_equal_files(tmp_path):
    files = []
    for folder, order in (("one", 1), ("two", -1)):
        checkpoint = at(3)
        turned = [dict(list(values.items())[::order]) for values in (checkpoint.arrays, {"a": 1, "b": [2, {"c": 3}]})]
        Checkpoints(tmp_path / folder).save(Checkpoint(checkpoint.position, *turned))
        files.append(tmp_path / folder / "000000003-000000000-1.ckpt")
    assert files[0].read_bytes() == files[1].read_bytes()
    with zipfile.ZipFile(files[0]) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_any_reader_of_npz_can_read_it(checkpoints):
    checkpoints.save(at(3))
    content = (checkpoints.folder / "000000003-000000000-1.ckpt").read_bytes()
    with np.load(io.BytesIO(content[65:]), allow_pickle=False) as members:
        assert sorted(members.files) == ["learner/step", "learner/weight", "numbers"]
        assert members["learner/step"] == 3


@pytest.mark.parametrize(
    "numbers", [{"loss": float("nan")}, {"loss": float("inf")}, {1: "a"}, {"a": (1, 2)}, {"a": {"b": {2: 3}}}]
)
def test_numbers_that_json_cannot_represent_are_refused(checkpoints, numbers):
    with pytest.raises(ValueError, match=r"not JSON compliant|a tuple or a key that is not text"):
        checkpoints.save(Checkpoint(Position(0, 0, True), {}, numbers))
    assert checkpoints.positions() == []


def test_the_name_of_the_numbers_is_reserved(checkpoints):
    with pytest.raises(ValueError, match="the array name 'numbers' is reserved"):
        checkpoints.save(Checkpoint(Position(0, 0, True), {"numbers": np.zeros(1)}, {}))


# Which checkpoints are kept -------------------------------------------------------------------------------------------


def test_the_two_newest_checkpoints_are_kept(checkpoints):
    assert checkpoints.positions() == []
    for step in (1, 2, 3, 10):
        checkpoints.save(at(step))
    assert checkpoints.positions() == [Position(10, 0, True), Position(3, 0, True)]
    for step in (3, 10):
        assert_equal(checkpoints.load(Position(step, 0, True)), at(step))


def test_saving_a_position_again_replaces_it(checkpoints):
    for step in (1, 2, 2):
        checkpoints.save(at(step))
    assert checkpoints.positions() == [Position(2, 0, True), Position(1, 0, True)]


def test_discarded_checkpoints(checkpoints):
    for step in (1, 2):
        checkpoints.save(at(step))
    checkpoints.discard_newer(Position(2, 0, True))
    assert len(checkpoints.positions()) == 2
    checkpoints.discard_newer(Position(1, 0, True))
    assert checkpoints.positions() == [Position(1, 0, True)]
    checkpoints.save(at(5))
    checkpoints.discard_all_but(Position(1, 0, True))
    assert checkpoints.positions() == [Position(1, 0, True)]


def test_other_files_are_left_unchanged(checkpoints):
    checkpoints.save(at(1))
    others = ["notes.txt", "1-0-1.ckpt", "000000009-000000000-1", "000000009-000000000-1.ckpt.old"]
    for name in others:
        (checkpoints.folder / name).write_text("")
    checkpoints.save(at(2))
    assert checkpoints.positions() == [Position(2, 0, True), Position(1, 0, True)]
    assert set(others) < set(os.listdir(checkpoints.folder))


def test_leftovers_of_a_kill_are_removed_by_the_next_save(checkpoints):
    checkpoints.save(at(1))
    left = checkpoints.folder / ".000000009-000000000-1.ckpt.0123abcd"
    left.write_bytes((checkpoints.folder / "000000001-000000000-1.ckpt").read_bytes())
    assert checkpoints.positions() == [Position(1, 0, True)]
    checkpoints.save(at(2))
    assert not left.exists()


# Listings that are out of date ----------------------------------------------------------------------------------------


def test_checkpoints_are_found_while_the_listing_is_out_of_date(checkpoints, monkeypatch):
    for step in (1, 2, 3):
        checkpoints.save(at(step))
    names = [f"00000000{step}-000000000-1.ckpt" for step in (1, 2, 3)]
    two, three = Position(2, 0, True), Position(3, 0, True)
    for listing in ([], names[1:2], names[1:]):
        monkeypatch.setattr(os, "listdir", lambda folder, listing=listing: listing)
        assert checkpoints.positions() == [three, two]
    # A checkpoint that was removed is listed, but cannot be loaded.
    monkeypatch.setattr(os, "listdir", lambda folder: names[:1])
    assert checkpoints.positions() == [three, two, Position(1, 0, True)]
    assert refusal(checkpoints, 1) == "is missing"


@pytest.mark.parametrize("killed_at", [1, 2])
def test_a_kill_before_the_checkpoint_leaves_an_index_that_names_too_many(checkpoints, monkeypatch, killed_at):
    """The kill comes after the index was written; a first checkpoint that does not exist is not expected to."""
    for step in range(1, killed_at):
        checkpoints.save(at(step))
    with monkeypatch.context() as patch:
        patch.setattr(module, "atomic_write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(at(killed_at))
    assert (checkpoints.folder / "index.json").is_file()
    monkeypatch.setattr(os, "listdir", lambda folder: [])
    assert checkpoints.positions() == [Position(step, 0, True) for step in range(1, killed_at)]


def interrupt(*_):
    raise KeyboardInterrupt


def test_saved_checkpoints_that_are_not_visible_are_still_expected(checkpoints):
    for step in (1, 2, 3):
        checkpoints.save(at(step))
    for step in (2, 3):
        (checkpoints.folder / f"00000000{step}-000000000-1.ckpt").unlink()
    assert checkpoints.positions() == [Position(2, 0, True)]
    assert refusal(checkpoints, 2) == "is missing"


@pytest.mark.parametrize(
    "index", [b"", b"[]", b"{", b"null", b"{}", b'{"saved": "000000009-000000000-1.ckpt", "saving": {}}',
              b'{"saved": [1, null], "saving": [["000000009-000000000-1.ckpt"]]}',
              b'{"saved": ["../000000009-000000000-1.ckpt"], "saving": ["notes.txt"]}']
)  # fmt: skip
def test_the_listing_is_used_if_the_index_is_damaged(checkpoints, index):
    checkpoints.save(at(1))
    (checkpoints.folder / "index.json").write_bytes(index)
    assert checkpoints.positions() == [Position(1, 0, True)]
    checkpoints.save(at(2))
    assert checkpoints.positions() == [Position(2, 0, True), Position(1, 0, True)]


def test_folders_of_earlier_versions_have_no_index(checkpoints):
    for step in (1, 2):
        checkpoints.save(at(step))
    (checkpoints.folder / "index.json").unlink()
    assert checkpoints.positions() == [Position(2, 0, True), Position(1, 0, True)]


# Damage ---------------------------------------------------------------------------------------------------------------


def refusal(checkpoints, step, kind=DamagedFileError):
    """The error of loading, without the name of the file."""
    with pytest.raises(kind) as error:
        checkpoints.load(Position(step, 0, True))
    name, _, line = str(error.value).partition(": ")
    assert name == str(checkpoints.folder / f"{step:09d}-000000000-1.ckpt")
    assert "\n" not in line
    return line


def test_changed_bytes_are_detected(checkpoints):
    checkpoints.save(at(1, size=2000))
    file = checkpoints.folder / "000000001-000000000-1.ckpt"
    sound = file.read_bytes()
    chance = random.Random(20)
    detected = 0
    for _ in range(200):
        where = chance.randrange(len(sound))
        changed = chance.choice([value for value in range(256) if value != sound[where]])
        file.write_bytes(sound[:where] + bytes([changed]) + sound[where + 1 :])
        assert refusal(checkpoints, 1) == "is damaged: its checksum does not match"
        detected += 1
    assert detected == 200
    file.write_bytes(sound)
    assert_equal(checkpoints.load(Position(1, 0, True)), at(1, size=2000))


def test_every_changed_bit_of_the_checksum_is_detected(checkpoints):
    """Including bits that change a digit to a capital letter and the newline to other white space."""
    checkpoints.save(at(1))
    file = checkpoints.folder / "000000001-000000000-1.ckpt"
    sound = file.read_bytes()
    for where, bit in itertools.product(range(65), range(8)):
        file.write_bytes(sound[:where] + bytes([sound[where] ^ (1 << bit)]) + sound[where + 1 :])
        refusal(checkpoints, 1)


def test_truncations_and_additions_are_detected(checkpoints):
    checkpoints.save(at(1))
    file = checkpoints.folder / "000000001-000000000-1.ckpt"
    sound = file.read_bytes()
    chance = random.Random(21)
    for length in [0, 1, 64, 65, 66, len(sound) - 1, *(chance.randrange(len(sound)) for _ in range(50))]:
        file.write_bytes(sound[:length])
        refusal(checkpoints, 1)
    for added in (b"\0", b"\n", sound):
        file.write_bytes(sound + added)
        refusal(checkpoints, 1)


def test_a_missing_checkpoint_is_named(checkpoints):
    assert refusal(checkpoints, 4) == "is missing"


def test_a_checkpoint_under_another_name_is_refused(checkpoints):
    checkpoints.save(at(1))
    os.rename(checkpoints.folder / "000000001-000000000-1.ckpt", checkpoints.folder / "000000002-000000000-1.ckpt")
    assert refusal(checkpoints, 2) == "is the checkpoint of another position, [1, 0, True]"


def test_another_format_version_is_refused_but_not_damage(checkpoints, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module, "FORMAT", 7)
        checkpoints.save(at(1))
    line = refusal(checkpoints, 1, UserError)
    assert line == "has checkpoint format 7; this version of floorbench reads 1"
    with pytest.raises(UserError) as error:
        checkpoints.load(Position(1, 0, True))
    assert not isinstance(error.value, DamagedFileError)


# No code --------------------------------------------------------------------------------------------------------------


class Trap:
    """Unpickling it creates a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_an_array_of_objects_is_refused_when_saving(checkpoints):
    checkpoints.save(at(1))
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        checkpoints.save(Checkpoint(Position(2, 0, True), {"a": np.array([{}])}, {}))
    assert sorted(os.listdir(checkpoints.folder)) == ["000000001-000000000-1.ckpt", "index.json"]


def test_pickled_code_is_refused_and_not_run(checkpoints, tmp_path):
    checkpoints.save(at(1))
    file = checkpoints.folder / "000000001-000000000-1.ckpt"
    sprung = tmp_path / "sprung"
    npz, npy = io.BytesIO(), io.BytesIO()
    trap = np.array([Trap(sprung)], dtype=object)
    with np.load(io.BytesIO(file.read_bytes()[65:])) as members:
        np.savez(npz, a=trap, numbers=members["numbers"])
    np.save(npy, trap)
    for content in (npz.getvalue(), npy.getvalue(), pickle.dumps(Trap(sprung))):
        file.write_bytes(signed(content))
        assert refusal(checkpoints, 1).startswith("is not a checkpoint: ")
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists()


def test_intact_files_that_are_not_checkpoints_are_refused(checkpoints):
    checkpoints.folder.mkdir()
    for members in ({}, {"a": np.zeros(3)}, {"numbers": np.zeros(3)}, {"numbers": np.frombuffer(b"[1]", np.uint8)}):
        content = io.BytesIO()
        np.savez(content, **members)
        (checkpoints.folder / "000000001-000000000-1.ckpt").write_bytes(signed(content.getvalue()))
        assert refusal(checkpoints, 1).startswith("is not a checkpoint: ")
