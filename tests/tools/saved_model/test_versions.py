"""Version directories: whole or not at all, whoever else publishes."""

import fcntl
import multiprocessing
import os
import time

import pytest

from tools.errors import InputError
from tools.saved_model import versions
from tools.saved_model.versions import ABANDONED_AFTER_SECONDS, TEMPORARY, new_version


def write(base, version=None, text="whole"):
    with new_version(base, "model", version) as new:
        (new.path / "part").mkdir()
        (new.path / "part" / "file").write_text(text)
        new.commit()
    return new.committed


def write_some(base, count):
    for _ in range(count):
        write(base)


def test_numbers_follow_the_highest_as_tensorflow_serving_reads_names(tmp_path):
    assert write(tmp_path) == 1
    (tmp_path / "model" / "00000041").mkdir()
    (tmp_path / "model" / "notes").mkdir()
    assert write(tmp_path) == 42
    assert write(tmp_path, 7) == 7
    assert write(tmp_path) == 43


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "2", 2**63])
def test_refuses_what_is_no_version(tmp_path, version):
    with pytest.raises(InputError, match="Expected a version number"):
        write(tmp_path, version)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("existing", ["3", "003"])
def test_refuses_an_existing_version_and_leaves_it_alone(tmp_path, existing):
    (tmp_path / "model" / existing).mkdir(parents=True)
    with pytest.raises(InputError, match=r"not published yet\. Received 3"):
        write(tmp_path, 3)
    assert os.listdir(tmp_path / "model") == [existing]


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "12", "a b", "a:b", None])
def test_refuses_unusable_names(tmp_path, name):
    with pytest.raises(InputError, match="Expected a model name"), new_version(tmp_path, name):
        pass
    assert os.listdir(tmp_path) == []


def test_refuses_a_base_that_is_a_file(tmp_path):
    (tmp_path / "base").write_text("")
    with pytest.raises(InputError, match=r"Received the file .*base"):
        write(tmp_path / "base")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_an_error_leaves_nothing_not_even_the_folders_made_for_it(tmp_path, error):
    with pytest.raises(error), new_version(tmp_path / "new" / "base", "model") as new:
        (new.path / "file").write_text("half")
        raise error
    assert os.listdir(tmp_path) == []


def test_an_error_leaves_other_versions(tmp_path):
    write(tmp_path)
    with pytest.raises(RuntimeError), new_version(tmp_path, "model"):
        raise RuntimeError
    assert os.listdir(tmp_path / "model") == ["1"]


def test_a_version_appears_only_with_commit(tmp_path):
    with new_version(tmp_path, "model") as new:
        assert versions.versions(tmp_path / "model") == []
        assert not new.path.name.isdigit()
        new.commit()
        assert versions.versions(tmp_path / "model") == [1]


def test_the_directory_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").mkdir()
    write(tmp_path)
    assert (tmp_path / "model" / "1").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_number_taken_meanwhile_moves_on_or_is_refused(tmp_path):
    with new_version(tmp_path, "model") as first, new_version(tmp_path, "model", 1) as second:
        for new in (first, second):
            (new.path / "file").write_text("")
        first.commit()
        with pytest.raises(InputError, match="Received 1"):
            second.commit()
    assert sorted(os.listdir(tmp_path / "model")) == ["1"]


def test_a_rename_that_loses_the_race_takes_the_next_number(tmp_path, monkeypatch):
    write(tmp_path, text="other")
    seen = iter([[], [1]])
    monkeypatch.setattr(versions, "versions", lambda folder: next(seen))
    assert write(tmp_path) == 2
    assert (tmp_path / "model" / "1" / "part" / "file").read_text() == "other"


def test_concurrent_publishers_lose_nothing(tmp_path):
    context = multiprocessing.get_context("fork")
    publishers = [context.Process(target=write_some, args=(tmp_path, 10)) for _ in range(6)]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join(60)
        assert publisher.exitcode == 0
    assert sorted(os.listdir(tmp_path / "model"), key=int) == [str(number) for number in range(1, 61)]
    assert all((tmp_path / "model" / str(n) / "part" / "file").read_text() == "whole" for n in range(1, 61))


def test_what_a_killed_publisher_left_is_removed_and_a_living_ones_is_not(tmp_path):
    long_ago = time.time() - 2 * ABANDONED_AFTER_SECONDS
    abandoned, living, young = (tmp_path / "model" / f"{TEMPORARY}{name}" for name in ("dead", "living", "young"))
    for path in (abandoned, living, young):
        path.mkdir(parents=True)
        (path / "file").write_text("half")
    for path in (abandoned, living):
        os.utime(path, (long_ago, long_ago))
    descriptor = os.open(living, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        write(tmp_path)
    finally:
        os.close(descriptor)
    assert sorted(os.listdir(tmp_path / "model")) == sorted([living.name, young.name, "1"])
