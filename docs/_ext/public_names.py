"""Types in signatures link to the names that `emrecon` shows."""

from functools import cache

import emrecon


@cache
def public_names():
    """Return the name in `emrecon` of each public class and function, by where it is defined."""
    shown = {name: getattr(emrecon, name) for name in emrecon.__all__ if name != "__version__"}
    return {f"{value.__module__}.{value.__qualname__}": name for name, value in shown.items()}


def resolved(app, env, node, contnode):
    """Link a full name to the public one, where there is one."""
    name = public_names().get(node.get("reftarget", ""))
    if node.get("refdomain") != "py" or name is None:
        return None
    python = env.domains["py"]
    place = node["refdoc"], app.builder, node["reftype"], f"emrecon.{name}"
    return python.resolve_xref(env, *place, node, contnode)


def setup(app):
    """Be asked for what Sphinx does not find."""
    app.connect("missing-reference", resolved)
    return {"parallel_read_safe": True}
