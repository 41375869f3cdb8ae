"""What `couponry audit` found, for people and for programs: every equation, not only the wrong ones."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from couponry.flash_sale.audit import Equation

__all__ = ["Report"]


@dataclass(frozen=True, slots=True)
class Report:
    """`activities`: the equations of each; `ledgers`: those of all orders, where they were asked for."""

    activities: Mapping[int, Sequence[Equation]]
    ledgers: Sequence[Equation] = ()

    @property
    def holds(self) -> bool:
        """Whether every equation holds."""
        return all(each.holds for found in (*self.activities.values(), self.ledgers) for each in found)

    def as_json(self) -> dict[str, Any]:
        """holds; activities: [{activity_id, holds, equations: [{name, left, right, holds}]}]; ledgers: equations."""
        return {
            "holds": self.holds,
            "activities": [
                {
                    "activity_id": activity_id,
                    "holds": all(each.holds for each in found),
                    "equations": [asdict(each) for each in found],
                }
                for activity_id, found in self.activities.items()
            ],
            "ledgers": [asdict(each) for each in self.ledgers],
        }

    def show(self, console: Console) -> None:
        """A table with a line an equation."""
        table = Table("of", "equation", "left side", "right side", "", box=None, pad_edge=False)
        for column in table.columns[2:4]:
            column.justify = "right"
        subjects = {f"activity {activity_id}": found for activity_id, found in self.activities.items()}
        for subject, found in (subjects | {"orders": self.ledgers}).items():
            for each in found:
                verdict = "[green]holds[/green]" if each.holds else "[red]DOES NOT HOLD[/red]"
                # A bucket's name in brackets is no style.
                table.add_row(subject, each.name.replace("[", "\\["), str(each.left), str(each.right), verdict)
        console.print(table)
        wrong = sum(not each.holds for found in (*self.activities.values(), self.ledgers) for each in found)
        if wrong:
            console.print(f"[red]{wrong} of {table.row_count} equations do not hold[/red]")
        else:
            console.print(f"[green]all {table.row_count} equations hold[/green]")
