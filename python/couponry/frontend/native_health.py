"""The health service with its Check answered inside the extension: probes cost next to nothing, and go on when Python
is busy with a call.
"""

from typing import Any

from grpc_health.v1 import health

from couponry._core import HealthTable

__all__ = ["HEALTH_CHECK", "HealthServicer"]

HEALTH_CHECK = "/grpc.health.v1.Health/Check"


class HealthServicer(health.aio.HealthServicer):
    """grpcio-health-checking's servicer; every status that is set is also known to the extension."""

    def __init__(self) -> None:
        super().__init__()
        self.table = HealthTable()
        self._show()

    async def set(self, service: str, status: Any) -> None:
        """Sets the status of a service, "" for the server as a whole."""
        await super().set(service, status)
        self._show()

    async def enter_graceful_shutdown(self) -> None:
        """Sets every service to NOT_SERVING, for good."""
        await super().enter_graceful_shutdown()
        self._show()

    def _show(self) -> None:
        for service, status in self._server_status.items():  # type: ignore[attr-defined]
            self.table.set(service, int(status))
