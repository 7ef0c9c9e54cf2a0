import html
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aixmeg.report.markup import Html, escape, join, tag, visible


class Reader(HTMLParser):
    """What a browser would make of the markup."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text = [], {}, ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.update(attrs)

    def handle_data(self, data):
        self.text += data


@given(st.text(), st.text())
def test_any_text_comes_back_as_text(child, attribute):
    read = Reader(tag("p", child, title=attribute))
    assert read.tags == ["p"]
    assert read.text == visible(child)
    assert read.attributes == {"title": visible(attribute)}


@given(st.text(alphabet=st.characters(codec=None)))
def test_every_string_can_be_written_as_utf8(text):
    assert escape(text + "\ud800").encode()


def test_markup_is_not_escaped_twice_and_strings_are():
    inner = tag("b", "<i>")
    assert isinstance(inner, Html)
    assert join(inner, "<i>", None, 3) == "<b>&lt;i&gt;</b>&lt;i&gt;3"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b\x1b[31m", "a[U+0000]b[U+001B][31m"),
        ("x\u202ey", "x[U+202E]y"),  # right-to-left override: code would read other than it runs
        ("zero\u200bwidth", "zero[U+200B]width"),
        ("\ufeffimport os\r\n\tpass\n", "[U+FEFF]import os\n\tpass\n"),
        ("lone \udc80", "lone [U+DC80]"),
        ("naïve 日本 😀", "naïve 日本 😀"),
    ],
)
def test_hidden_characters_are_written_out(text, shown):
    assert html.unescape(escape(text)) == shown


def test_attribute_names_and_absent_attributes():
    made = tag("i", class_="a", data_series='"', hidden=True, title=None, width=0, disabled=False)
    assert made == '<i class="a" data-series="&quot;" hidden="" width="0"></i>'
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'
