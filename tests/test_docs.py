"""What the documents say is what the code does."""

import importlib.util
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

import llm_rlm
from llm_rlm import RLM, Limits, Rate, RLMToolbox, Settings
from llm_rlm.cli import rlm, running
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
from scripts import scripted, submit

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
DOCS = ROOT / "docs"
LIMITS = (DOCS / "reference" / "limits.md").read_text("utf-8")
VALUES = " ".join((DOCS / "reference" / "values.md").read_text("utf-8").split())
JOURNAL = (DOCS / "reference" / "journal.md").read_text("utf-8")
WAYS_IN = (DOCS / "howto" / "ways-in.md").read_text("utf-8")
SANDBOX = (DOCS / "sandbox.md").read_text("utf-8")
PAGES = {path: path.read_text("utf-8") for path in sorted(DOCS.rglob("*.md"))}
PICTURES = sorted((DOCS / "pictures").glob("*.svg"))
GENERATED = re.compile(r"<!-- \[\[\[cog.*?\[\[\[end\]\]\] -->", re.DOTALL)
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
        f"| a prompt, or the code of a cell | {calls.MOST_PROMPT_CHARACTERS // 1_000_000} million characters |",
        f"| calls refused in one cell | {pending._MOST_REFUSED:,}; more ends the interpreter |",
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
    assert claim in LIMITS


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
    assert claim in VALUES


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
    (block,) = re.findall(r"```toml title=\"rlm.toml\"\n(.*?)```", LIMITS, re.DOTALL)
    (tmp_path / "rlm.toml").write_text(block)
    assert load(tmp_path / "rlm.toml") == Config(5.0, 30.0, {"my-model": Rate(0.1, 0.4, 0.05)}, {"my-model": 8192})


def test_every_view_that_the_page_names_is_there() -> None:
    journal = Journal(None)
    there = {row["name"] for row in journal.rows("select name from sqlite_master where type = 'view'")}
    journal.close()
    assert set(re.findall(r"`(readable_\w+)`", JOURNAL)) == there


def test_the_toolbox_has_the_signature_that_users_were_promised() -> None:
    parameters = inspect.signature(RLMToolbox).parameters
    assert list(parameters)[:4] == ["context", "sub_model", "max_output_chars", "execution_timeout_ms"]
    assert (parameters["max_output_chars"].default, parameters["execution_timeout_ms"].default) == (8192, 120000)


@pytest.mark.parametrize("block", PYTHON_BLOCK.findall(README))
def test_the_python_in_the_readme_compiles_and_imports_what_there_is(block: str) -> None:
    compile(block, "README.md", "exec")
    imports = [line for line in block.splitlines() if line.startswith(("import ", "from "))]
    exec("\n".join(imports), {})  # noqa: S102 - our own document


def test_every_option_that_the_readme_shows_is_there() -> None:
    commands = [rlm.commands["ask"], rlm.commands["chat"]]
    there = {option for command in commands for parameter in command.params for option in parameter.opts} | {"-T", "--td"}
    for command in re.findall(r"^(?:cat .* \| )?llm (?!-m |-c ).*$", README, re.MULTILINE):
        assert set(re.findall(r"(?<= )--?[a-zA-Z][a-z-]*", command.partition("&&")[0])) <= there, command


def test_the_table_of_places_has_every_module_and_package() -> None:
    table, _, _ = PAGES[DOCS / "design.md"].partition("In `runs/`, from the top down")
    told = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`([^`]+?)/?`", row)}
    there = {module.name for module in pkgutil.iter_modules(llm_rlm.__path__)}
    assert there <= told


def test_every_prompt_is_in_the_page_of_prompts() -> None:
    page = PAGES[DOCS / "reference" / "prompts.md"]
    assert {name for name in WHEN if f'--8<-- "{name}.md"' in page} == set(WHEN)


def test_the_cap_on_rounds_is_documented() -> None:
    assert f"{MOST_ROUNDS} rounds" in README


def _run(*arguments: str) -> str:
    """What a program of the documents prints. Fails where it does."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _module(path: str) -> ModuleType:
    """A module of the documents, by its path below them."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, DOCS / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from _commands(below, f"{path} {name}")


def test_what_the_pages_take_from_the_code_is_up_to_date() -> None:
    pages = [str(page) for page, text in PAGES.items() if "[[[cog" in text]
    assert len(pages) >= 3
    # In a process of its own: this one has run commands of other tests.
    _run("-m", "cogapp", "--check", "--diff", "-I", str(DOCS), *pages)


def test_every_command_is_told_of_and_not_only_listed() -> None:
    told = "".join(GENERATED.sub("", text) for text in PAGES.values()) + README
    missing = [path for path, _ in _commands(rlm, "llm rlm") if f"{path}" not in told]
    assert not missing


def test_every_option_is_in_the_page_of_commands() -> None:
    page = PAGES[DOCS / "reference" / "commands.md"]
    options = {option for _, command in _commands(rlm, "llm rlm") for parameter in command.params for option in parameter.opts}
    assert not {option for option in options if option.startswith("--") and option not in page}


def test_every_column_of_the_journal_has_a_meaning_and_no_other_has() -> None:
    journal = Journal(None)
    tables = [row["name"] for row in journal.rows("select name from sqlite_master where type = 'table'")]
    there = {table: {row["name"] for row in journal.rows(f"pragma table_info({table})")} for table in tables}
    journal.close()
    columns = _module("columns.py")
    assert {table: set(meanings) for table, meanings in columns.MEANINGS.items()} == there
    assert set(columns.TABLES) == set(there)


def test_every_exit_code_has_a_meaning() -> None:
    codes = {running.ANSWERED, running.FAILED, running.BAD_USAGE, running.LIMITED, running.ABORTED}
    page = PAGES[DOCS / "reference" / "exit-codes.md"]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == codes


def test_every_field_of_the_json_object_is_in_its_page() -> None:
    fields = set(RLM(scripted(submit("done")), log=False).ask("?", "text").as_dict())
    rows = re.findall(r"^\| (`.*?) \|", PAGES[DOCS / "reference" / "output.md"], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == fields


def test_the_pictures_of_the_structure_are_up_to_date() -> None:
    _run("docs/pictures/make.py", "--check")


def test_pictures_name_modules_that_there_are() -> None:
    text = "".join(picture.read_text("utf-8") for picture in PICTURES)
    names = set(re.findall(r'class="name"[^>]*>((?:runs|providers|sandbox)\.\w+)<', text))
    assert len(names) > 3
    assert not [name for name in names if importlib.util.find_spec(f"llm_rlm.{name}") is None]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.stem)
def test_a_picture_loads_nothing(picture: Path) -> None:
    text = picture.read_text("utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "http" not in text
    assert not re.search(r"<script|<image|<foreignObject|@import|@font-face|url\((?!#)", text)


def test_what_a_page_would_load_from_elsewhere_is_found() -> None:
    outside = _module("outside.py").outside
    assert outside('<script src="https://elsewhere.example/x.js"></script>')
    assert outside("<link rel=stylesheet href=//elsewhere.example/x.css>")
    assert outside("body { background: url(https://elsewhere.example/x.png) }")
    assert not outside('<a href="https://elsewhere.example">a link</a><img src="pictures/a.svg">')


def test_a_picture_of_a_run_says_that_a_script_plays_the_models() -> None:
    assert "no language model is involved" in (DOCS / "pictures" / "terminal.svg").read_text("utf-8")


def test_every_page_is_in_the_navigation_and_links_to_pages_that_there_are() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page, text in PAGES.items():
        assert f": {page.relative_to(DOCS)}\n" in navigation
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / link).exists(), link
