"""Lists of videos: every form of source, and every way in which one can be wrong."""

import builtins
import pathlib

import pytest

from apps.action_recognition.data import VideoList, load_videos, split_videos
from tests.apps.action_recognition.data.videos import write_bad_files, write_video
from tools.errors import InputError


def names(videos):
    return [
        (pathlib.Path(path).name, videos.classes[label])
        for path, label in zip(videos.paths, videos.labels, strict=True)
    ]


def test_folder_sorts_classes_and_ignores_what_is_hidden_or_no_video(two_classes):
    (two_classes / ".cache").mkdir()
    write_video(two_classes / "archery" / ".half.mp4")
    write_video(two_classes / "archery" / "more" / "deep.mp4")
    write_video(two_classes / "archery" / ".trash" / "gone.mp4")
    (two_classes / "archery" / "notes.md").write_text("read me")
    videos = load_videos(two_classes)
    assert videos.classes == ("archery", "bowling")
    assert names(videos) == [
        *[(f"{number}.mp4", "archery") for number in range(3)],
        ("deep.mp4", "archery"),
        *[(f"{number}.mp4", "bowling") for number in range(3)],
    ]
    assert videos.skipped == ()


def test_given_classes_set_the_labels_and_may_be_more_than_the_folder_has(two_classes):
    videos = load_videos(two_classes, classes=["bowling", "curling", "archery"])
    assert videos.labels == (2, 2, 2, 0, 0, 0)
    with pytest.raises(InputError, match="archery"):
        load_videos(two_classes, classes=["bowling", "curling"])
    with pytest.raises(InputError, match="different names"):
        load_videos(two_classes, classes=["bowling", "bowling"])


