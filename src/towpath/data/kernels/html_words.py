"""What the names of a page's elements, attributes and classes say: the vocabulary of ``main_text``.

One table goes out, from a word with a sign before it to bits: ``<div`` an element, ``@class`` an
attribute, ``role=menu`` an attribute with a value, ``.navbar`` a part of a class or id. The last are
after what resiliparse's filters look for (https://resiliparse.chatnoir.eu), as lists in place of
regular expressions.

A class is read in parts, cut at ``-`` and ``_``; a word counts where one, two or three parts in
a row, put together, are that word ("navbar", "nav-bar", "nav_bar").
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np

# Elements.
RAW, SKIPPED, SKIPPED_MAIN, VOID, BLOCK, BIG = (1 << bit for bit in range(6))
NEVER, NOT_MAIN, CLOSES_P, SCOPE, ITEM, TERM = (1 << bit for bit in range(6, 12))
LIST, CELL, ROW, ROWS, TABLE, HEADING = (1 << bit for bit in range(12, 18))
PARAGRAPH, LINK, DIVISION, BULLETS, NUMBERED, ARTICLE = (1 << bit for bit in range(18, 24))
PRE, TITLE, BREAK, META, FRAME, KEPT = (1 << bit for bit in range(24, 30))
ITEM_LIKE = LINK | DIVISION | ITEM

# Attributes.
CLASS, ID, STYLE, VALUED, PRESENT, META_NAME, META_CONTENT, META_CHARSET, META_EQUIVALENT = range(1, 10)

# What an attribute says of its element; `AT_` and `IN_`, where in a class or id the word counts.
EXCLUDED, EXCLUDED_ITEM, EXCLUDED_BLOCK, WANTED, ROOT, CALLED_SO, NAMED = (1 << bit for bit in range(7))
SAID = (1 << 7) - 1
AT_START, AT_END, IN_CLASS, IN_ID, PREFIX = (1 << bit for bit in range(8, 13))
_WHOLE = AT_START | AT_END

_ELEMENTS: dict[str, int] = {
    "script style iframe noembed noframes textarea": RAW,
    "svg noscript template object canvas video audio select": SKIPPED | NEVER,
    "footer": SKIPPED_MAIN | NOT_MAIN | BLOCK | CLOSES_P,
    "nav": SKIPPED_MAIN | NOT_MAIN | BLOCK | CLOSES_P,
    "aside": NOT_MAIN | BLOCK | CLOSES_P,
    "time": NOT_MAIN,
    "button label option optgroup": NEVER,
    "figure figcaption": NEVER | BLOCK | CLOSES_P,
    "area base basefont bgsound col embed frame image img input keygen link param source track wbr": VOID,
    "br": VOID | BREAK,
    "hr": VOID | BLOCK | CLOSES_P,
    "meta": VOID | META,
    "html head body": FRAME,
    "title": TITLE,
    "main": KEPT | BLOCK | CLOSES_P,
    "h1": KEPT | BLOCK | BIG | HEADING | CLOSES_P,
    "h2 h3 h4": BLOCK | BIG | HEADING | CLOSES_P,
    "h5 h6": BLOCK | HEADING | CLOSES_P,
    "p": PARAGRAPH | BLOCK | BIG | CLOSES_P,
    "div": DIVISION | BLOCK | CLOSES_P,
    "article": ARTICLE | BLOCK | CLOSES_P,
    "address blockquote center details dialog fieldset form header hgroup search section summary": BLOCK
    | CLOSES_P,
    "ul": BULLETS | LIST | BLOCK | CLOSES_P,
    "ol": NUMBERED | LIST | BLOCK | CLOSES_P,
    "menu dir dl": LIST | BLOCK | CLOSES_P,
    "li": ITEM | BLOCK | CLOSES_P,
    "dt dd": TERM | BLOCK | CLOSES_P,
    "pre listing xmp": PRE | BLOCK | CLOSES_P,
    "table": TABLE | SCOPE | BLOCK | CLOSES_P,
    "caption": SCOPE | BLOCK,
    "thead tbody tfoot": ROWS | BLOCK,
    "tr": ROW | BLOCK,
    "td th": CELL | SCOPE,
    "a": LINK,
}
_ATTRIBUTES = {
    "class": CLASS,
    "id": ID,
    "style": STYLE,
    "rel": VALUED,
    "itemprop": VALUED,
    "role": VALUED,
    "aria-hidden": VALUED,
    "aria-expanded": VALUED,
    "name": META_NAME,
    "content": META_CONTENT,
    "charset": META_CHARSET,
    "http-equiv": META_EQUIVALENT,
    **dict.fromkeys(("hidden", "data-ad", "data-advertisement", "data-text-ad"), PRESENT),
}
_VALUES = {
    "rel": (EXCLUDED, "author icon search prev next tag"),
    "itemprop": (EXCLUDED, "datepublished author url"),
    "aria-hidden": (EXCLUDED, "true"),
    "aria-expanded": (EXCLUDED, "false"),
    "role": (
        EXCLUDED_BLOCK,
        "alert banner checkbox comment complementary contentinfo dialog img menu menubar menuitem navigation "
        "radio search searchbox separator tab toolbar tooltip",
    ),
}
CALLED = (b"comment", b"cookie", b"footer", b"caption", b"byline", b"promo", b"newsletter", b"copyright")
"""Anywhere in a class they say that an element is no part of an article; in an id the first three do."""
N_CALLED_IN_ID = 3


def _joined(*parts: str) -> list[str]:
    """Every word of each of ``parts`` put behind every one before; ``_`` stands for none."""
    return ["".join(words).replace("_", "") for words in product(*(part.split() for part in parts))]


_PREFIXES = "l m c wp main site page sub article global sticky mobile desktop top"
"""Words after which a class still counts as at its start."""
_RULES: list[tuple[int, list[str]]] = [
    (
        ROOT | WANTED | _WHOLE | IN_CLASS,
        _joined("articlebody contentbody articletext maincontent postcontent singlepost"),
    ),
    (WANTED, _joined("article entry post story singlepost maincontent content body text page")),
    # No part of any page's text, whatever the element.
    (
        EXCLUDED | _WHOLE | IN_CLASS,
        _joined(
            "_ is visually",
            "displaynone hidden invisible collapsed h0 nocontent expandable",
            "_ xs sm lg xl 2xl",
        ),
    ),
    (
        EXCLUDED | IN_CLASS,
        _joined("login signin signup account userinfo userprofile usersettings useractions"),
    ),
    (EXCLUDED | IN_CLASS, ["spinner"]),
    (
        EXCLUDED | AT_START | IN_CLASS,
        _joined(
            "social socialmedia socialsearch share sharedaddy syndication newsletter sharing follow email "
            "like likes feedback engagement brandengagement facebook twitter subscribe",
            "_ post link links section icon icons btn button buttons target",
        ),
    ),
    (EXCLUDED | AT_END, _joined("_ brand branding site", "logo")),
    (EXCLUDED | AT_START, _joined("_ google wide", "ad ads")),
    (
        EXCLUDED | AT_START,
        _joined(
            "advert advertise advertisement advertiselink sponsor sponsored promoted paid banner widebanner "
            "donate"
        ),
    ),
    # Links from page to page.
    (
        EXCLUDED_ITEM | _WHOLE,
        _joined(
            "_ link",
            "skip skipto skiplink scrollup scrolldown next prev previous permalink pagination",
            "_ post article",
        ),
    ),
    (EXCLUDED_ITEM | _WHOLE, _joined("skiptocontent skiptomaincontent")),
    # Parts of a page beside its article.
    (EXCLUDED_BLOCK | _WHOLE, _joined("nav navigation navbar", "_ bar menu container wrapper")),
    (EXCLUDED_BLOCK | _WHOLE, _joined("menu menuitem dropdown breadcrumb breadcrumbs")),
    (EXCLUDED_BLOCK | _WHOLE, _joined("link links", "bar box list container section wrapper")),
    (
        EXCLUDED_BLOCK,
        _joined(
            "trends trending recommended featured popular editorpicks editorspicks related readnext "
            "relatedlinks relatedarticles relatedposts relatedguides relatedstories gallery carousel"
        ),
    ),
    (EXCLUDED_BLOCK | _WHOLE, _joined("search", "_ bar facility box")),
    (EXCLUDED_BLOCK | _WHOLE, _joined("side sticky", "bar bars box")),
    (EXCLUDED_BLOCK | _WHOLE, ["onethird"]),
    (EXCLUDED_BLOCK | _WHOLE, _joined("modal popup lightbox", "_ window pane box")),
    (EXCLUDED_BLOCK | _WHOLE, _joined("l m wp global page site full sticky", "header", "_ wrap wrapper bar")),
    (
        EXCLUDED_BLOCK | _WHOLE,
        _joined(
            "_ global page site",
            "footer copyright cookie consent legal fcontainer",
            "_ wrap wrapper container banner notice bar consent",
        ),
    ),
    (EXCLUDED_BLOCK | AT_START, ["print"]),
    (
        EXCLUDED_BLOCK | _WHOLE | IN_ID,
        _joined("_ l wp global page site full sticky", "head header foot right"),
    ),
]
"""Bits of words in classes and ids. Where a word is in several rules, the first counts."""


@cache
def words() -> dict[bytes, int]:
    """The vocabulary: a word with its sign, in lower case, and its bits."""
    found: dict[bytes, int] = {}
    for names, bits in _ELEMENTS.items():
        found |= {b"<" + name.encode(): bits for name in names.split()}
    found |= {b"@" + name.encode(): bits for name, bits in _ATTRIBUTES.items()}
    for name, (bits, values) in _VALUES.items():
        found |= {f"{name}={value}".encode(): bits for value in values.split()}
    found[b"role=main"] = ROOT
    for bits, parts in _RULES:
        for part in parts:
            found.setdefault(b"." + part.encode(), bits)
    for part in _PREFIXES.split():
        key = b"." + part.encode()
        found[key] = found.get(key, 0) | PREFIX
    return found


@cache
def table() -> tuple[np.ndarray, np.ndarray]:
    """``words`` as a hash table: 64-bit FNV-1a hashes, zero where a place is free, and uint32 bits."""
    found = words()
    n_places = 4 * 2 ** len(found).bit_length()
    keys, bits = np.zeros(n_places, np.uint64), np.zeros(n_places, np.uint32)
    for word, value in found.items():
        key = 0xCBF29CE484222325
        for byte in word:
            key = (key ^ byte) * 0x100000001B3 % 2**64
        place = key % n_places
        while keys[place]:
            place = (place + 1) % n_places
        keys[place], bits[place] = key, value
    return keys, bits
