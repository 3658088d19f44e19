"""Nothing but `import llm`."""

import time

started = time.monotonic()

import llm  # noqa: E402, F401

imported = time.monotonic()

import side  # noqa: E402

side.run(lambda: "imported", started=started, imported=imported)
