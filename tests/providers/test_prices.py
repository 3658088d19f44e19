"""Prices: right where they are known, None where they are not, and a bound that no cost goes over."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import llm
import pytest
from genai_prices.data import providers
from hypothesis import given, settings
from hypothesis import strategies as st
from llm.default_plugins import openai_models

from llm_rlm import UsageError
from llm_rlm.budget import Tokens
from llm_rlm.providers import prices
from llm_rlm.providers.prices import Prices, Rate, how_to_give, parse

if TYPE_CHECKING:
    from pathlib import Path

    from llm_rlm.providers.prices import Price


Chat: Any = openai_models.Chat
Responses: Any = openai_models.Responses


class _Plugin(llm.KeyModel):
    """A model of some plugin."""

    def __init__(self, model_id: str, needs_key: str | None = None, **more: object) -> None:
        self.model_id = model_id
        self.needs_key = needs_key
        vars(self).update(more)

    def execute(self, *_: Any, **__: Any) -> Any:
        raise AssertionError


Plugin: Any = _Plugin


@pytest.fixture(autouse=True)
def no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in prices.PROVIDERS:
        monkeypatch.delenv(f"{key.upper()}_BASE_URL", raising=False)


def known(model: Any, **options: object) -> Price:
    price = Prices().of(model, options)
    assert price is not None
    return price


def unknown(model: Any, **options: object) -> bool:
    return Prices().of(model, options) is None


MILLION = Tokens(1_000_000, 1_000_000)


def test_the_models_of_openai_cost_what_the_table_says() -> None:
    for model in (Chat("gpt-4o"), Responses("gpt-4o"), Chat("mine", model_name="gpt-4o")):
        price = known(model)
        assert price.cost(MILLION) == 12.5
        assert price.cost(Tokens(1_000_000, 0, 1_000_000)) == 1.25
        assert price.cost(Tokens()) == 0
        assert price.worst(1_000_000, 1_000_000) == 12.5


def test_every_provider_of_a_plugin_is_in_the_table() -> None:
    there = {provider.id for provider in providers}
    assert there.issuperset(prices.PROVIDERS.values())
    assert there.issuperset(prices._NAMED_BY_USER)


@pytest.mark.parametrize(
    "model",
    [
        Plugin("anthropic/claude-sonnet-4-5", "anthropic"),
        Plugin("mine", "anthropic", claude_model_id="claude-sonnet-4-5"),
        Plugin("gemini/gemini-2.5-flash", "gemini"),
        Plugin("gemini-2.5-flash", "gemini"),
        Plugin("mistral/mistral-small-latest", "mistral"),
        Plugin("groq/llama-3.3-70b-versatile", "groq"),
        Plugin("groq-llama-3.3-70b-versatile", "groq"),
        Plugin("grok-4", "grok"),
        Plugin("sonar", "perplexity", base_url="https://api.perplexity.ai/v1"),
        Plugin("deepseek-chat", "deepseek"),
        Plugin("command-r", "cohere"),
        Chat("openrouter/x", model_name="openai/gpt-4o", api_base="https://openrouter.ai/api/v1"),
        Chat("x", model_name="gpt-4o", api_base="https://api.openai.com/v1"),
        Chat("x", model_name="llama-3.3-70b-versatile", api_base="HTTPS://API.groq.com:443/openai/v1"),
    ],
    ids=lambda model: model.model_id,
)
def test_models_of_plugins_are_known_by_their_key_or_address(model: Any) -> None:
    assert known(model).cost(MILLION) > 0


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8000/v1",
        "http://localhost/v1",
        "https://localhost/a.googleapis.com",
        "http://api.openai.com/v1",
        "https://api.openai.com:8443/v1",
        "https://api.openai.community/v1",
        "https://api.openai.com@example.org/v1",
        "https://example.org/https://api.openai.com",
        "https://mine.openai.azure.com/openai",
        "https://[::1",
        "https://api.openai.com:x/v1",
        "no address",
    ],
)
def test_a_well_known_name_at_another_address_is_unknown(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("gpt-4o", "gemini-2.5-flash", "llama-3.3-70b-versatile"):
        model = Chat(name, api_base=address)
        assert model.needs_key == "openai"
        assert unknown(model)
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    assert unknown(Chat("gpt-4o"))


@pytest.mark.parametrize(
    "model",
    [
        Plugin("gpt-4o"),
        Plugin("gpt-4o", "mine"),
        Plugin("anthropic/claude-sonnet-4-5", "openai"),
        Plugin("claude-sonnet-4-5", "anthropic", base_url="http://localhost:4000"),
        Plugin("mistral-small", "groq"),
        Plugin("sonar-deep-research", "perplexity"),
        Chat("gpt-none-such"),
        Chat("mine", model_name="none-such"),
        Chat("gpt-4o", model_name="none-such"),
        Chat("text-embedding-3-small"),
        Chat("whisper-1"),
        Chat("moderation"),
        Chat("gpt-audio"),
    ],
    ids=lambda model: model.model_id,
)
def test_what_is_not_sure_is_unknown(model: Any) -> None:
    assert unknown(model)


def test_a_long_input_takes_the_price_of_its_tier() -> None:
    price = known(Chat("gpt-5.4"))
    assert price.cost(Tokens(300_000, 0)) > 1.5 * price.cost(Tokens(200_000, 0))
    assert price.worst(300_000, 0) >= price.cost(Tokens(300_000, 0))


def test_a_tier_of_service_has_its_own_price_or_none() -> None:
    assert known(Chat("gpt-4o"), service_tier="priority").cost(MILLION) > 12.5
    assert known(Chat("gpt-4o"), service_tier="auto").cost(MILLION) == 12.5
    assert unknown(Chat("gpt-4o"), service_tier="none-such")


def test_the_bound_holds_at_every_hour_of_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    price = known(Plugin("deepseek-chat", "deepseek"))
    costs, bounds = set(), set()
    for hour in range(24):
        monkeypatch.setattr(prices, "_now", lambda hour=hour: datetime(2026, 11, 24, hour, 45, tzinfo=UTC))
        costs.add(price.cost(MILLION))
        bounds.add(price.worst(1_000_000, 1_000_000))
    assert len(costs) == 2
    assert bounds == {max(costs)}


@pytest.mark.parametrize("tokens", [Tokens(10, 5, 20), Tokens(10, 5, -3), Tokens(-1, -1, -1), Tokens(0, 0, 7)])
def test_counts_that_cannot_be_break_nothing(tokens: Tokens) -> None:
    for price in (known(Chat("gpt-4o")), prices._Given(Rate(1, 2, 3))):
        assert 0 <= price.cost(tokens) <= price.worst(10, 5)


models = [model for provider in providers for model in provider.models]
tiers = st.sampled_from([{}, {"service_tier": "priority"}, {"service_tier": "flex"}])
listed = st.builds(prices._Listed, st.sampled_from(models), tiers).filter(lambda price: price.countable)
some = st.one_of(st.integers(0, 3), st.integers(0, 2_000_000), st.sampled_from([128_000, 200_000, 200_001, 272_000, 272_001]))
rate = st.floats(0, 1e6)


def assert_bounded(price: Price, bounds: tuple[int, int], parts: tuple[float, float, float]) -> None:
    tokens = Tokens(int(bounds[0] * parts[0]), int(bounds[1] * parts[1]), int(bounds[0] * parts[0] * parts[2]))
    assert 0 <= price.cost(tokens) <= price.worst(*bounds)
    assert price.worst(*bounds) <= price.worst(bounds[0] + 1, bounds[1] + 1)


share = st.floats(0, 1)


@given(listed, st.tuples(some, some), st.tuples(share, share, share))
@settings(deadline=None)
def test_nothing_in_the_table_costs_more_than_its_bound(price: Price, bounds: Any, parts: Any) -> None:
    assert_bounded(price, bounds, parts)


@given(st.builds(Rate, rate, rate, st.none() | rate), st.tuples(some, some), st.tuples(share, share, share))
@settings(deadline=None)
def test_nothing_that_is_given_costs_more_than_its_bound(given_rate: Rate, bounds: Any, parts: Any) -> None:
    assert_bounded(prices._Given(given_rate), bounds, parts)


def test_a_given_rate_beats_the_table_and_prices_what_is_unknown() -> None:
    found = Prices({"gpt-4o": Rate(1, 2, 0.5), "mine": Rate(0, 0)})
    price = found.of(Chat("gpt-4o"))
    assert price is not None
    assert price.cost(Tokens(1_000_000, 1_000_000, 500_000)) == 2.75
    free = found.of(Plugin("mine"))
    assert free is not None
    assert free.cost(MILLION) == free.worst(1_000_000, 1_000_000) == 0


def test_without_a_rate_for_it_cached_input_costs_as_input_does() -> None:
    price = prices._Given(Rate(3, 0))
    assert price.cost(Tokens(1_000_000, 0, 1_000_000)) == 3
    assert prices._Given(Rate(3, 0, 4)).worst(1_000_000, 0) == 4


def test_a_rate_is_given_by_alias_or_by_the_name_at_the_provider(user_path: Path) -> None:
    (user_path / "aliases.json").write_text('{"best": "gpt-4.1"}')
    assert (found := Prices({"best": Rate(7, 7)}).of(Chat("gpt-4.1")))
    assert found.cost(MILLION) == 14
    assert (found := Prices({"llama-9": Rate(7, 7)}).of(Chat("mine", model_name="llama-9", api_base="http://localhost/v1")))
    assert found.cost(MILLION) == 14


def test_a_rate_for_a_model_of_llm_is_not_taken_for_another_of_the_same_name() -> None:
    own = Chat("mine", model_name="gpt-4o", api_base="http://localhost/v1")
    assert Prices({"gpt-4o": Rate(1, 1)}).of(own) is None


def test_what_was_found_is_kept() -> None:
    found = Prices()
    assert found.of(Chat("gpt-4o")) is found.of(Chat("gpt-4o"))
    assert found.of(Chat("gpt-4o", api_base="http://localhost/v1")) is None


def test_the_table_is_loaded_only_when_it_is_needed() -> None:
    code = """
