"""Makes the Python modules and stubs of the wire contract from proto/ (`make proto`).

Messages get `*_pb2.py` and `*_pb2.pyi`, services `*_pb2_grpc.py` and a stub typed for grpc.aio.
With a folder as argument everything goes there instead of python/, which is how the test compares.
"""

import os
import sys
from pathlib import Path

from grpc_tools import _proto, protoc

PROTO_ROOT = Path(__file__).resolve().parent
PYTHON_ROOT = PROTO_ROOT.parent / "python"
PACKAGE = Path("couponry", "v1")


def generate(out: Path) -> list[Path]:
    """Writes the modules of every proto file under `out` and returns their paths.

    Raises RuntimeError where the compiler refuses a file; it has said why on standard error.
    """
    sources = sorted((PROTO_ROOT / PACKAGE).glob("*.proto"))
    if not sources:
        raise RuntimeError(f"no .proto files in proto/{PACKAGE}")
    target = out / PACKAGE
    target.mkdir(parents=True, exist_ok=True)
    for stale in (*target.glob("*_pb2*.py"), *target.glob("*_pb2*.pyi")):
        stale.unlink()

    # protoc finds the mypy-protobuf plugin on PATH, beside the running interpreter.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    status = protoc.main(
        [
            "protoc",
            f"-I{PROTO_ROOT}",
            f"-I{Path(_proto.__path__[0])}",
            f"--python_out={out}",
            f"--pyi_out={out}",
            f"--grpc_python_out={out}",
            f"--mypy_grpc_out=quiet,only_async:{out}",
            *(str(source) for source in sources),
        ]
    )
    if status != 0:
        raise RuntimeError(f"protoc ended with status {status}")
    (target / "__init__.py").write_text(
        '"""The wire contract of couponry.v1. Made by `make proto`; the sources are in proto/."""\n'
    )
    return sorted(path for path in target.iterdir() if path.is_file())


if __name__ == "__main__":
    try:
        generate(Path(sys.argv[1]) if len(sys.argv) > 1 else PYTHON_ROOT)
    except RuntimeError as error:
        sys.exit(f"proto: {error}")
