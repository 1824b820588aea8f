from __future__ import annotations

import importlib.metadata
import sys

import pytest
from typer.testing import CliRunner

from worldloom import doctor
from worldloom.cli import app
from worldloom.doctor import CV2, PACKAGES, Check, Trial, examine, machine, packages, usable


def versions(*there):
    def version_of(name):
        if name not in there:
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0"

    return version_of


def by_name(checks):
    return {check.name: check for check in checks}


def test_machine_names_what_a_person_asks_first(tmp_path):
    checks = by_name(machine(tmp_path))
    assert {"Python", "cores", "memory", "disk"} <= checks.keys()
    assert checks["Python"].found.startswith(f"{sys.version_info.major}.{sys.version_info.minor}")


def test_a_folder_that_does_not_exist_yet_stands_for_the_disk_it_will_be_on(tmp_path):
    assert by_name(machine(tmp_path / "a" / "b"))["disk"].found.endswith(str(tmp_path))


def test_a_missing_package_is_named_with_its_remedy():
    there = set(PACKAGES) - {"duckdb"} | {"opencv-python-headless"}
    checks = packages(versions(*there))
    missing = [check for check in checks if check.status == "missing"]
    assert [check.found for check in missing] == ["duckdb"]
    assert missing[0].remedy == "pip install duckdb"
    assert not usable(checks)


@pytest.mark.parametrize(("there", "status"), [((), "missing"), (CV2[1:2], "ok"), (CV2[:2], "broken")])
def test_exactly_one_distribution_may_write_cv2(there, status):
    assert packages(versions(*PACKAGES, *there))[-1].status == status


def test_this_environment_has_exactly_one_cv2():
    assert packages()[-1].status == "ok"


def trial(code, required=True):
    return doctor._try(Trial("thing", code, "pip install thing", required=required), deadline_s=20)


def test_a_package_that_works_says_what_it_found():
    assert trial("print('2.4, works')") == Check("thing", "ok", "2.4, works")


def test_a_package_that_kills_its_process_is_a_line_and_not_the_end():
    found = trial("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert (found.status, found.found) == ("broken", "killed by signal 11")
    assert found.remedy == "pip install thing"


def test_a_package_that_is_not_there_and_not_needed_is_a_note():
    found = trial("import no_such_package_anywhere", required=False)
    assert found.status == "note"
    assert "no_such_package_anywhere" in found.found
    assert usable([found])


def test_a_package_that_hangs_is_cut_off():
    found = doctor._try(Trial("thing", "import time; time.sleep(60)", "wait"), deadline_s=0.5)
    assert found.status == "broken"
    assert "no answer" in found.found


def test_the_verb_fails_where_the_data_side_does_not_work(monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda folder: [Check("Ray", "broken", "does not start", "look at the log")])
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "does not start" in result.stdout
    assert "data side does not work" in result.stderr


@pytest.mark.slow
def test_this_environment_is_well(tmp_path):
    checks = examine(tmp_path)
    assert usable(checks), [check for check in checks if check.status in ("missing", "broken")]
    result = CliRunner().invoke(app, ["doctor", "--folder", str(tmp_path)])
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "next: worldloom demo"
