"""Reading .wav files of every width, what is refused, names and manifests, and the batches of a training."""

import io
import struct

import numpy as np
import pytest
from scipy.io import wavfile

from apps.vq_vae.audio.data import (
    padded,
    read_recordings,
    read_wav,
    resample,
    segment_batches,
    speaker_numbers,
    validation_segments,
    write_wav,
)
from keras_layers import mu_law_encode
from tools.errors import InputError

SINE = np.sin(np.arange(400) / 7).astype(np.float32) * 0.7


def wav(samples: bytes, kind: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16, extra: bytes = b""):
    width = channels * bits // 8
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * width, width, bits) + extra
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    # A chunk of odd length before the samples, as editors leave them.
    body += b"LIST" + struct.pack("<I", 3) + b"abc\0" + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_reads_what_scipy_writes(kind, tmp_path):
    full = {np.uint8: 127, np.int16: 32767, np.int32: 2**31 - 129}.get(kind, 1)
    samples = (SINE * full + (128 if kind is np.uint8 else 0)).astype(kind)
    wavfile.write(tmp_path / "a.wav", 16000, samples)
    waveform, rate = read_wav(tmp_path / "a.wav")
    assert rate == 16000 and waveform.dtype == np.float32
    np.testing.assert_allclose(waveform, SINE, atol=0.02 if kind is np.uint8 else 1e-4)


def test_reads_24_bits_and_the_extensible_format(tmp_path):
    whole = np.array([0, 1, -1, 2**23 - 1, -(2**23)], "<i4")
    samples = whole.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    extra = struct.pack("<HHIH", 22, 24, 0, 1) + bytes(14)
    (tmp_path / "a.wav").write_bytes(wav(samples, 0xFFFE, bits=24, extra=extra))
    np.testing.assert_array_equal(read_wav(tmp_path / "a.wav")[0], (whole / 2**23).astype(np.float32))


def test_writes_what_it_reads(tmp_path):
    path = write_wav(tmp_path / "a.wav", np.append(SINE, [1.5, -1.5]), 8000)
    waveform, rate = read_wav(path)
    assert rate == 8000
    np.testing.assert_allclose(waveform[:-2], SINE, atol=1 / 32768)
    np.testing.assert_allclose(waveform[-2:], [1, -1], atol=1 / 32768)
    assert wavfile.read(path)[0] == 8000


GOOD = (SINE * 32767).astype("<i2").tobytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "which is empty"),
        (b"MP3 something else", "another kind of file"),
        (wav(GOOD)[:-100], "the file is cut off"),
        (wav(b""), "Expected at least one sample"),
        (wav(GOOD, channels=2), r"one channel \(mono\).* Received 2"),
        (wav(GOOD, kind=6, bits=8), "Received format 6 of 8 bits"),
        (wav(GOOD, rate=0), "Expected a rate of 1000 to 768000"),
        (wav(GOOD[:-1]), "Expected whole samples of 16 bits"),
        (wav(np.array([0, np.nan], "<f4").tobytes(), 3, bits=32), "Expected finite samples"),
        (b"RIFF\0\0\0\0WAVE", "Expected .* to hold a format and samples. Received chunks none"),
    ],
)
def test_refuses_in_one_line_that_names_the_file(content, message, tmp_path):
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_wav(path)
    assert "bad.wav" in str(caught.value) and "\n" not in str(caught.value)


def test_resampling_keeps_a_tone():
    seconds, rate = 0.5, 16000
    tone = np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate).astype(np.float32)
    lower = resample(tone, rate, 8000)
    assert len(lower) == 4000 and lower.dtype == np.float32
    expected = np.sin(2 * np.pi * 440 * np.arange(4000) / 8000)
    np.testing.assert_allclose(lower[100:-100], expected[100:-100], atol=0.01)
    assert resample(tone, rate, rate) is tone


@pytest.fixture
def folder(tmp_path):
    for number in range(6):
        length = 300 + 200 * number
        write_wav(tmp_path / f"{number % 3}_{'ab'[number % 2]}_{number}.wav", np.full(length, (number + 1) / 10), 8000)
    return tmp_path


