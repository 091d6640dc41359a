"""Formulas as MathML, which browsers draw themselves: no script, nothing fetched."""

from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util.logging import getLogger

log = getLogger(__name__)


def inline(translator, node):
    """Write a formula within a line."""
    translator.body.append(formula(node, as_block=False))
    raise SkipNode


def block(translator, node):
    """Write a formula of its own."""
    translator.body.append(f'<div class="formula">{formula(node, as_block=True)}</div>')
    raise SkipNode


def formula(node, *, as_block):
    """Return the MathML of a formula; warn, and return its text, where it is not understood."""
    try:
        return tex2mathml(node.astext().strip(), as_block=as_block)
    except MathError as error:
        log.warning("%s in the formula %s", error, node.astext(), location=node)
        return node.astext()


def setup(app):
    """Be what Sphinx writes formulas with."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True}