def test_folders_that_are_no_data_set(tmp_path, two_classes):
    with pytest.raises(InputError, match=r"nowhere.*not found"):
        load_videos(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no subfolders"):
        load_videos(two_classes / "archery")
    (two_classes / "curling").mkdir()
    (two_classes / "curling" / "notes.txt").write_text("soon")
    with pytest.raises(InputError, match=r"class folder .*curling"):
        load_videos(two_classes)
    write_video(tmp_path / "one" / "alone" / "0.mp4")
    with pytest.raises(InputError, match=r"at least two classes.*alone"):
        load_videos(tmp_path / "one")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(InputError, match=r"list\.json"):
        load_videos(tmp_path / "list.json")


def write_csv(folder, text):
    (folder / "list.csv").write_text(text)
    return folder / "list.csv"


def test_csv_with_names_numbers_and_roots(two_classes, tmp_path):
    rows = "videos/archery/0.mp4,{}\nvideos/bowling/1.mp4,{}\n"
    named = load_videos(write_csv(tmp_path, "path,label\n" + rows.format("archery", "bowling")))
    assert names(named) == [("0.mp4", "archery"), ("1.mp4", "bowling")]
    numbered = load_videos(write_csv(tmp_path, "\ufeffPath, Label\n" + rows.format(0, 1)))
    assert (numbered.labels, numbered.classes) == ((0, 1), ("0", "1"))
    given = load_videos(write_csv(tmp_path, "path,label\n" + rows.format(2, 0)), classes=("a", "b", "c"))
    assert names(given) == [("0.mp4", "c"), ("1.mp4", "a")]
    elsewhere = tmp_path / "lists"
    elsewhere.mkdir()
    rooted = load_videos(write_csv(elsewhere, "path,label\n" + rows.format("x", "y")), root=tmp_path)
    assert rooted.paths == (str(tmp_path / "videos/archery/0.mp4"), str(tmp_path / "videos/bowling/1.mp4"))


def test_csv_of_kinetics_names_the_file_by_its_seconds(tmp_path):
    write_video(tmp_path / "arm wrestling" / "AbC_1-2_000007_000017.mp4")
    write_video(tmp_path / "xyz_000100_000110.mp4")
    text = "label,youtube_id,time_start,time_end,split\narm wrestling,AbC_1-2,7,17,val\nbowling,xyz,100,110,val\n"
    videos = load_videos(write_csv(tmp_path, text))
    assert names(videos) == [("AbC_1-2_000007_000017.mp4", "arm wrestling"), ("xyz_000100_000110.mp4", "bowling")]


@pytest.mark.parametrize(
    ("text", "classes", "message"),
    [
        ("path,class\na.mp4,1\n", None, "column 'label'.*path, class"),
        ("a.mp4,0\nb.mp4,1\n", None, "column 'path'"),
        ("", None, "column 'path'.*columns none"),
        ("path,label\n", None, "Received none"),
        ("path,label\na.mp4,0\nb.mp4,5\n", ("x", "y"), "row 3.*from 0 to 1.*Received 5"),
        ("path,label\na.mp4,-1\nb.mp4,1\n", None, "row 2.*from 0 to 1.*Received -1"),
        ("path,label\na.mp4,x\nb.mp4,z\n", ("x", "y"), "row 3.*'z'"),
        ("path,label\na.mp4,-1\nb.mp4,0\n", None, "row 2.*Received -1"),
        ("path,label\na.mp4,0\nb.mp4,1700000000\n", None, "row 3.*from 0 to 99999.*Received 1700000000"),
        ("path,label\na.mp4,x\nb.mp4\n", None, "row 3.*'label'"),
        ("path,label\na.mp4,x\nb.mp4,1\n", None, "Received both"),
        ("path,label\na.mp4,x\nb.mp4,x\n", None, "at least two classes"),
        ("label,youtube_id,time_start,time_end\nx,a,soon,9\n", None, "row 2.*time_start"),
    ],
)
def test_csv_that_is_wrong(tmp_path, text, classes, message):
    with pytest.raises(InputError, match=message):
        load_videos(write_csv(tmp_path, text), classes=classes, check=False)


def test_csv_that_is_not_text(tmp_path):
    (tmp_path / "list.csv").write_bytes(b"path,label\n\xff\xfe\x00,1\n")
    with pytest.raises(InputError, match=r"list\.csv.*UTF-8"):
        load_videos(tmp_path / "list.csv")


def test_split_files_of_ucf101(tmp_path):
    (tmp_path / "classInd.txt").write_text("1 ApplyEyeMakeup\n2 Archery\n3 Biking\n")
    (tmp_path / "trainlist01.txt").write_text("Biking/v_Biking_g08_c01.avi 3\r\nArchery/v_Archery_g08_c01.avi 2\r\n")
    (tmp_path / "testlist01.txt").write_text("Biking/v_Biking_g01_c01.avi\n\n")
    training = load_videos(tmp_path / "trainlist01.txt", root=tmp_path / "UCF-101", check=False)
    assert names(training) == [("v_Biking_g08_c01.avi", "Biking"), ("v_Archery_g08_c01.avi", "Archery")]
    assert training.labels == (2, 1)
    assert training.paths[0] == str(tmp_path / "UCF-101/Biking/v_Biking_g08_c01.avi")
    assert load_videos(tmp_path / "testlist01.txt", check=False).labels == (2,)
    (tmp_path / "trainlist01.txt").write_text("Biking/v_Biking_g08_c01.avi 4\n")
    with pytest.raises(InputError, match=r"line 1.*from 1 to 3.*Received 4"):
        load_videos(tmp_path / "trainlist01.txt", check=False)
    (tmp_path / "trainlist01.txt").write_text("alone.avi 1\n")
    with pytest.raises(InputError, match="Class/video"):
        load_videos(tmp_path / "trainlist01.txt", check=False)


def test_split_files_of_hmdb51(tmp_path):
    (tmp_path / "wave_test_split1.txt").write_text("a.avi 1 \nb.avi 2 \nc.avi 0 \n")
    (tmp_path / "brush_hair_test_split1.txt").write_text("d.avi 1\ne.avi 2\n")
    (tmp_path / "wave_test_split2.txt").write_text("z.avi 1\n")
    training = load_videos(tmp_path, root="/videos", subset="train", check=False)
    assert training.paths == ("/videos/brush_hair/d.avi", "/videos/wave/a.avi")
    assert training.classes == ("brush_hair", "wave")
    assert names(load_videos(tmp_path, subset="test", check=False)) == [("e.avi", "brush_hair"), ("b.avi", "wave")]
    with pytest.raises(InputError, match="'train' or 'test'"):
        load_videos(tmp_path, root="/videos")
    (tmp_path / "wave_test_split1.txt").write_text("a.avi 3\n")
    with pytest.raises(InputError, match=r"line 1.*0, 1 or 2"):
        load_videos(tmp_path, subset="train", check=False)


def test_what_cannot_be_read_is_left_out_with_its_reason_and_reported(two_classes, capsys):
    expected = write_bad_files(two_classes / "archery")
    (two_classes / "archery" / "nothing.mp4").symlink_to(two_classes / "gone.mp4")
    write_video(two_classes / "bowling" / "one_frame.mp4", frames=1)
    videos = load_videos(two_classes)
    skipped = {pathlib.Path(path).name: reason for path, reason in videos.skipped}
    assert set(skipped) == {*expected, "nothing.mp4"}
    for name, part in {**expected, "nothing.mp4": "no such file"}.items():
        assert part in skipped[name], (name, skipped[name])
    assert len(videos) == 7
    assert ("one_frame.mp4", "bowling") in names(videos)
    report = capsys.readouterr().err
    assert report.count("\n") == 1
    assert "8 of 15 videos cannot be read and are skipped" in report
    assert all(name in report for name in skipped)


def test_file_without_permission_is_left_out(two_classes, monkeypatch):
    secret = str(two_classes / "bowling" / "1.mp4")
    real = builtins.open

    def refuse(path, *arguments, **keywords):
        if str(path) == secret:
            raise PermissionError(13, "Permission denied", path)
        return real(path, *arguments, **keywords)

    # The tests may run as root, whom no permission stops.
    monkeypatch.setattr(builtins, "open", refuse)
    assert load_videos(two_classes).skipped == ((secret, "Permission denied"),)


def test_report_names_the_first_ten_only(two_classes, capsys):
    for number in range(14):
        (two_classes / "archery" / f"bad{number:02d}.mp4").touch()
    assert len(load_videos(two_classes).skipped) == 14
    report = capsys.readouterr().err
    assert "bad09.mp4" in report and "bad10.mp4" not in report and "and 4 more" in report


def test_class_of_which_nothing_can_be_read_is_an_error(two_classes):
    for path in (two_classes / "bowling").iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"class 'bowling'.*bowling/0\.mp4: the file is empty"):
        load_videos(two_classes)
    for path in (two_classes / "archery").iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match="Received 6 of which none can"):
        load_videos(two_classes)
    assert len(load_videos(two_classes, check=False)) == 6


