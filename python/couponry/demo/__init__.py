"""`couponry demo`: a flash sale of coupons on a real MariaDB and a real Redis, to the last coupon exactly.

Everything goes through gRPC. The stores and the service are private, start empty and end with the demo.
"""

from pathlib import Path

import uvloop
from pydantic import SecretStr
from rich.console import Console

from couponry.config import MySqlSettings
from couponry.demo.checks import Check, count_coupons, run_checks
from couponry.demo.report import ProgressBars, render
from couponry.demo.service import Service
from couponry.demo.story import Story, tell
from couponry.devstack import DevStack
from couponry.store import migrations
from couponry.store.mysql import MySQL

__all__ = ["run"]


def run(state: Path, console: Console) -> bool:
    """Runs the story in the folder `state` and prints the report; whether every check holds."""
    stack = DevStack(state, template_dir=state.parent / "template")
    stack.down()
    stack.wipe()
    with stack:
        console.print(f"- private MariaDB and Redis in {state}")
        migrations.upgrade(stack.mysql_dsn())
        with Service(stack, state.absolute()) as service:
            console.print(f"- the service on {service.address}")
            with ProgressBars(console) as progress:
                story, checks = uvloop.run(_play(service.address, stack.mysql_dsn(), progress))
            console.print(render(story, checks, service.layer_reads()))
    broken = [check for check in checks if not check.holds]
    console.print(f"[red]{len(broken)} checks are broken" if broken else f"[green]all {len(checks)} checks hold")
    return not broken


async def _play(address: str, dsn: str, progress: ProgressBars) -> tuple[Story, list[Check]]:
    mysql = await MySQL.connect(MySqlSettings(dsn=SecretStr(dsn)))
    try:
        story = await tell(address, lambda activity_id: count_coupons(mysql, activity_id), progress)
        return story, await run_checks(story, mysql)
    finally:
        await mysql.close()
