"""Search/replace blocks: what fits is done to the letter, what does not changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.agents.edits import Block, EditDoesNotFit, apply_blocks, find_all

# Few letters, so that texts repeat themselves and blocks overlap.
texts = st.text(alphabet="ab \n\r", max_size=40)


def block(find: str, replace: str) -> Block:
    return Block(find=find, replace=replace)


@given(before=texts, find=texts, after=texts, replace=texts)
def test_a_block_replaces_the_one_place_it_names_or_nothing(
    before: str, find: str, after: str, replace: str
) -> None:
    """An edit in the wrong place is an experiment whose title is not true."""
    text = before + find + after
    try:
        changed = apply_blocks(text, [block(find, replace)])
    except EditDoesNotFit:
        if "\r" in text:
            assert not find or len(find_all(text, find)) != 1
        else:
            assert not find or len(find_all(text, find)) > 1
    else:
        written = replace if "\r" in text else replace.replace("\r\n", "\n")
        assert changed == before + written + after


@given(text=texts, find=st.text(alphabet="ab", min_size=1, max_size=4))
def test_every_place_is_found(text: str, find: str) -> None:
    """`aa` stands twice in `aaa`: counting without overlaps would call it unique and take the first."""
    assert find_all(text, find) == [i for i in range(len(text)) if text.startswith(find, i)]


@given(texts, st.lists(st.tuples(texts, texts), max_size=4))
def test_blocks_are_done_in_order_each_to_what_the_ones_before_it_left(
    text: str, pairs: list[tuple[str, str]]
) -> None:
    """One call of three blocks means the same as three calls of one."""
    blocks = [block(find, replace) for find, replace in pairs]
    try:
        together = apply_blocks(text, blocks)
    except EditDoesNotFit:
        return
    for one in blocks:
        text = apply_blocks(text, [one])
    assert together == text


@pytest.mark.parametrize(
    ("find", "told"),
    [
        pytest.param("a = 1\n", "2 times in the draft (lines 1, 3)", id="twice"),
        pytest.param("", "`find` is empty", id="empty"),
        pytest.param("c = 4\nd = 9\n", "Its first line is line 4", id="a-later-line-differs"),
        pytest.param("a_long_name = 3", "The nearest line is 2: a_long_name = 2", id="nearly"),
        pytest.param("wholly other words", "Read the draft again", id="nowhere"),
    ],
)
def test_a_block_that_does_not_fit_says_what_to_do(find: str, told: str) -> None:
    """A model that is only told "no" tries the same again."""
    text = "a = 1\na_long_name = 2\na = 1\n    c = 4\n    d = 5\n"
    with pytest.raises(EditDoesNotFit) as caught:
        apply_blocks(text, [block("d = 5", "d = 6"), block(find, "x")])
    assert "block 2" in str(caught.value)
    assert told in str(caught.value)


def test_lines_that_end_the_other_way_fit() -> None:
    """Some models write carriage returns; the file has none, and must get none."""
    assert apply_blocks("a\nb\n", [block("a\r\nb", "c\r\nd")]) == "c\nd\n"
