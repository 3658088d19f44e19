"""This project: the command `llm rlm`, in a process that this script becomes."""

import os
import sys
from pathlib import Path

import side

if __name__ == "__main__":
    job = side.job()
    command = Path(sys.executable).parent / "llm"
    options = ["-c", str(job.context), "-m", job.model, "--sub-model", job.sub_model, "--max-turns", str(job.turns)]
    os.execv(command, [str(command), "rlm", side.QUESTION, *options])
