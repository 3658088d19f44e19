"""alexzhang13/rlm: its local environment, its OpenAI client pointed at the server."""

import time

started = time.monotonic()

from rlm import RLM  # noqa: E402

imported = time.monotonic()

import side  # noqa: E402


def main() -> None:
    job = side.job()
    shared = {"api_key": "none", "base_url": job.url}

    def ask() -> str:
        rlm = RLM(
            backend="openai",
            backend_kwargs={"model_name": job.model, **shared},
            other_backends=["openai"],
            other_backend_kwargs=[{"model_name": job.sub_model, **shared}],
            environment="local",
            max_iterations=job.turns,
        )
        return rlm.completion(job.context.read_text(), root_prompt=side.QUESTION).response

    side.run(ask, started=started, imported=imported)


if __name__ == "__main__":
    main()