import sys
from llm_rlm.providers.prices import Prices, Rate
assert "llm" not in sys.modules
import llm
from llm.default_plugins.openai_models import Chat
assert Prices().of(Chat("gpt-4o", api_base="http://127.0.0.1:1/v1")) is None
assert Prices({"gpt-4o": Rate(1, 1)}).of(Chat("gpt-4o")) is not None
assert "genai_prices" not in sys.modules
found = Prices()
found.warm()
assert found.of(Chat("gpt-4o")) is not None
assert "genai_prices" in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)  # noqa: S603 - our own


@pytest.mark.parametrize(
    ("text", "model", "expected"),
    [
        ("gpt=1,2", "gpt", Rate(1, 2)),
        ("a/b=c:free=0,0", "a/b=c:free", Rate(0, 0)),
        (" m = 0.1 , 0.4 , 0.05 ", "m", Rate(0.1, 0.4, 0.05)),
    ],
)
def test_a_price_is_read_from_the_command_line(text: str, model: str, expected: Rate) -> None:
    assert parse(text) == (model, expected)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("gpt", "it names no model"),
        ("=1,2", "it names no model"),
        ("", "it names no model"),
        ("m=1", "two or three numbers after the last '=', not 1"),
        ("m=1,2,3,4", "not 4"),
        ("m=$1,2", "'$1' is not a number"),
        ("m=1,", "'' is not a number"),
        ("m=-1,2", "the price input must be a number of at least 0"),
        ("m=1,nan", "the price output must be a number of at least 0"),
        ("m=1,2,inf", "the price cached_input must be a number of at least 0"),
        ("m\n=1", "not 1"),
    ],
)
def test_a_price_that_cannot_be_used_is_refused_with_cause_and_cure(text: str, cause: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    message = str(caught.value)
    assert cause in message
    assert "write MODEL=IN,OUT" in message
    assert "\n" not in message


def test_the_advice_can_be_typed_as_it_stands() -> None:
    assert "--price a/b=IN,OUT (USD per million tokens)" in how_to_give("a/b")
    assert "--price 'my model=IN,OUT'" in how_to_give("my model")
    assert "rlm.toml" in how_to_give("m")


def test_the_window_of_a_model_is_that_of_the_table_where_it_is_sure_which_it_is() -> None:
    assert Prices().window(Chat("gpt-4o")) == 128_000
    assert Prices().window(Chat("gpt-4o", api_base="http://127.0.0.1:1/v1")) is None
    assert Prices().window(Plugin("some/model")) is None


def test_a_window_that_the_user_gives_beats_the_table_and_the_option_of_ollama() -> None:
    model = Chat("gpt-4o")
    assert Prices(windows={"gpt-4o": 9_000}).window(model, {"num_ctx": 4_096}) == 9_000
    assert Prices(windows={"other": 9_000}).window(model) == 128_000
    assert Prices().window(Plugin("llama"), {"num_ctx": 4_096}) == 4_096
    assert Prices().window(Plugin("llama"), {"num_ctx": "4096"}) == 4_096
