import numpy as np
import pytest

from worldloom.report.content import ReportContent, TrainingContent, WalkContent
from worldloom.report.demo_page import write_report
from worldloom.report.training import mean_psnr, psnr, repeated, running_mean, walk_words


def make_walk(frames=17, height=48, width=80, seed=0):
    rng = np.random.default_rng(seed)
    true = np.cumsum(rng.integers(0, 9, (frames, height, width, 3)), axis=0).clip(0, 255).astype(np.uint8)
    codec = np.clip(true.astype(int) + 3, 0, 255).astype(np.uint8)
    generated = np.clip(true.astype(int) + 12, 0, 255).astype(np.uint8)
    actions = np.tile(np.array([[1, 3]], np.uint8), (frames, 1))
    return WalkContent("a walk", true, codec, generated, actions, 16.0)


def test_psnr_is_the_formula():
    black, grey = np.zeros((2, 4, 4, 3), np.uint8), np.full((2, 4, 4, 3), 10, np.uint8)
    assert psnr(grey, black) == pytest.approx(20 * np.log10(255 / 10))
    assert np.isinf(psnr(black, black)).all() and mean_psnr(black, black) == np.inf


def test_the_first_frame_was_given_and_does_not_count():
    walk = make_walk()
    changed = walk.codec.copy()
    changed[0] = 0
    assert mean_psnr(changed, walk.true) == mean_psnr(walk.codec, walk.true)


def test_the_words_of_a_walk_name_model_codec_and_the_frozen_frame():
    walk = make_walk()
    words = walk_words(walk)
    for pictures in (walk.generated, walk.codec, repeated(walk)):
        assert f"{mean_psnr(pictures, walk.true):.1f} dB" in words


def test_a_running_mean_keeps_the_mean_and_starts_with_the_first_value():
    values = np.random.default_rng(0).random(200)
    smooth = running_mean(values)
    assert smooth[0] == values[0] and len(smooth) == 200
    assert smooth[-1] == pytest.approx(values[-10:].mean())
    np.testing.assert_allclose(running_mean(np.full(30, 2.0)), 2.0)


def test_the_report_draws_a_training(tmp_path):
    content = ReportContent(title="t")
    content.training = TrainingContent(
        np.arange(1, 101),
        np.exp(-np.arange(100) / 30) + 0.1,
        {0.1: 0.5, 0.9: 0.9},
        {0.1: 0.2, 0.9: 0.8},
        {"parameters": "3.1 M"},
        [make_walk()],
    )
    page = write_report(tmp_path / "report.html", content).read_text("utf-8")
    for words in ("Training loss", "Validation loss", "parameters 3.1 M", walk_words(content.training.walks[0])):
        assert words in page
    assert page.count("data:image/png") == 3


def test_without_a_training_the_report_says_nothing_of_one(tmp_path):
    page = write_report(tmp_path / "report.html", ReportContent(title="t")).read_text("utf-8")
    assert "small model" not in page
