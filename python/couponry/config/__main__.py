"""`python -m couponry.config` prints the reference page (`make docs` keeps it)."""

import sys

from couponry.config.reference import reference

sys.stdout.write(reference())
