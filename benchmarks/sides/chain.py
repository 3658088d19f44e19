"""LLM's own chain with a tool that does nothing: what a turn costs before this project does anything."""

import time

started = time.monotonic()

import llm  # noqa: E402

imported = time.monotonic()

import side  # noqa: E402


def do_nothing(code: str) -> str:  # noqa: ARG001 - what a tool is given
    """Run Python code in the session and return what it prints, and the value of its last line."""
    return "2"


def main(prepare=lambda model: model) -> None:
    job = side.job()
    model = prepare(llm.get_model(job.model))
    side.run(
        lambda: model.conversation().chain(side.QUESTION, tools=[do_nothing], chain_limit=0).text(),
        started=started,
        imported=imported,
    )


if __name__ == "__main__":
    main()
