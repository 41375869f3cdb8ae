"""The judge by hand: what it must find, and what it must allow."""

from dataclasses import replace

import pytest

from couponry.flash_sale.wire import request_hash
from tests.chaos.flash.evidence import (
    Activity,
    AdjustmentRow,
    AdjustmentTold,
    Answer,
    EndTold,
    Evidence,
    Loss,
    Split,
    Win,
    read_answers,
)
from tests.chaos.flash.judge import judge


def won(user: str, coupon: int, *, request: str = "r", at: float = 10.0, activity: int = 1) -> Answer:
    return Answer(at - 0.1, at, "client", "server", activity, user, request, "WON", coupon)


def other(user: str, outcome: str, *, request: str = "r", at: float = 20.0) -> Answer:
    return Answer(at - 0.1, at, "client", "server", 1, user, request, outcome)


def evidence(*answers: Answer, rows: frozenset[Win] | None = None, ack: str = "REDIS", limit: int = 1) -> Evidence:
    """A run in which every told win became a row, unless `rows` says otherwise."""
    told = frozenset(answer.win for answer in answers if answer.won)
    return Evidence(
        {1: Activity(1, ack, limit, 10), 2: Activity(2, "REDIS", 1, 10)},
        answers=list(answers),
        rows=told if rows is None else rows,
    )


def found(seen: Evidence) -> list[str]:
    return [finding.text for finding in judge(seen).findings]


def test_a_sound_run_has_no_findings() -> None:
    seen = evidence(won("ann", 1), won("ann", 1, at=12.0), won("bob", 2), other("cat", "SOLD_OUT"))
    assert found(seen) == []
    assert judge(seen).counts["of these a row, ack = REDIS"] == 2


def test_a_told_win_without_a_row_is_found() -> None:
    assert "is nowhere" in found(evidence(won("ann", 1), rows=frozenset()))[0]


def test_a_told_win_that_failed_is_found() -> None:
    seen = evidence(won("ann", 1), rows=frozenset())
    seen.failed = frozenset({won("ann", 1).win})
    assert "is FAILED" in found(seen)[0]


def test_a_row_under_another_number_is_not_the_win_that_was_told() -> None:
    assert found(evidence(won("ann", 1), rows=frozenset({won("ann", 2).win})))


def test_what_was_taken_from_redis_is_excused_at_ack_redis_only() -> None:
    loss = Loss("restart without data", 9, 11, frozenset({won("ann", 1).win}))
    for ack, wrong in (("REDIS", 0), ("MYSQL", 1)):
        seen = evidence(won("ann", 1), rows=frozenset(), ack=ack)
        seen.losses = [loss]
        assert len(found(seen)) == wrong


def test_what_both_stores_lost_is_excused_and_its_number_may_be_told_again() -> None:
    seen = evidence(won("ann", 1), won("bob", 1, at=30.0), rows=frozenset({won("bob", 1).win}), ack="MYSQL")
    assert any("more than one claim" in text for text in found(seen))
    seen.losses = [Loss("both", 9, 11, frozenset({won("ann", 1).win}), numbers=True)]
    assert found(seen) == []
    assert judge(seen).counts["numbers told twice after both stores lost data"] == 1


def test_a_number_told_to_two_users_is_found_though_one_win_was_taken_from_redis() -> None:
    seen = evidence(won("ann", 1), won("bob", 1, at=30.0), rows=frozenset({won("bob", 1).win}))
    seen.losses = [Loss("truncated tail", 9, 11, frozenset({won("ann", 1).win}))]
    assert ["more than one claim" in text for text in found(seen)] == [True]


@pytest.mark.parametrize("again", [other("ann", "SOLD_OUT"), other("ann", "FAILED"), won("ann", 3, at=20.0)])
def test_a_repeat_with_another_answer_is_found(again: Answer) -> None:
    assert any("when asked again" in text for text in found(evidence(won("ann", 1), again, limit=9)))


