from __future__ import annotations

import json

from worldloom.pipeline.scorecard.rows import rows_from
from worldloom.pipeline.scorecard.suite import (
    Scorecard,
    Task,
    machine,
    plan_rows,
    score,
    speed_tasks,
    unscored,
    world_tasks,
)


def echo(name: str, **payload) -> Task:
    """A task whose facts are what it was given."""
    return Task(name, "builtins:dict", payload, f"recipe-{name}")


class Heard:
    def __init__(self):
        self.calls = []

    def start(self, stage, total, note=""):
        self.calls.append(("start", total))

    def advance(self, stage, count=1, note=""):
        self.calls.append(("advance", note))

    def finish(self, stage, note=""):
        self.calls.append(("finish", note))


def test_facts_come_back_in_the_order_of_the_tasks(tmp_path):
    tasks = [echo(str(number), number=number) for number in range(5)]
    facts, failures = score(tasks, tmp_path, workers=2)
    assert [one["number"] for one in facts] == list(range(5))
    assert failures == {}


def test_finished_tasks_are_not_done_again(tmp_path):
    score([echo("a", number=1)], tmp_path)
    heard = Heard()
    facts, _ = score([echo("a", number=2), echo("b", number=3)], tmp_path, progress=heard)
    assert [one["number"] for one in facts] == [1, 3], "`a` comes from the folder"
    assert heard.calls[0] == ("start", 1)
    assert [call for call in heard.calls if call[0] == "advance"] == [("advance", "b")]


def test_a_damaged_file_of_facts_is_made_again(tmp_path):
    score([echo("a", number=1)], tmp_path)
    (kept,) = (tmp_path / "clips").iterdir()
    kept.write_text('{"number": ')
    facts, _ = score([echo("a", number=2)], tmp_path)
    assert facts[0]["number"] == 2
    assert json.loads(kept.read_text())["number"] == 2


def test_what_fails_is_named_and_tried_again(tmp_path):
    bad = Task("bad", "json:loads", {}, "recipe-bad")
    facts, failures = score([bad], tmp_path)
    assert facts == []
    assert "bad" in failures
    assert "TypeError" in failures["bad"]
    assert not list((tmp_path / "clips").iterdir())


def test_a_scorecard_is_json_and_says_what_it_ran_on(tmp_path):
    card = Scorecard(rows_from([unscored("dead")], "c"), [], {"dead": "crash: SIGSEGV"}, "c", machine())
    card.save(tmp_path / "scorecard.json")
    values = json.loads((tmp_path / "scorecard.json").read_text())
    assert values["failures"] == {"dead": "crash: SIGSEGV"}
    assert values["rows"][0]["key"] == "pose.posed"
    assert {"worldloom", "python", "cores"} <= values["machine"].keys()


def test_a_world_has_one_recipe_that_its_plan_decides():
    first, again, other = (world_tasks(plan_rows(3, seed)) for seed in (0, 0, 1))
    assert [task.recipe for task in first] == [task.recipe for task in again]
    assert len({task.recipe for task in (*first, *other)}) == 6


def test_rendering_is_timed_once_per_place():
    plans = plan_rows(6, 0)
    assert len(speed_tasks(plans)) == len({plan["place"] for plan in plans})
