"""The environments that the systems run in, made with uv below a cache directory."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
_READ_LINES = Path(__file__).parent / "sides" / "read_lines.js"
_STD = "https://deno.land/std@0.186.0/io/mod.ts"


@dataclass(frozen=True)
class Environment:
    """What to install, and whose versions to tell."""

    name: str
    install: tuple[str, ...]
    packages: tuple[str, ...]


LLM = Environment("llm", ("llm==0.36",), ("llm",))
RLMS = Environment("rlms", ("rlms==0.1.3",), ("rlms", "openai"))
DSPY = Environment("dspy", ("dspy[deno]==3.4.1",), ("dspy", "deno"))


def ours(project: Path) -> Environment:
    """This project, as that checkout has it."""
    return Environment("ours", ("--reinstall-package", "llm-rlm", str(project)), ("llm-rlm", "llm", "pyeryx", "openai"))


def python_of(directory: Path) -> Path:
    """The interpreter of an environment."""
    return directory / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def prepare(environment: Environment, directory: Path) -> Path:
    """Make or refresh the environment; returns its Python. Raises CalledProcessError."""
    home = directory / environment.name
    python = python_of(home)
    if not python.exists():
        _run("uv", "venv", "--quiet", "--python", sys.executable, str(home))
    _run("uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python), *environment.install)
    return python


def versions(environment: Environment, python: Path) -> dict[str, str]:
    """The installed versions."""
    told = "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
    code = f"import json, sys\nfrom importlib.metadata import version\n{told}"
    return json.loads(_run(str(python), "-c", code, *environment.packages))


def revision(project: Path) -> str:
    """The commit of the checkout, and whether it has been changed since; nothing where git does not know it."""
    try:
        commit = _run("git", "-C", str(project), "rev-parse", "--short", "HEAD").strip()
        changed = _run("git", "-C", str(project), "status", "--porcelain", "--", "src").strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}, changed" if changed else commit


def import_map(python: Path, directory: Path) -> str | None:
    """Have Deno download what dspy's default interpreter imports. Returns an import map if part of it cannot be had.

    Raises CalledProcessError if it cannot be run at all.
    """
    code = "import dspy.primitives, deno\nprint(dspy.primitives.__path__[0])\nprint(deno.find_deno_bin())"
    folder, deno = _run(str(python), "-c", code).split()
    runner = str(Path(folder) / "runner.js")
    try:
        _run(deno, "cache", "--no-config", "--no-lock", "--node-modules-dir=false", runner)
    except subprocess.CalledProcessError:
        path = directory / "import_map.json"
        path.write_text(json.dumps({"imports": {_STD: _READ_LINES.as_uri()}}))
        _run(deno, "cache", "--no-config", "--no-lock", "--node-modules-dir=false", f"--import-map={path}", runner)
        return str(path)
    return None


def _run(*command: str) -> str:
    # A key of the user's, or a plugin, must not change what is measured.
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=900, env=environment).stdout
