"""What the documents say is what the code does."""

import inspect
import re
from pathlib import Path

import pytest

from llm_rlm import Limits, Rate, RLMToolbox, Settings
from llm_rlm.cli import rlm
from llm_rlm.config import Config, load
from llm_rlm.context import width
from llm_rlm.drop_in import _options
from llm_rlm.journal import Journal
from llm_rlm.model import LONG_PROMPT
from llm_rlm.prompts import WHEN
from llm_rlm.providers import attachments
from llm_rlm.providers.retries import Policy
from llm_rlm.providers.spending import OUTPUT_TOKENS
from llm_rlm.root import compaction
from llm_rlm.rounds import MOST_ROUNDS
from llm_rlm.sandbox import pending
from llm_rlm.sandbox.guest import calls, jsontext, mapping

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SPENDING = (ROOT / "docs" / "spending.md").read_text("utf-8")
STRUCTURED = " ".join((ROOT / "docs" / "structured.md").read_text("utf-8").split())
EVENTS = (ROOT / "docs" / "events.md").read_text("utf-8")
WAYS_IN = (ROOT / "docs" / "ways-in.md").read_text("utf-8")
SANDBOX = (ROOT / "docs" / "sandbox.md").read_text("utf-8")
PYTHON_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def test_the_readme_can_be_read_in_one_go() -> None:
    assert len(README.splitlines()) < 150


def test_the_limits_that_the_readme_names_are_the_defaults() -> None:
    assert f"`--max-cost` (${Config().max_cost:.2f} unless given, where prices are known)" in README
    assert f"`--max-calls` ({Limits().calls:,} unless given)" in README
    assert f"`--max-turns` ({Limits().turns})" in README
    assert f"a cell has {Settings().cell_limit:g} s of its own running time" in README
    assert f"up to {width.MOST_IN_SANDBOX / 1e9:g} GB" in README


@pytest.mark.parametrize(
    "claim",
    [
        f"{Settings().cell_limit:g} s (`execution_timeout_ms`)",
        f"{Settings().output_limit:,} characters (`max_output_chars`)",
        f"| calls that wait at once | {pending._MOST:,} |",
        f"| a prompt | {calls.MOST_PROMPT_CHARACTERS // 1_000_000} million characters |",
        f"| text of calls that wait | {pending._MOST_CHARACTERS // 1_000_000} million characters |",
        f"| nesting of values that cross to the host | {jsontext.MOST_NESTING} levels |",
    ],
)
def test_the_bounds_of_the_sandbox_are_as_its_page_says(claim: str) -> None:
    assert claim in SANDBOX


@pytest.mark.parametrize(
    "claim",
    [
        f"${Config().max_cost:.2f} in the command, where both prices are known",
        f"| sub-calls | `--max-calls` | `calls` | {Limits().calls:,} |",
        f"| turns of the root model | `--max-turns` | `turns` | {Limits().turns} |",
        "else {:,} tokens, to which the answer is bound as well".format(*OUTPUT_TOKENS),
        "short the bound is {1:,} or {2:,}.".format(*OUTPUT_TOKENS),
        f"up to {Policy().attempts} attempts",
        f"({Policy().broken} where the reply was broken) within {Policy().seconds / 60:g} minutes",
        f"doubles from {Policy().base:g} s to {Policy().longest:g} s",
        f"how long answers serve ({Config().cache_days:g} days)",
        f"At {compaction.BEGIN:.0%} the conversation".replace("%", " %"),
        f"is shortened to {compaction.TO:.0%}".replace("%", " %"),
        f"never less than {compaction.LEAST_SHOWN:,}",
        f"taken for {attachments.IMAGE_TOKENS:,} tokens",
    ],
)
def test_limits_prices_and_retries_are_as_their_page_says(claim: str) -> None:
    assert claim in SPENDING


@pytest.mark.parametrize(
    "claim",
    [
        f"up to {mapping.MOST_ITEMS} and {mapping.MOST_CHARACTERS:,} characters to a prompt",
        f"(up to {mapping.MOST_VOTES})",
        {1: "once", 2: "at last alone, twice"}[mapping.ALONE],
        {3: "up to three further looks"}[mapping.FURTHER_LOOKS],
        {4: "packs of a quarter of the size"}[mapping._SHRINK],
    ],
)
def test_maps_are_as_their_page_says(claim: str) -> None:
    assert claim in STRUCTURED


@pytest.mark.parametrize(
    "claim",
    [
        f"A prompt of more than {LONG_PROMPT:,} characters becomes the context",
        {4: "four at once"}[Settings().children],
        *(f"`{name}`" for name in _options().model_fields),
    ],
)
def test_ways_in_are_as_their_page_says(claim: str) -> None:
    assert claim in " ".join(WAYS_IN.split())


def test_the_configuration_that_the_page_shows_can_be_read(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", SPENDING, re.DOTALL)
    (tmp_path / "rlm.toml").write_text(block)
    assert load(tmp_path / "rlm.toml") == Config(5.0, 30.0, {"my-model": Rate(0.1, 0.4, 0.05)}, {"my-model": 8192})


def test_every_view_that_the_page_names_is_there() -> None:
    journal = Journal(None)
    there = {row["name"] for row in journal.rows("select name from sqlite_master where type = 'view'")}
    journal.close()
    assert set(re.findall(r"`(readable_\w+)`", SPENDING)) == there


def test_the_toolbox_has_the_signature_that_users_were_promised() -> None:
    parameters = inspect.signature(RLMToolbox).parameters
    assert list(parameters)[:4] == ["context", "sub_model", "max_output_chars", "execution_timeout_ms"]
    assert (parameters["max_output_chars"].default, parameters["execution_timeout_ms"].default) == (8192, 120000)


@pytest.mark.parametrize("block", PYTHON_BLOCK.findall(README + WAYS_IN + EVENTS))
def test_the_python_in_the_documents_compiles_and_imports_what_there_is(block: str) -> None:
    compile(block, "README.md", "exec")
    imports = [line for line in block.splitlines() if line.startswith(("import ", "from "))]
    exec("\n".join(imports), {})  # noqa: S102 - our own document


def test_every_option_that_the_readme_shows_is_there() -> None:
    commands = [rlm.commands["ask"], rlm.commands["chat"]]
    there = {option for command in commands for parameter in command.params for option in parameter.opts} | {"-T", "--td"}
    for command in re.findall(r"^(?:cat .* \| )?llm (?!-m |-c ).*$", README + WAYS_IN, re.MULTILINE):
        assert set(re.findall(r"(?<= )--?[a-zA-Z][a-z-]*", command.partition("&&")[0])) <= there, command


def test_every_prompt_is_in_the_page_of_prompts() -> None:
    page = (ROOT / "docs" / "prompts.md").read_text("utf-8")
    assert {name for name in WHEN if f'--8<-- "{name}.md"' in page} == set(WHEN)


def test_the_cap_on_rounds_is_documented() -> None:
    assert f"{MOST_ROUNDS} rounds" in README
