"""The generated modules of the wire contract are those that proto/ makes."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def generator(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", repository / "proto" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_modules_are_what_make_proto_makes(
    generator: ModuleType, repository: Path, tmp_path: Path
) -> None:
    made = {path.name: path.read_text() for path in generator.generate(tmp_path)}
    committed = {
        path.name: path.read_text() for path in (repository / "python" / "couponry" / "v1").iterdir() if path.is_file()
    }
    assert sorted(made) == sorted(committed)
    assert [name for name, text in made.items() if text != committed[name]] == []
    assert len(made) > 20
