"""`dspy.RLM` with its default interpreter: Pyodide in Deno.

BENCHMARK_IMPORT_MAP names a Deno import map, for machines where part of what the interpreter imports cannot be downloaded.
"""

import os
import time

started = time.monotonic()

from dspy import PythonInterpreter  # noqa: E402
from dspy_local import main  # noqa: E402


def interpreter() -> PythonInterpreter:
    """The interpreter as dspy makes it, but for the import map."""
    mapped = os.environ.get("BENCHMARK_IMPORT_MAP")
    if not mapped:
        return PythonInterpreter()
    os.environ["DENO_NO_PACKAGE_JSON"] = "1"
    program, verb, *rest = PythonInterpreter().deno_command
    return PythonInterpreter(deno_command=[program, verb, f"--import-map={mapped}", *rest])


interpreter.execution_instructions = getattr(PythonInterpreter, "execution_instructions", "")

if __name__ == "__main__":
    main(interpreter, started)
