"""HTML as a tree: whatever a source or an app wrote can become a text in it, and never a tag."""

from xml.etree.ElementTree import Element, tostring

from refresher.words import printable

Child = Element | str | None


def element(tag: str, *children: Child, **attributes: object) -> Element:
    """An element with its children in order; those that are None are left out.

    `class_` is written class, `aria_label` aria-label; an attribute that is False is left out, one that is True is
    empty.
    """
    made = Element(tag)
    for name, value in attributes.items():
        if value is not False:
            made.set(name.rstrip("_").replace("_", "-"), "" if value is True else str(value))
    for child in children:
        _append(made, child)
    return made


def html(tree: Element) -> str:
    """The text of a tree."""
    return tostring(tree, encoding="unicode", method="html")


def _append(parent: Element, child: Child) -> None:
    if isinstance(child, Element):
        parent.append(child)
    elif child and len(parent):
        parent[-1].tail = (parent[-1].tail or "") + printable(child)
    elif child:
        parent.text = (parent.text or "") + printable(child)
