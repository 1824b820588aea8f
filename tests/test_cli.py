"""Every exit code and what is said with it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from worldloom import console
from worldloom.catalogs.errors import BadInput, UsageError, WorldloomError
from worldloom.cli import app, main


@pytest.fixture(autouse=True)
def debug_off():
    yield
    console.settings.debug = False


def worldloom(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def job_file(folder: Path, **changes: object) -> Path:
    videos = folder / "videos"
    videos.mkdir(exist_ok=True)
    values = {"name": "job", "out": str(folder / "out"), "sources": [{"kind": "folder", "path": str(videos)}]} | changes
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_help_names_every_verb():
    result = worldloom("--help")
    assert result.exit_code == 0
    for verb in ("demo", "doctor", "run", "status", "inspect", "annotate", "scorecard", "verify"):
        assert verb in result.stdout


@pytest.mark.parametrize("verb", ["demo", "doctor", "run", "status", "inspect", "annotate", "scorecard", "verify"])
def test_every_verb_explains_itself(verb):
    result = worldloom(verb, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.stdout


def test_version():
    result = worldloom("--version")
    assert (result.exit_code, result.stdout) == (0, "worldloom 0.1.0\n")


def test_a_misspelt_verb_is_usage_and_names_the_near_one():
    result = worldloom("statsu", "x")
    assert result.exit_code == 2
    assert "status" in result.stderr


def test_a_verb_of_a_later_release_does_not_pretend_to_exist():
    assert worldloom("train", "x.yaml").exit_code == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "no-such.yaml"], "no-such.yaml: no such job file or folder"),
        (["status", "no-such-folder"], "no-such-folder: no such folder"),
        (["verify", "no-such-folder"], "no-such-folder: no such folder"),
        (["inspect", "no-such-folder"], "no-such-folder: no such folder"),
        (["annotate", "no-such.mp4"], "no-such.mp4: no such file or folder"),
        (["scorecard", "--clips", "0", "--real", "no-such-folder"], "no-such-folder: no such folder"),
    ],
)
def test_a_path_that_is_not_there_is_usage(words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = worldloom(*words)
    assert result.exit_code == 2
    assert result.stderr.strip() == f"error: {says}"
    assert list(tmp_path.glob("*.mp4")) == []


def test_a_misspelt_key_is_usage_and_names_the_right_one(tmp_path):
    result = worldloom("run", job_file(tmp_path, ingest={"hieght": 480}))
    assert result.exit_code == 2
    assert "ingest.hieght" in result.stderr
    assert "did you mean 'height'?" in result.stderr


def test_a_misspelt_key_on_the_command_line_is_usage(tmp_path):
    result = worldloom("run", job_file(tmp_path), "ingest.hieght=480")
    assert result.exit_code == 2
    assert "did you mean 'height'?" in result.stderr


def test_a_missing_source_folder_is_usage(tmp_path):
    result = worldloom("run", job_file(tmp_path, sources=[{"kind": "folder", "path": "nowhere"}]))
    assert result.exit_code == 2
    assert "no such folder" in result.stderr
    assert "nowhere" in result.stderr


def test_an_unknown_annotator_is_usage_and_names_the_near_one(tmp_path):
    result = worldloom("run", job_file(tmp_path, annotate=["poes"]))
    assert result.exit_code == 2
    assert "unknown annotator 'poes'; did you mean 'pose'?" in result.stderr


def test_an_unknown_pass_is_usage(tmp_path):
    result = worldloom("run", job_file(tmp_path), "--only", "anotate")
    assert result.exit_code == 2
    assert "annotate" in result.stderr


def test_a_folder_that_is_no_run_is_usage(tmp_path):
    for verb in ("status", "verify", "inspect"):
        result = worldloom(verb, tmp_path)
        assert result.exit_code == 2, verb
        assert "neither" in result.stderr or "not the folder of a run" in result.stderr


def failing_with(error: BaseException):
    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (UsageError("job.yaml: unknown key 'a'"), 2, "error: job.yaml: unknown key 'a'\n"),
        (WorldloomError("the disk is full"), 1, "error: the disk is full\n"),
        (BadInput("truncated", "ends early", where="a.mp4", remedy="Look."), 1, "error: a.mp4: ends early. Look.\n"),
        (KeyboardInterrupt(), 130, "error: interrupted; the same command resumes\n"),
    ],
)  # fmt: skip
def test_errors_become_one_message_and_an_exit_code(error, code, says, tmp_path, monkeypatch):
    monkeypatch.setattr("worldloom.commands.places.run_at", failing_with(error))
    result = worldloom("status", tmp_path)
    assert (result.exit_code, result.stderr) == (code, says)


def test_a_fault_of_ours_says_so_and_shows_no_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr("worldloom.commands.places.run_at", failing_with(ZeroDivisionError("by zero")))
    result = worldloom("status", tmp_path)
    assert result.exit_code == 1
    assert "error: ZeroDivisionError: by zero" in result.stderr
    assert "--debug" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EMFILE, errno.EDQUOT, errno.EIO])
def test_an_error_of_the_system_names_the_file_and_what_to_do(number, tmp_path, monkeypatch):
    error = OSError(number, os.strerror(number), str(tmp_path / "there"))
    monkeypatch.setattr("worldloom.commands.places.run_at", failing_with(error))
    result = worldloom("status", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {tmp_path}/there: {os.strerror(number)}; "), "and then a remedy"
    assert "fault of worldloom" not in result.stderr


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "gone", "a"), OSError(errno.EBADF, "bad"), OSError()])
def test_an_error_of_the_system_that_nobody_can_mend_is_a_fault_of_ours(error, tmp_path, monkeypatch):
    monkeypatch.setattr("worldloom.commands.places.run_at", failing_with(error))
    result = worldloom("status", tmp_path)
    assert result.exit_code == 1 and type(error).__name__ in result.stderr
    assert "this is a fault of worldloom" in result.stderr


def test_a_reader_that_goes_away_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr("worldloom.commands.places.run_at", failing_with(BrokenPipeError(errno.EPIPE, "gone")))
    assert "error" not in worldloom("status", tmp_path).stderr


@pytest.mark.parametrize("out", ["a-file", "a-file/below"])
def test_a_file_in_the_place_of_the_working_folder_is_named(out, tmp_path):
    job = job_file(tmp_path, annotate=[])
    (tmp_path / "videos" / "a.mp4").touch()
    (tmp_path / "a-file").touch()
    result = worldloom("run", job, "--out", tmp_path / out)
    assert result.exit_code == 1
    assert f"{tmp_path}/a-file" in result.stderr and "a file is where a folder should be" in result.stderr
    assert "fault of worldloom" not in result.stderr


def test_a_full_disk_is_told_with_the_file_that_was_to_be_written(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    job = job_file(tmp_path, annotate=[])
    (tmp_path / "videos" / "a.mp4").touch()
    monkeypatch.setattr("worldloom.catalogs.store.os.fsync", full)
    result = worldloom("run", job)
    assert result.exit_code == 1
    assert f"error: {tmp_path}/out/" in result.stderr and "free some room" in result.stderr
    assert ".draft" not in result.stderr and list((tmp_path / "out").rglob("*.draft")) == []


@pytest.mark.parametrize("name", ["a b.json", ".json", "ä.json", "-.json", "x y/a.json"])
def test_an_odd_name_in_quarantine_is_no_case(name, tmp_path):
    file = tmp_path / "quarantine" / ("pose" if "/" not in name else "") / name
    file.parent.mkdir(parents=True)
    for _ in range(2):
        result = worldloom("annotate", file)
        assert result.exit_code == 2
        assert (
            "neither a video nor a file of OUT/quarantine" in result.stderr or "not a quarantine file" in result.stderr
        )
        file.write_text("{}")


@pytest.mark.parametrize("place", ["front", "end"])
def test_debug_shows_the_traceback_wherever_it_stands(place, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("worldloom.commands.places.run_at", failing_with(ZeroDivisionError("by zero")))
    words = ["status", str(tmp_path)]
    with pytest.raises(SystemExit) as ended:
        main(["--debug", *words] if place == "front" else [*words, "--debug"])
    assert ended.value.code == 1
    assert "Traceback" in capsys.readouterr().err


def test_over_the_failure_budget_is_3_and_says_what_to_do(tmp_path, monkeypatch):
    from worldloom.pipeline.funnel import RunSummary, Tally

    ends = [("ok", "")] * 8 + [("failed", "timeout")] * 2
    summary = RunSummary(
        (Tally.of("ingest", ends),), tmp_path / "out", tmp_path / "out" / "dataset", 1, True, exit_code=3
    )
    monkeypatch.setattr("worldloom.pipeline.run.run_job", lambda *_, **__: summary)
    result = worldloom("run", job_file(tmp_path))
    assert result.exit_code == 3
    assert ["ingest", "failed", "timeout", "2"] in [line.split() for line in result.stdout.splitlines()]
    assert "failure budget" in result.stderr
    assert result.stdout.splitlines()[-1].startswith("next: worldloom ")


def test_options_of_run_reach_the_job(tmp_path, monkeypatch):
    from worldloom.pipeline.funnel import RunSummary

    seen = {}

    def run_job(job, **options):
        seen.update(options, job=job)
        return RunSummary((), tmp_path / "out")

    monkeypatch.setattr("worldloom.pipeline.run.run_job", run_job)
    options = ["--limit", 3, "--only", "ingest", "--retry", "timeout", "--retry", "crashed", "--append"]
    more = ["--workers", 2, "--address", "auto"]
    assert worldloom("run", job_file(tmp_path), "ingest.fps=8", *options, *more).exit_code == 0
    assert seen["job"].ingest.fps == 8 and seen["job"].pack.append
    assert (seen["dry_run"], seen["limit"], seen["only"], seen["workers"]) == (False, 3, "ingest", 2)
    assert (seen["retry"], seen["address"]) == (["timeout", "crashed"], "auto")


def test_a_dry_run_tells_of_the_job_that_was_asked_for(tmp_path, monkeypatch):
    from worldloom.pipeline.funnel import RunSummary

    seen = {}

    def estimate_job(job, summary, **options):
        seen.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr("worldloom.pipeline.run.run_job", lambda *_, **__: RunSummary((), tmp_path / "out"))
    monkeypatch.setattr("worldloom.pipeline.estimate.estimate_job", estimate_job)
    options = ["--dry-run", "--sample", 3, "--limit", 4, "--only", "ingest", "--workers", 2, "--address", "auto"]
    assert worldloom("run", job_file(tmp_path), *options).exit_code == 130
    del seen["progress"]
    assert seen == {"sample": 3, "limit": 4, "only": "ingest", "workers": 2, "address": "auto"}


def test_a_sample_without_a_dry_run_is_usage(tmp_path):
    result = worldloom("run", job_file(tmp_path), "--sample", 3)
    assert result.exit_code == 2
    assert "add --dry-run" in result.stderr


def test_a_number_out_of_range_is_usage(tmp_path):
    assert worldloom("run", job_file(tmp_path), "--limit", 0).exit_code == 2


def test_output_is_plain_where_stdout_is_no_terminal(capsys):
    with console.StageProgress() as progress:
        progress.start("ingest", 2)
        progress.advance("ingest")
        progress.advance("ingest")
        progress.finish("ingest", "2 clips")
    console.say("[not markup]")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ingest: 2 in ")
    assert lines[0].endswith("; 2 clips")
    assert lines[1] == "[not markup]"
    assert "\x1b" not in "".join(lines)


def test_a_table_keeps_long_cells_whole_where_stdout_is_no_terminal(capsys):
    long = "missing_pose 12, too_dark 3, " * 3
    console.table(["pass", "dropped"], [["compose", long.strip(", ")]])
    assert long.strip(", ") in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.44, "0.4 s"), (59.6, "60 s"), (119.4, "119 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_read_well(seconds, text):
    assert console.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(812, "812 B"), (1_400_000, "1.4 MB"), (23.5e9, "23.5 GB"), (4e12, "4.0 TB")]
)
def test_sizes_read_well(count, text):
    assert console.size(count) == text


def test_the_console_script_is_this_command_line():
    from importlib.metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="worldloom")
    assert script.load() is main
    assert sys.modules["worldloom.cli"].main is main


WAITING_ANNOTATOR = '''
import time
from pathlib import Path
from worldloom.annotators.annotator import Annotator, Given
from worldloom.catalogs.config import Strict


class Config(Strict):
    go: str


class Waiting(Annotator):
    """Answers once a file is there."""

    name, version, method, gives = "waiting", "1", "test", "quality"
    Config = Config

    def annotate(self, clip, scratch):
        while not Path(self.config.go).exists():
            time.sleep(0.05)
        return Given({"waited": 1.0})
'''


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_130_and_the_same_command_resumes(number, tmp_path):
    from worldloom.catalogs.video import encode_frames

    (tmp_path / "videos").mkdir()
    frames = (np.full((48, 64, 3), 8 * i, np.uint8) for i in range(16))
    encode_frames(tmp_path / "videos" / "a.mp4", frames, Fraction(8))
    (tmp_path / "waiting_annotator.py").write_text(WAITING_ANNOTATOR)
    entry = {"waiting_annotator:Waiting": {"go": str(tmp_path / "go")}}
    job = job_file(tmp_path, annotate=[entry], execution={"workers": 1})
    command = [sys.executable, "-m", "worldloom.cli", "run", str(job)]
    paths = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}

    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert first.stdout.readline().startswith("ingest: 1 in "), "annotate has begun, and waits"
    seen = worldloom("status", tmp_path / "out").stdout
    assert f"running: process {first.pid} on " in seen
    assert "ingest" in seen and "next: worldloom status" in seen
    first.send_signal(number)
    _, said = first.communicate(timeout=120)
    assert first.returncode == 130, said
    assert "stopping: finished rows are kept" in said
    assert "interrupted; 1 rows done in this run, the same command resumes" in said
    standing = worldloom("status", tmp_path / "out")
    assert "interrupted" in standing.stderr and "the same command resumes" in standing.stderr

    (tmp_path / "go").touch()
    second = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert second.returncode == 0, second.stderr
    assert not second.stdout.startswith("ingest: "), "what was finished is not done again"
    assert "manifest 1 (committed)" in second.stdout
    told = json.loads(worldloom("status", tmp_path / "out", "--json").stdout)
    assert told["running"] is False and told["standing"]["how"] == "done" and told["manifest"] == 1
    assert [table["ok"] for table in told["tables"] if table["name"] == "waiting"] == [1]