def test_reads_a_folder_by_the_pattern_of_its_names_at_one_rate(folder):
    write_wav(folder / "0_b_9.wav", np.zeros(1000), 16000)
    lines = []
    recordings = read_recordings(folder, 8000, "{label}_{speaker}_{index}", lines.append)
    assert recordings.names == sorted(recordings.names) and len(recordings) == 7
    assert dict(zip(recordings.names, recordings.speakers, strict=True))["1_b_1.wav"] == "b"
    assert dict(zip(recordings.names, recordings.labels, strict=True))["2_a_2.wav"] == "2"
    assert len(recordings.waveforms[recordings.names.index("0_b_9.wav")]) == 500
    assert len(lines) == 1 and "1 from 16000 Hz" in lines[0] and "8000 Hz" in lines[0]


def test_reads_a_manifest(folder):
    (folder / "manifest.csv").write_text("file,speaker\n1_b_1.wav,anna\n0_a_0.wav,ben\n")
    recordings = read_recordings(folder)
    assert recordings.speakers == ["anna", "ben"] and recordings.labels is None and recordings.rate == 8000
    assert [len(waveform) for waveform in recordings.waveforms] == [500, 300]
    (folder / "manifest.csv").write_text("file,speaker\n1_b_1.wav,\n")
    with pytest.raises(InputError, match=r"Expected a speaker in every line .* in line 2"):
        read_recordings(folder)
    (folder / "manifest.csv").write_text("path\nx\n")
    with pytest.raises(InputError, match="Expected a column 'file'"):
        read_recordings(folder)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("{label}-{speaker}", "Expected names of the pattern"), ("{index}", "Expected a pattern such as")],
)
def test_refuses_a_pattern(folder, pattern, message):
    with pytest.raises(InputError, match=message):
        read_recordings(folder, pattern=pattern)