def made_up(counts):
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    return VideoList(tuple(f"{index}.mp4" for index in range(len(labels))), tuple(labels), ("a", "b", "c"))


def test_split_keeps_the_shares_and_follows_the_seed():
    videos = made_up((10, 20, 2))
    training, validation = split_videos(videos, 0.2, seed=3)
    assert sorted(training.paths + validation.paths) == sorted(videos.paths)
    assert [validation.labels.count(label) for label in range(3)] == [2, 4, 1]
    assert split_videos(videos, 0.2, seed=3) == (training, validation)
    assert split_videos(videos, 0.2, seed=4) != (training, validation)
    label_of = dict(zip(videos.paths, videos.labels, strict=True))
    assert all(label_of[path] == label for path, label in zip(validation.paths, validation.labels, strict=True))


def test_split_in_blocks_takes_the_end_of_each_class():
    training, validation = split_videos(made_up((4, 8, 0)), 0.25, seed=3, blocks=True)
    assert validation.paths == ("3.mp4", "10.mp4", "11.mp4")
    assert training.paths == ("0.mp4", "1.mp4", "2.mp4", "4.mp4", "5.mp4", "6.mp4", "7.mp4", "8.mp4", "9.mp4")


@pytest.mark.parametrize("fraction", [0, 1, -0.5, float("nan")])
def test_split_refuses_a_fraction_out_of_range(fraction):
    with pytest.raises(InputError, match="validation_fraction"):
        split_videos(made_up((3, 3, 3)), fraction, seed=0)


def test_split_refuses_a_class_of_one_video():
    with pytest.raises(InputError, match="class 'b'"):
        split_videos(made_up((3, 1, 3)), 0.5, seed=0)
