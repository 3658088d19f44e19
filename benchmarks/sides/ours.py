"""This project: `RLM.ask`."""

import time

started = time.monotonic()

import llm  # noqa: E402, F401 - imported first to know what this project adds to it

base = time.monotonic()

from llm_rlm import RLM, Limits  # noqa: E402

imported = time.monotonic()

import side  # noqa: E402


def main() -> None:
    job = side.job()
    limits = Limits(calls=10_000, turns=job.turns)
    rlm = RLM(job.model, sub_model=job.sub_model, limits=limits)
    side.run(lambda: rlm.ask(side.QUESTION, job.context).answer, started=started, imported=imported, base=base)


if __name__ == "__main__":
    main()
