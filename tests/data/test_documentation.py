from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from towpath.core.errors import DataError
from towpath.data.document import Document, Rejected
from towpath.data.sources.documentation import DocumentationSource
from towpath.data.sources.markup import STRIPPERS, markdown_text, pod_text, rest_text, roff_text


def read(path: Path, **fields: Any) -> list[Document | Rejected]:
    return list(DocumentationSource(path=str(path), **fields).documents())


def test_markdown_keeps_headings_and_code_and_drops_what_is_not_text() -> None:
    text = """---
title: x
---
# Install &amp; use

![logo](a.png) See [the *guide*](https://example.org/a_(b)) or <https://example.org>.
<!-- not
shown -->
**Bold** <br/>text.

```python
x = [a](b)  # <b>
```

    indented [code](x)

[1]: https://example.org
"""
    assert (
        markdown_text(text)
        == """# Install & use

 See the *guide* or https://example.org.

Bold text.

```python
x = [a](b)  # <b>
```

    indented [code](x)"""
    )


def test_restructuredtext_keeps_headings_and_code_and_drops_directives() -> None:
    text = """
.. _target:

=====
Title
=====

Section
-------

See :py:func:`~pathlib.Path.open`, :ref:`the part <part>`, `a page <https://example.org>`_
and ``code``. Like so::

    for x in y:
        pass

.. code-block:: python
   :linenos:

   print("a")

.. note:: Mind **this**.
   And that.

.. image:: a.png
   :alt: no

.. a comment
   of two lines

Other
-----
End.
"""
    assert (
        rest_text(text)
        == """# Title

## Section

See pathlib.Path.open, the part, a page
and `code`. Like so:

```
for x in y:
    pass
```

```python
print("a")
```

Mind this.
   And that.

## Other
End."""
    )


def test_man_pages_keep_sections_options_and_examples() -> None:
    text = r""".\" A comment
.TH LS 1 "May 2020"
.SH NAME
ls \- list directory contents
.SH OPTIONS
.TP
\fB\-a\fR, \fB\-\-all\fR
do not ignore entries; it\(aqs
.BR ls (1)
.nf
ls \-a
  x
.fi
.SS "Exit status"
.PP
0 if OK.
"""
    assert (
        roff_text(text)
        == """# NAME

ls - list directory contents

# OPTIONS

-a, --all
do not ignore entries; it's
ls(1)

```
ls -a
  x
```

## Exit status

0 if OK."""
    )
    mdoc = ".Sh SYNOPSIS\n.Nm cat\n.Op Fl benstuv\n.Op Ar\n.Fl u\n"
    assert roff_text(mdoc).startswith("# SYNOPSIS\n\ncat\n[-benstuv]")


def test_pod_keeps_text_and_drops_the_program() -> None:
    text = "print 1;\n\n=head1 NAME\n\nB<tool> - does I<E<lt>that>\n\n  tool --x\n\n"
    text += "=over\n\n=item one\n\n=back\n\n=cut\nmy $x;\n"
    assert pod_text(text) == "# NAME\n\ntool - does <that\n\n```\n  tool --x\n\n```\n\none"


def test_a_folder_of_manuals_is_read_by_suffix(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A\n\nText.\n")
    (tmp_path / "b.html").write_text(
        "<html><body><main><h1>B</h1><p>Some words of the page.</p></main></body></html>"
    )
    (tmp_path / "c.3").write_text(".SH C\ntext\n")
    (tmp_path / "d.rst").write_text(".. only a comment\n")
    (tmp_path / "e.txt").write_text("x" * 2_001)
    (tmp_path / "f.png").write_text("no")
    found = read(tmp_path, max_bytes=2_000)
    kinds = [item.reason if isinstance(item, Rejected) else item.meta["markup"] for item in found]
    assert kinds == ["markdown", "html", "roff", "no_text", "too_large"]
    page = found[1]
    assert isinstance(page, Document)
    assert "Some words of the page." in page.text


@pytest.mark.parametrize("kind", sorted(STRIPPERS))
@pytest.mark.parametrize(
    "unit",
    ["[", "<", "`", "*", "![a](", "\\f", '.IP "', "C<", "_a", ":a:`", "**a", "a::\n", "\\[", "<!--", "| "],
)
def test_hostile_repetition_takes_time_by_length_alone(kind: str, unit: str) -> None:
    started = time.process_time()
    STRIPPERS[kind](unit * (60_000 // len(unit)))
    assert time.process_time() - started < 1.5


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.text(max_size=9)
        | st.sampled_from(
            ["\n", "```", "===\n", "::\n", ".. ", ".SH a\n", ".nf\n", "=head1 a\n", "    ", "<b", "---\n"]
        )
    ).map("".join),
    st.sampled_from(["md", "rst", "1", "pod", "html", "txt"]),
)
def test_any_text_gives_a_document_or_a_rejected_record(tmp_path: Path, text: str, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(DataError):
        assert len(read(path)) == 1
    path.unlink()
