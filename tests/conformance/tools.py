"""Other projects' programs that the conformance runs use: built by pinned version into a cache folder.

The versions stand in `go/*/go.mod` and `java/pom.xml`. A tool that cannot be had raises `Missing` with the reason; a
run that needs it is then skipped, not passed.
"""

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

__all__ = ["JAVA_INTEROP_MAIN", "Missing", "cache", "go_tool", "h2load", "java_interop", "loadgen"]

_HERE = Path(__file__).resolve().parent
_REPOSITORY = _HERE.parents[1]
_GO_PACKAGES = {
    "interop": "google.golang.org/grpc/interop/client",
    "h2spec": "github.com/summerwind/h2spec/cmd/h2spec",
    "grpcurl": "github.com/fullstorydev/grpcurl/cmd/grpcurl",
    "ghz": "github.com/bojand/ghz/cmd/ghz",
}
# Lines of h2spec's common request headers, and what stands there in a gRPC call.
_H2SPEC_HEADERS = {
    'HeaderField(":method", "GET"),': 'HeaderField(":method", "POST"),',
    'HeaderField(":authority", authority),': (
        'HeaderField(":authority", authority), HeaderField("content-type", "application/grpc"),'
        ' HeaderField("te", "trailers"),'
    ),
}
JAVA_INTEROP_MAIN = "io.grpc.testing.integration.TestServiceClient"


class Missing(Exception):
    """A tool cannot be had here; the text says what to install."""


def cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "couponry" / "conformance"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@functools.cache
def go_tool(name: str, *, shaped: bool = False) -> Path:
    """The path of one of the Go programs, built when its pins have changed.

    `shaped` is for h2spec: its requests then have the headers of a gRPC call.
    """
    pins = _HERE / "go" / name
    target = cache() / f"{name}{'-shaped' * shaped}-{_digest(pins / 'go.mod', pins / 'go.sum')}"
    if target.exists():
        return target
    if shutil.which("go") is None:
        raise Missing(f"{name} needs Go 1.26 or newer (https://go.dev/dl, or Debian's golang package)")
    built = target.with_suffix(".part")
    # The pins decide: a go.mod that would have to change is an error.
    environment = os.environ | {"GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    with tempfile.TemporaryDirectory() as folder:
        source = _with_grpc_headers(pins, Path(folder), environment) if shaped else pins
        _run(("go", "build", "-o", str(built), _GO_PACKAGES[name]), source, f"building {name}", environment)
    built.rename(target)
    return target


def _with_grpc_headers(pins: Path, folder: Path, environment: dict[str, str]) -> Path:
    """A copy of the pins that builds a copy of h2spec whose requests have the headers of a gRPC call."""
    module = "github.com/summerwind/h2spec"
    _run(("go", "mod", "download"), pins, "fetching h2spec", environment)
    where = ("go", "list", "-m", "-f", "{{.Dir}}", module)
    original = subprocess.run(where, cwd=pins, env=environment, capture_output=True, text=True, check=True).stdout
    copy = folder / "h2spec"
    shutil.copytree(original.strip(), copy, copy_function=shutil.copyfile)
    copy.chmod(0o755)
    (copy / "spec").chmod(0o755)
    (copy / "go.mod").write_text(f"module {module}\n", encoding="utf-8")
    source = copy / "spec" / "util.go"
    text = source.read_text(encoding="utf-8")
    for plain, header in _H2SPEC_HEADERS.items():
        if text.count(plain) != 1:
            raise Missing("h2spec is not the version whose headers can be changed here")
        text = text.replace(plain, header)
    source.write_text(text, encoding="utf-8")
    shutil.copy(pins / "go.sum", folder)
    replaced = f"{(pins / 'go.mod').read_text(encoding='utf-8')}\nreplace {module} => ./h2spec\n"
    (folder / "go.mod").write_text(replaced, encoding="utf-8")
    return folder


@functools.cache
def java_interop() -> str:
    """The class path of grpc-java's interop client, fetched when its pins have changed."""
    pom = _HERE / "java" / "pom.xml"
    target = cache() / f"java-{_digest(pom)}"
    if shutil.which("java") is None:
        raise Missing("grpc-java's client needs a Java 17 runtime (Debian: openjdk-17-jre-headless)")
    if not target.exists():
        if shutil.which("mvn") is None:
            raise Missing("grpc-java's client needs Maven (Debian: maven)")
        part = target.with_suffix(".part")
        goal = ("dependency:copy-dependencies", f"-DoutputDirectory={part}")
        _run(("mvn", "-q", "-B", *goal), pom.parent, "fetching grpc-java's client", None)
        part.rename(target)
    return f"{target}/*"


def h2load() -> str:
    found = shutil.which("h2load")
    if found is None:
        raise Missing("h2load is not installed (Debian: nghttp2-client)")
    return found


@functools.cache
def loadgen() -> Path:
    """The project's own load generator, built from this checkout."""
    if shutil.which("cargo") is None:
        raise Missing("the load generator needs Rust (https://rustup.rs)")
    _run(("cargo", "build", "-q", "--release", "-p", "couponry-loadgen"), _REPOSITORY, "building the loadgen", None)
    target = Path(os.environ.get("CARGO_TARGET_DIR") or _REPOSITORY / "target")
    return target / "release" / "couponry-loadgen"


def _run(command: tuple[str, ...], folder: Path, doing: str, environment: dict[str, str] | None) -> None:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"{doing} failed: {(done.stderr or done.stdout).strip()[-400:]}")


def _digest(*files: Path) -> str:
    content = hashlib.sha256()
    for file in files:
        content.update(file.read_bytes())
    return content.hexdigest()[:12]
