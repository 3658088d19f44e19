"""Several texts as a read-only mapping."""

from __future__ import annotations

import pytest

from llm_rlm.sandbox.guest.corpus import Corpus
from llm_rlm.sandbox.guest.lazytext import LazyText

from .texts import Held

TEXTS = {"src/a.py": b"a\r\n", "src/b/utils.py": "é".encode(), "c.txt": b"\xff"}


def corpus(held: Held | None = None, most_held: int = 100, most_cached: int = 1000) -> Corpus:
    return Corpus(held or Held(TEXTS), most_held, most_cached)


def test_it_is_a_mapping_in_order_that_loads_what_is_touched() -> None:
    held = Held(TEXTS)
    context = corpus(held)
    assert held.listings == 0
    assert (list(context), context.names, len(context)) == (list(TEXTS), list(TEXTS), 3)
    assert context.sizes == {"src/a.py": 3, "src/b/utils.py": 2, "c.txt": 1}
    assert "src/a.py" in context
    assert "nothing" not in context
    assert held.reads == []
    assert (context["src/a.py"], context["src/b/utils.py"], context["c.txt"]) == ("a\r\n", "é", "\ufffd")
    assert dict(context.items())["src/a.py"] == "a\r\n"
    assert (held.reads, held.many, held.listings) == ([(0, 0, 3)], [(1, 3)], 1)
    assert context.get("nothing", "else") == "else"


def test_the_same_text_is_kept_until_room_is_needed() -> None:
    held = Held({name: name.encode() * 100 for name in "abc"})
    context = corpus(held, 1000, 350)
    first = context["a"]
    assert context["a"] is first
    assert [context[name][:1] for name in "bca"] == list("bca")
    assert ([read[0] for read in held.reads], held.many) == ([0, 0], [(1, 3)])


def test_a_text_is_lazy_only_if_the_host_says_that_it_does_not_fit() -> None:
    for fit, kind in ((True, str), (False, LazyText)):
        context = corpus(Held({"big": b"x" * 200, "small": b"x"}, fit=fit))
        assert isinstance(context["big"], kind)
        assert context["small"] == "x"
        assert context["big"][:3] == "xxx"


def test_a_byte_order_mark_is_no_text() -> None:
    assert corpus(Held({"a": "\ufefftext".encode()}))["a"] == "text"


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("utils.py", "there is no text 'utils.py'; there is 'src/b/utils.py'"),
        ("src/a.pz", "there is no text 'src/a.pz'; there is 'src/a.py'"),
        ("quite other", "there is no text 'quite other'"),
        (0, "mapping from name to text: the first text is `context[context.names[0]]`"),
        (slice(10), "mapping from name to text: `context.names[:10]`"),
    ],
)
def test_a_wrong_name_is_answered_with_advice(key: str, says: str) -> None:
    with pytest.raises(KeyError) as problem:
        corpus()[key]
    assert says in problem.value.args[0]


def test_it_cannot_be_changed_and_is_shown_by_its_names() -> None:
    context = corpus()
    with pytest.raises(TypeError, match="`context` is read-only"):
        context["a"] = "b"
    with pytest.raises(TypeError, match="`context` is read-only"):
        del context["a"]
    assert str(context) == "<3 texts, 6 bytes: src/a.py, src/b/utils.py, c.txt>"
    assert repr(corpus(Held(dict.fromkeys("abcd", b"x")))) == "<4 texts, 4 bytes: a, b, c, …>"


def test_names_and_sizes_are_made_once_and_belong_to_who_asks() -> None:
    context = corpus()
    assert context.names is context.names
    assert context.sizes is context.sizes
    context.names.clear()
    context.sizes.clear()
    assert list(context) == list(TEXTS)
    assert context["c.txt"] == "\ufffd"


def test_room_is_made_before_a_text_is_loaded() -> None:
    held = Held({name: name.encode() * 300 for name in "ab"})
    context = corpus(held, 1000, 400)
    assert context["a"]

    class Watched(Held):
        def read(self, document: int, start: int, end: int) -> bytes:
            assert context._taken == 0
            return super().read(document, start, end)

    context._texts = Watched({name: name.encode() * 300 for name in "ab"})
    assert context["b"] is context["b"]


def test_going_through_texts_that_do_not_fit_together_keeps_only_some() -> None:
    context = corpus(Held({str(n): b"x" * 1000 for n in range(50)}), 2000, 5000)
    assert sum(len(text) for text in context.values()) == 50_000
    assert len(context._kept) == 4


def test_to_compare_it_loads_nothing() -> None:
    held = Held(TEXTS)
    assert corpus(held) != corpus(held)
    assert held.reads == []


def test_a_method_of_str_is_answered_with_advice() -> None:
    with pytest.raises(AttributeError, match=r"has no 'split': it is several texts, `for name, text in context\.items\(\)`"):
        corpus().split  # noqa: B018 - the access raises
    assert not hasattr(corpus(), "anything")
