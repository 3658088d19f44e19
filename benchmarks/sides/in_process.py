"""This project: a batch of calls to a model in the same process, which takes 0.1 s for each. No HTTP at all."""

import argparse
import json
import time

import llm

from llm_rlm import RLM, Limits, Settings

_DELAY = 0.1


class Root(llm.Model):
    """Runs one cell with a batch, then submits. Notes when it was asked."""

    model_id = "benchmark-root"
    supports_tools = True

    def __init__(self, calls: int) -> None:
        self.asked: list[float] = []
        batch = f'answers = await llm_batch([f"question {{n}}" for n in range({calls})])'
        count = 'print(sum(str(a) == "answer" for a in answers), "answered")'
        self._cells = ["print(1 + 1)", f"{batch}\n{count}"]
        self.shown = ""

    def execute(self, prompt, stream, response, conversation):  # noqa: ARG002 - as LLM calls it
        self.asked.append(time.monotonic())
        self.shown = prompt.tool_results[-1].output if prompt.tool_results else ""
        if len(self.asked) <= len(self._cells):
            arguments = {"code": self._cells[len(self.asked) - 1]}
            response.add_tool_call(llm.ToolCall("RLMToolbox_execute_python", arguments))
        else:
            assert self.shown.startswith("2") or "answered" in self.shown
            response.add_tool_call(llm.ToolCall("RLMToolbox_submit_answer", {"answer": self.shown}))
        return iter(())


class Sub(llm.Model):
    """Sleeps, and says one word."""

    model_id = "benchmark-sub"

    def execute(self, prompt, stream, response, conversation):  # noqa: ARG002 - as LLM calls it
        time.sleep(_DELAY)
        yield "answer"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    given = parser.parse_args()
    root = Root(given.calls)
    limits, settings = Limits(calls=given.calls, turns=10), Settings(concurrency=given.concurrency)
    answer = RLM(root, sub_model=Sub(), limits=limits, settings=settings).ask("How many?", "text").answer
    assert str(answer).startswith(f"{given.calls} answered"), answer
    print(json.dumps({"seconds": root.asked[2] - root.asked[1]}))


if __name__ == "__main__":
    main()
