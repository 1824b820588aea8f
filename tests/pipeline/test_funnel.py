from __future__ import annotations

from worldloom.pipeline.funnel import Tally, exit_code_for


def test_every_row_is_accounted_for() -> None:
    ends = [("ok", ""), ("dropped", "too_short"), ("failed", "timeout"), ("dropped", "too_short"), ("absent", "static")]
    tally = Tally.of("ingest", ends, out=7)
    assert tally.inputs == 5 and tally.ok == 1 and tally.out == 7
    assert tally.dropped == {"too_short": 2} and tally.failed == {"timeout": 1} and tally.absent == {"static": 1}
    assert tally.balanced
    assert not Tally("ingest", 3, 1, dropped={"too_short": 1}).balanced


def test_only_failures_count_against_the_budget() -> None:
    dropped = Tally.of("ingest", [("ok", "")] + [("dropped", "too_short")] * 9)
    assert exit_code_for([dropped], 0.05) == 0
    failed = Tally.of("pose", [("ok", "")] * 19 + [("failed", "timeout")])
    assert exit_code_for([failed], 0.05) == 0, "a budget that is just used up is not exceeded"
    assert exit_code_for([dropped, failed], 0.04) == 3
    assert exit_code_for([Tally.of("ingest", [])], 0.0) == 0
