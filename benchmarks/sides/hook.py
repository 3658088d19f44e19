"""What the plugin does in every `llm` command, alone: imported and asked for its commands, when all else is loaded.

Run with LLM_LOAD_PLUGINS empty, so that LLM has not done it already. The argument `without` leaves it out.
"""

import json
import sys
import time

from llm.cli import cli

started = time.perf_counter()
if "without" not in sys.argv:
    import llm_rlm.plugin

    llm_rlm.plugin.register_commands(cli)
print(json.dumps({"seconds": time.perf_counter() - started}))
