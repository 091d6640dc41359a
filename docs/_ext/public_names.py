"""Types in signatures link to the names that `emrecon` shows."""

import ast
import inspect
import sys
from functools import cache
from typing import get_type_hints

import emrecon


@cache
def public_names():
    """Return the name in `emrecon` of each public class and function, by where it is defined."""
    shown = {name: getattr(emrecon, name) for name in emrecon.__all__ if name != "__version__"}
    return {f"{value.__module__}.{value.__qualname__}": name for name, value in shown.items()}


@cache
def import_types(module):
    """Import what a module imports for type checkers alone.

    A signature of which one type is not known is shown as it is written, and then a short name
    such as `Settings` may be that of several classes.
    """
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            exec(compile(ast.Module(node.body, []), module.__file__, "exec"), vars(module))  # noqa: S102 - our own imports


def before_signature(app, obj, bound_method):
    """Make the types of a signature known."""
    name = getattr(obj, "__module__", None) or ""
    if name.split(".")[0] in {"emrecon", "phantoms"}:
        import_types(sys.modules[name])
    for kind in tuple.__subclasses__():  # the maker of a named tuple knows no types
        if kind.__new__ is obj:
            obj.__annotations__ = get_type_hints(kind)


def resolved(app, env, node, contnode):
    """Link a full name to the public one, where there is one."""
    name = public_names().get(node.get("reftarget", ""))
    if node.get("refdomain") != "py" or name is None:
        return None
    python = env.domains["py"]
    place = node["refdoc"], app.builder, node["reftype"], f"emrecon.{name}"
    return python.resolve_xref(env, *place, node, contnode)


def setup(app):
    """Be asked before a signature is read, and for what Sphinx does not find."""
    app.connect("autodoc-before-process-signature", before_signature)
    app.connect("missing-reference", resolved)
    return {"parallel_read_safe": True}
