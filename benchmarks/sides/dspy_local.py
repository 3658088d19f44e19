"""`dspy.RLM` with its local interpreter: a plain Python process, not a sandbox."""

import time

started = time.monotonic()

import dspy  # noqa: E402

imported = time.monotonic()

import side  # noqa: E402


def main(factory=dspy.LocalInterpreter, started: float = started) -> None:
    job = side.job()

    def ask() -> str:
        shared = {"api_base": job.url, "api_key": "none", "cache": False}
        sub = dspy.LM(f"openai/{job.sub_model}", **shared)
        rlm = dspy.RLM(
            "context, query -> answer", max_iters=job.turns, max_llm_calls=10_000, sub_lm=sub, interpreter_factory=factory
        )
        with dspy.context(lm=dspy.LM(f"openai/{job.model}", **shared)):
            return rlm(context=job.context.read_text(), query=side.QUESTION).answer

    side.run(ask, started=started, imported=imported)


if __name__ == "__main__":
    main()
