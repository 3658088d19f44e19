"""This project: `RLMToolbox` in LLM's own chain, with one client kept, as in `chain_kept`."""

import time

started = time.monotonic()

import llm  # noqa: E402

base = time.monotonic()

from llm_rlm import RLMToolbox  # noqa: E402

imported = time.monotonic()

import side  # noqa: E402
from chain_kept import keep_client  # noqa: E402


def main() -> None:
    job = side.job()

    def ask() -> str:
        model = keep_client(llm.get_model(job.model))
        with RLMToolbox(context_file=str(job.context), sub_model=job.sub_model) as toolbox:
            return model.conversation().chain(side.QUESTION, tools=[toolbox], chain_limit=0).text()

    side.run(ask, started=started, imported=imported, base=base)


if __name__ == "__main__":
    main()
