"""The judge: compares what clients were told with what the stores hold at the end, and allows what the design allows,
each exception counted win by win. It knows nothing of the service but its promises.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tests.chaos.flash.evidence import Answer, Evidence, Win

__all__ = ["Finding", "Verdict", "judge"]

_UNANSWERED = frozenset({"!UNAVAILABLE", "!DEADLINE_EXCEEDED", "!CANCELLED", "!RESOURCE_EXHAUSTED"})
APPLIED = 2
# A told win is in the replica before the replica is cut off, but for what was on its way.
_ON_ITS_WAY_S = 1.0


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken promise, with the claim it is about where there is one."""

    text: str
    claim: tuple[int, bytes, bytes] | None = None


@dataclass(slots=True)
class Verdict:
    """Findings, and the numbers for the table."""

    findings: list[Finding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


def judge(evidence: Evidence) -> Verdict:
    """Everything that is wrong. Empty findings: every promise was kept."""
    return _Judge(evidence).verdict()


class _Judge:
    def __init__(self, evidence: Evidence) -> None:
        self.seen = evidence
        self.out = Verdict()
        answers = sorted([*evidence.answers, *evidence.again, *evidence.fresh], key=lambda each: each.at)
        self.answers: list[Answer] = answers
        self.first_told: dict[Win, Answer] = {}
        for answer in answers:
            if answer.won:
                self.first_told.setdefault(answer.win, answer)
        self.taken = frozenset[Win]().union(*(loss.taken for loss in evidence.losses))
        # What was told at ack = MYSQL was in MySQL: only a loss of both stores takes it.
        self.taken_from_both = frozenset[Win]().union(*(loss.taken for loss in evidence.losses if loss.numbers))
        self.at_risk = {win for win, answer in self.first_told.items() if self._at_risk(win, answer)}
        # Excused wins need not stand; what exactly became of them is counted.
        self.failed_by_lost_stock: set[Win] = set()

    def verdict(self) -> Verdict:
        self._every_told_win_is_a_row()
        self._no_coupon_for_two()
        self._one_request_one_win()
        self._limits()
        self._stock()
        self._changes_of_stock()
        self._ends()
        self._sold_out_only_when_sold_out()
        self._codes()
        for text in [*self.seen.troubles, *self.seen.audit, *self.seen.alarms]:
            self._find(text)
        self._count()
        return self.out

    def _excused(self, win: Win) -> frozenset[Win]:
        return self.taken_from_both if self.seen.activities[win.activity].ack == "MYSQL" else self.taken

    def _find(self, text: str, claim: tuple[int, bytes, bytes] | None = None) -> None:
        self.out.findings.append(Finding(text, claim))

    def _at_risk(self, win: Win, answer: Answer) -> bool:
        """Told by one of two masters. With ack = MYSQL a win is told when its row is there: it is never at risk."""
        return self.seen.activities[win.activity].ack != "MYSQL" and any(
            split.began - _ON_ITS_WAY_S <= answer.at and answer.sent <= split.ended and win not in split.shared
            for split in self.seen.splits
        )

    def _every_told_win_is_a_row(self) -> None:
        increases: Counter[int] = Counter()
        for loss in self.seen.losses:
            increases.update(loss.adjustments)
        for win, answer in self.first_told.items():
            if win in self.seen.rows or win in self._excused(win):
                continue
            failed = win in self.seen.failed
            if failed and win in self.at_risk:
                continue
            if failed and increases[win.activity] > 0:
                increases[win.activity] -= 1
                self.failed_by_lost_stock.add(win)
                continue
            where = "is FAILED" if failed else "is nowhere"
            ack = self.seen.activities[win.activity].ack
            self._find(f"WON was told at ack = {ack} and the win {where}: {_name(win)}", answer.claim)

    def _no_coupon_for_two(self) -> None:
        retold = self.taken_from_both
        owners: dict[int, list[Win]] = defaultdict(list)
        for win in self.first_told:
            owners[win.coupon].append(win)
        self.out.counts["numbers told twice after both stores lost data"] = 0
        for coupon, wins in owners.items():
            if len(wins) > 1:
                if sum(win not in retold for win in wins) <= 1:
                    self.out.counts["numbers told twice after both stores lost data"] += 1
                    continue
                names = " and ".join(_name(win) for win in wins)
                self._find(f"coupon {coupon} was told to more than one claim: {names}", self.first_told[wins[1]].claim)

    def _one_request_one_win(self) -> None:
        rows = Counter((win.activity, win.user, win.request) for win in self.seen.rows)
        for claim, count in rows.items():
            if count > 1:
                self._find(f"{count} coupons for one request", claim)
        told: dict[tuple[int, bytes, bytes], Answer] = {}
        for answer in sorted(self.answers, key=lambda each: each.sent):
            before = told.get(answer.claim)
            if before is not None and answer.decided and answer.sent >= before.at:
                same = answer.won and answer.win == before.win
                if not same and not self._may_change(before, answer):
                    self._find(
                        f"WON {before.coupon} was answered {answer.outcome} {answer.coupon or ''} when asked again",
                        answer.claim,
                    )
            if answer.won:
                told[answer.claim] = answer

    def _may_change(self, before: Answer, answer: Answer) -> bool:
        """The win was taken or has failed with an excuse, or the repeat came to the other one of two masters."""
        win = before.win
        if (
            win in self._excused(win)
            or win in self.failed_by_lost_stock
            or (win in self.at_risk and win in self.seen.failed)
        ):
            return True
        return any(split.began <= answer.at and answer.sent <= split.ended for split in self.seen.splits)

    def _limits(self) -> None:
        held = Counter((win.activity, win.user) for win in self.seen.rows)
        for (activity, user), count in held.items():
            limit = self.seen.activities[activity].limit
            if count > limit:
                self._find(f"user {user.decode()} has {count} coupons of activity {activity}, the limit is {limit}")

    def _stock(self) -> None:
        sold = Counter(win.activity for win in self.seen.rows)
        for activity in self.seen.activities.values():
            moved = sum(
                each.applied
                for each in self.seen.adjustments
                if each.activity == activity.id and each.id and each.state == APPLIED
            )
            if sold[activity.id] > activity.stock + moved:
                self._find(
                    f"activity {activity.id} sold {sold[activity.id]} of {activity.stock + moved}: {activity.stock} and"
                    f" {moved} by adjustments"
                )

    def _changes_of_stock(self) -> None:
        rows = {(each.activity, each.id): each for each in self.seen.adjustments}
        for told in self.seen.adjustments_told:
            if any("MariaDB" in loss.what and loss.began <= told.at <= loss.ended for loss in self.seen.losses):
                continue
            row = rows.get((told.activity, told.id))
            if row is None:
                self._find(f"{told.id} of activity {told.activity} was answered and is not in MySQL")
            elif (row.state == APPLIED) != told.applied:
                said = "applied" if told.applied else "refused"
                self._find(f"{told.id} of activity {told.activity} was told as {said} and is in state {row.state}")

    def _ends(self) -> None:
        sold = Counter(win.activity for win in self.seen.rows)
        for end in self.seen.ends_told:
            if sold[end.activity] != end.sold:
                self._find(
                    f"activity {end.activity} was settled with {end.sold} sold, and has {sold[end.activity]} rows"
                )

    def _sold_out_only_when_sold_out(self) -> None:
        """After the storm new users claimed until each activity had nothing left."""
        sold = Counter(win.activity for win in self.seen.rows)
        for activity, total in self.seen.totals.items():
            if sold[activity] != total:
                self._find(f"activity {activity} was SOLD_OUT with {sold[activity]} of {total} sold")

    def _codes(self) -> None:
        for answer in self.answers:
            refused = any(began <= answer.at and answer.sent <= ended for began, ended in self.seen.refused)
            # The service cannot mend a stream that refuses entries: such a claim is INTERNAL, and changes nothing.
            if not (answer.decided or answer.outcome in _UNANSWERED or (refused and answer.outcome == "!INTERNAL")):
                self._find(f"a claim failed with {answer.outcome[1:]}: {answer.detail}", answer.claim)

    def _count(self) -> None:
        seen, counts = self.seen, self.out.counts
        told = self.first_told.keys()
        counts["answers"] = len(self.answers)
        counts["claims without an answer"] = sum(not each.decided for each in self.answers)
        for ack in ("REDIS", "MYSQL"):
            of_ack = [win for win in told if seen.activities[win.activity].ack == ack]
            counts[f"wins told, ack = {ack}"] = len(of_ack)
            counts[f"of these a row, ack = {ack}"] = sum(win in seen.rows for win in of_ack)
            counts[f"of these taken on purpose, ack = {ack}"] = sum(
                win in self.taken and win not in seen.rows for win in of_ack
            )
        counts["wins taken from Redis or MySQL, told or not"] = len(self.taken)
        counts["told by one of two masters"] = len(self.at_risk)
        counts["of these FAILED"] = sum(win in seen.failed and win not in seen.rows for win in self.at_risk)
        counts["FAILED for stock that MySQL lost"] = len(self.failed_by_lost_stock)
        counts["coupons in MySQL"] = len(seen.rows)
        counts["asked again at the end"] = len(seen.again)
        counts["sold after the storm"] = sum(each.won for each in seen.fresh)


def _name(win: Win) -> str:
    return f"coupon {win.coupon} of user {win.user.decode(errors='replace')} in activity {win.activity}"
