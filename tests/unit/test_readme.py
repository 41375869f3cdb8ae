"""The README's example that needs no server prints what the README says."""

import re
import subprocess
import sys
from pathlib import Path


def test_the_library_example_prints_what_the_readme_says(repository: Path) -> None:
    text = (repository / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    example = next(block for block in blocks if "price(" in block)
    ran = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, check=True)
    said = re.search(r"It prints (.*?):", text, re.DOTALL)
    assert said is not None
    assert ran.stdout.splitlines() == re.findall(r"`([^`]+)`", said[1])
