from dataclasses import dataclass

from worldloom.training_line import TrainingLine, line_of


@dataclass
class Report:  # the fields of worldloom.train.callbacks.callback.StepReport that are shown
    step: int
    loss: float = 0.5
    frames_per_s: float = 40.0
    data_wait_s: float = 0.1
    seconds: float = 1.0


def test_the_line_says_loss_speed_wait_and_what_is_left():
    line = line_of([Report(9, loss=0.25), Report(10, loss=0.75)], 110)
    assert line == "step 10/110  loss 0.5000  40.0 frames/s  waiting for data 10%  100 s left"


def test_speed_is_frames_over_time_not_a_mean_of_rates():
    line = line_of([Report(1, frames_per_s=100, seconds=1), Report(2, frames_per_s=0, seconds=3)], 2)
    assert "25.0 frames/s" in line and line.endswith("done")


def test_where_there_is_no_terminal_the_last_step_is_always_said(capsys):
    line = TrainingLine(every_s=1e9)
    for step in range(1, 6):
        line.step(Report(step), 5)
    said = capsys.readouterr().out.splitlines()
    assert [text.split()[1] for text in said] == ["1/5", "5/5"]


def test_a_validation_names_each_noise_level(capsys):
    class Validation:
        step, loss, loss_at, clips = 100, 0.5, {"0.1": 0.25, "0.9": 0.75}, 3

    TrainingLine().validated(Validation())
    said = capsys.readouterr().out
    assert "validation after step 100: loss 0.5000 over 3 clips (by t: 0.1: 0.2500, 0.9: 0.7500)" in said
