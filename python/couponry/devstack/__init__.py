"""Private MariaDB and Redis for development, tests and the demo, on unix sockets in one folder.

`with DevStack(Path(".couponry")) as stack:` starts both and leaves nothing behind, however the
program ends: the servers belong to a keeper process (keeper.py) that outlives its owner only to
end them.
"""

from couponry.devstack.errors import DevStackError, MissingProgramError
from couponry.devstack.stack import DevStack, ServerStatus

__all__ = ["DevStack", "DevStackError", "MissingProgramError", "ServerStatus"]