def test_a_repeat_that_was_sent_before_the_win_was_told_may_differ() -> None:
    early = replace(other("ann", "SOLD_OUT", at=10.5), sent=9.8)
    assert found(evidence(won("ann", 1), early)) == []


def test_one_of_two_masters_may_answer_otherwise_and_its_wins_may_fail() -> None:
    first, second = won("ann", 1, at=10.0), won("ann", 2, at=10.4)
    seen = evidence(first, second, rows=frozenset({second.win}))
    assert found(seen)
    seen.splits = [Split(9.5, 11.0, frozenset())]
    seen.failed = frozenset({first.win})
    assert found(seen) == []
    assert judge(seen).counts["of these FAILED"] == 1


def test_a_win_that_both_masters_knew_may_not_fail() -> None:
    seen = evidence(won("ann", 1, at=10.0), rows=frozenset())
    seen.failed = frozenset({won("ann", 1).win})
    seen.splits = [Split(9.5, 11.0, frozenset({won("ann", 1).win}))]
    assert found(seen)


def test_wins_of_stock_that_mysql_lost_may_fail_up_to_that_stock() -> None:
    told = [won(user, number) for number, user in enumerate("abc", 1)]
    seen = evidence(*told, rows=frozenset())
    seen.failed = frozenset(answer.win for answer in told)
    seen.losses = [Loss("commits of MariaDB", 9, 11, frozenset(), {1: 2})]
    assert len(found(seen)) == 1
    assert judge(seen).counts["FAILED for stock that MySQL lost"] == 2


def test_a_user_beyond_the_limit_is_found() -> None:
    seen = evidence(won("ann", 1), won("ann", 2, request="s"))
    assert "the limit is 1" in found(seen)[0]


def test_two_coupons_of_one_request_are_found() -> None:
    rows = frozenset({won("ann", 1).win, won("ann", 2).win})
    assert any("for one request" in text for text in found(evidence(won("ann", 1), rows=rows, limit=2)))


def test_more_rows_than_stock_are_found() -> None:
    told = [won(f"u{number}", number) for number in range(1, 13)]
    seen = evidence(*told)
    assert any("sold 12 of 10" in text for text in found(seen))
    seen.adjustments = [AdjustmentRow(1, "a", 2, 2, 2)]
    assert found(seen) == []


def test_a_change_of_stock_that_was_answered_is_as_it_was_answered() -> None:
    seen = evidence()
    seen.adjustments_told = [AdjustmentTold(5.0, 1, "a", 2, applied=True)]
    assert "is not in MySQL" in found(seen)[0]
    seen.adjustments = [AdjustmentRow(1, "a", 2, 3, 0)]
    assert "is in state 3" in found(seen)[0]
    seen.losses = [Loss("commits of MariaDB", 4, 6, frozenset())]
    assert found(seen) == []


def test_an_end_is_final_and_sold_out_is_sold_out() -> None:
    seen = evidence(won("ann", 1))
    seen.ends_told = [EndTold(30.0, 1, 0)]
    seen.totals = {1: 5}
    assert [text.split(" with")[0] for text in found(seen)] == ["activity 1 was settled", "activity 1 was SOLD_OUT"]


def test_a_code_that_no_storm_explains_is_found() -> None:
    assert found(evidence(other("ann", "!UNAVAILABLE"), other("ann", "!DEADLINE_EXCEEDED"))) == []
    assert "INTERNAL" in found(evidence(other("ann", "!INTERNAL")))[0]


def test_troubles_alarms_and_broken_equations_are_findings() -> None:
    seen = evidence()
    seen.troubles, seen.alarms, seen.audit = ["t"], ["a"], ["e"]
    assert found(seen) == ["t", "e", "a"]


def test_answers_come_back_from_a_log_whose_last_line_was_cut(tmp_path_factory: pytest.TempPathFactory) -> None:
    log = tmp_path_factory.mktemp("log") / "client.log"
    answer = won("李", 7)
    log.write_bytes(answer.line() + won("bob", 8).line()[:-5])
    assert read_answers([log]) == [answer]
    assert answer.win == Win(1, "李".encode(), request_hash("r"), 7)
