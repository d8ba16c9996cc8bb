"""Files appear whole or not at all."""

import numpy as np
import pytest

from tools.errors import InputError
from tools.files import read_arrays, read_json, replacing, write_json


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), replacing(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    with pytest.raises(ValueError):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe\x00"])
def test_what_is_no_json_object_is_refused(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json"):
        read_json(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.json"):
        read_json(tmp_path / "a.json")


def test_what_is_no_npz_is_named_without_advice_to_load_it_unsafely(tmp_path):
    path = tmp_path / "video.mp4"
    path.write_bytes(b"\0\0\0\x18ftypmp42")
    with pytest.raises(InputError, match=r"video\.mp4: another kind of file, or one of Python objects\.$"):
        read_arrays(path)


def test_names_that_a_file_lacks_are_named(tmp_path):
    write_json(tmp_path / "a.json", {"kind": "run"})
    np.savez(tmp_path / "a.npz", user=np.zeros(2))
    assert read_json(tmp_path / "a.json", "kind") == {"kind": "run"} and "user" in read_arrays(
        tmp_path / "a.npz", "user"
    )
    with pytest.raises(InputError, match=r"kind, digest in .*a.json. Received it without digest"):
        read_json(tmp_path / "a.json", "kind", "digest")
    with pytest.raises(InputError, match=r"item in .*a.npz. Received it without item"):
        read_arrays(tmp_path / "a.npz", "item")
