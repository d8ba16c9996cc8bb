"""Codes as phonemes on tables that can be counted by hand, and the files of phonemes."""

import numpy as np
import pytest

from apps.vq_vae.audio.phonemes import phoneme_accuracy, phonemes_at, read_phones
from apps.vq_vae.audio.spoken_sentences import sentences
from tools.errors import InputError


def test_each_code_is_its_likeliest_phoneme():
    train_codes = np.array([0, 0, 0, 1, 1, 2])
    train_phonemes = ["a", "a", "b", "b", "b", "c"]
    codes = np.array([0, 0, 1, 2, 2, 3, 3, 0])
    phonemes = ["a", "b", "b", "c", "a", "b", "a", "never"]
    report = phoneme_accuracy(train_codes, train_phonemes, codes, phonemes, 4)
    # 0 is a, 1 is b, 2 is c; 3, unseen, is the most frequent, b. Right are the places 0, 2, 3 and 5.
    assert report.accuracy == 4 / 8 and report.prior_phoneme == "b" and report.prior_accuracy == 3 / 8
    assert (report.places, report.phonemes, report.unseen_codes) == (8, 3, 2 / 8)


def test_codes_that_say_nothing_are_worth_the_prior():
    rng = np.random.default_rng(0)
    names = rng.choice(["a", "b", "c"], 20_000, p=[0.5, 0.3, 0.2]).tolist()
    report = phoneme_accuracy(rng.integers(0, 8, 10_000), names[:10_000], rng.integers(0, 8, 10_000), names[10_000:], 8)
    assert report.accuracy == report.prior_accuracy == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("codes", "phonemes", "message"),
    [
        ([], [], "Received codes"),
        ([0, 1], ["a"], "1 phonemes"),
        ([0, 4], ["a", "b"], "less than 4"),
        ([-1], ["a"], "0"),
    ],
)
def test_refuses_what_does_not_fit(codes, phonemes, message):
    with pytest.raises(InputError, match=message):
        phoneme_accuracy(np.array([0]), ["a"], np.array(codes, int), phonemes, 4)


def test_the_phoneme_of_the_middle_of_a_place(tmp_path):
    path = tmp_path / "a.phones"
    path.write_text("pau 0.1\nh 0.25\nay 0.5\n\n")
    names, ends = read_phones(path)
    assert names == ["pau", "h", "ay"]
    # Middles at 0.05, 0.15, 0.25 (where h has ended), 0.35, 0.45, and behind the end.
    assert phonemes_at(names, ends, 6, 0.1) == ["pau", "h", "ay", "ay", "ay", "ay"]


@pytest.mark.parametrize("text", ["", "pau\n", "pau x\n", "a 0.2\nb 0.1\n", "a nan\n"])
def test_refuses_files_of_phonemes(text, tmp_path):
    path = tmp_path / "a.phones"
    path.write_text(text)
    with pytest.raises(InputError, match=r"a\.phones"):
        read_phones(path)
    with pytest.raises(InputError, match=r"none\.phones"):
        read_phones(tmp_path / "none.phones")


def test_sentences_differ_and_are_those_of_the_seed():
    made = sentences(200, 3)
    assert len(set(made)) == 200 and made == sentences(200, 3) and made[:100] == sentences(100, 3)
    assert made != sentences(200, 4)