def test_refuses_a_folder_without_recordings(tmp_path):
    with pytest.raises(InputError, match="Received a folder without any"):
        read_recordings(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        read_recordings(tmp_path / "none")
    (tmp_path / "pixels.npy").write_bytes(b"")
    with pytest.raises(InputError, match=r"Received .*pixels\.npy, a file of another name"):
        read_recordings(tmp_path / "pixels.npy", pattern="{label}_{speaker}_{index}")


def test_speakers_by_number(folder):
    recordings = read_recordings(folder, pattern="{label}_{speaker}_{index}")
    numbers = speaker_numbers(recordings, ["a", "b"], "x")
    assert [["a", "b"][number] for number in numbers] == recordings.speakers
    assert speaker_numbers(recordings, [], "x") is None
    with pytest.raises(InputError, match=r"Expected one of the speakers a\. Received 'b'"):
        speaker_numbers(recordings, ["a"], "x")
    with pytest.raises(InputError, match="Expected the speakers of x"):
        speaker_numbers(read_recordings(folder), ["a"], "x")


def test_padding_is_silence_of_no_weight():
    waveform, weights = padded([np.ones(5), np.ones(9)], 4)
    assert waveform.shape == (2, 12) and weights.sum(axis=1).tolist() == [5, 9]
    np.testing.assert_array_equal(waveform, weights)


def values_of(dataset):
    return [
        (inputs["waveform"].numpy(), inputs["speaker"].numpy(), levels.numpy(), weights.numpy())
        for inputs, levels, weights in dataset
    ]


def test_batches_are_pieces_of_one_recording_and_a_function_of_the_seed(folder):
    recordings = read_recordings(folder, pattern="{label}_{speaker}_{index}")
    speakers = speaker_numbers(recordings, ["a", "b"], "x")
    make = segment_batches(recordings, speakers, 512, 3, 4, 2, seed=5)
    batches = values_of(make(0))
    assert len(batches) == 8
    by_value = {round(float(w[0]), 3): (len(w), s) for w, s in zip(recordings.waveforms, speakers, strict=True)}
    seen = []
    for waveform, speaker, levels, weights in batches:
        np.testing.assert_array_equal(levels, mu_law_encode(waveform))
        for row, number, weight in zip(waveform, speaker, weights, strict=True):
            length, own = by_value[round(float(row[0]), 3)]
            assert number == own and weight.sum() == min(length, 512)
            np.testing.assert_array_equal(row, row[0] * weight)
            seen.append(round(float(row[0]), 3))
    # Every pass takes each recording once.
    assert sorted(seen[:6]) == sorted(seen[6:12]) == sorted(by_value)
    for before, after in zip(batches[4:], values_of(make(1)), strict=True):
        for left, right in zip(before, after, strict=True):
            np.testing.assert_array_equal(left, right)
    other = values_of(segment_batches(recordings, speakers, 512, 3, 4, 2, seed=6)(0))
    assert any(np.any(left[0] != right[0]) for left, right in zip(batches, other, strict=True))


def test_segments_begin_anywhere(tmp_path):
    write_wav(tmp_path / "ramp.wav", np.arange(1000) / 1000, 8000)
    recordings = read_recordings(tmp_path)
    make = segment_batches(recordings, np.zeros(1, np.int32), 64, 4, 50, 1, seed=0)
    begins = np.concatenate([waveform[:, 0] for waveform, *_ in values_of(make(0))]) * 1000
    assert begins.min() < 60 and begins.max() > 880 and len(np.unique(begins.round())) > 150


def test_validation_is_every_sample_once(folder):
    recordings = read_recordings(folder, pattern="{label}_{speaker}_{index}")
    batches = values_of(validation_segments(recordings, np.zeros(6, np.int32), 512, 4))
    assert sum(weights.sum() for *_, weights in batches) == sum(map(len, recordings.waveforms))
    total = sum(waveform.sum() for waveform, *_ in batches)
    assert total == pytest.approx(sum(waveform.sum() for waveform in recordings.waveforms), rel=1e-5)


@pytest.mark.real_data
def test_spoken_digits(real_data, tmp_path):
    import tarfile

    with tarfile.open(real_data / "audio" / "free_spoken_digits.tar.xz") as archive:
        members = [next(member for member in archive if member.name.endswith(".wav")) for _ in range(1)]
        content = archive.extractfile(members[0]).read()
    path = tmp_path / members[0].name.split("/")[-1]
    path.write_bytes(content)
    recordings = read_recordings(path.parent, pattern="{label}_{speaker}_{index}")
    rate, samples = wavfile.read(io.BytesIO(content))
    assert recordings.rate == rate == 8000 and recordings.labels[0] in "0123456789"
    np.testing.assert_allclose(recordings.waveforms[0] * 32768, samples, atol=0.01)


def test_a_manifest_names_files_of_its_folder(tmp_path):
    write_wav(tmp_path / "a.wav", np.zeros(10), 4000)
    (tmp_path / "inner").mkdir()
    for name in ("../a.wav", str(tmp_path / "a.wav")):
        (tmp_path / "inner" / "manifest.csv").write_text(f"file\n{name}\n")
        with pytest.raises(InputError, match="Expected files below"):
            read_recordings(tmp_path / "inner")


@pytest.mark.parametrize("rate", [7, 4_000_000_000])
def test_a_rate_at_which_nothing_is_recorded(tmp_path, rate):
    path = write_wav(tmp_path / "a.wav", np.zeros(10), 4000)
    data = bytearray(path.read_bytes())
    data[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"samples a second in .*a.wav. Received {rate}"):
        read_recordings(path)
    with pytest.raises(InputError, match=r"samples a second \(rate\)"):
        read_recordings(path, rate)


def test_a_pattern_of_numbers(tmp_path):
    write_wav(tmp_path / "a_1.wav", np.zeros(10), 4000)
    with pytest.raises(InputError, match="Expected a pattern such as"):
        read_recordings(tmp_path, pattern="{label}_{1}")
