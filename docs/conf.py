"""How the site is built: python -m sphinx -W --keep-going -n docs build/site (no network needed).

``-D plot_gallery=0`` does not run the gallery's scripts: their text is checked, without pictures.
"""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "emrecon"
author = "The emrecon developers"
copyright = author  # noqa: A001 - Sphinx's name for it
version = release = version_of("emrecon")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "matplotlib.sphinxext.plot_directive",
    "sphinx_design",
    "sphinx_copybutton",
    "mathml",
    "public_names",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["gallery", "figures", "_templates", "**/GALLERY_HEADER.rst"]
templates_path = ["_templates"]
html_static_path = ["_static"]
nitpick_ignore_regex = [
    (
        "py:class",
        ".*",
    ),  # types in signatures: other packages' (nothing is fetched), and inner ones
    ("py:(data|obj)", r"(?!emrecon|phantoms).*"),
]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_block"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False  # autodoc lists them, with the text under each field
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto",
    "filename_pattern": r"/plot_",  # the one of napari wants a screen
    "ignore_pattern": r"__init__\.py",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "remove_config_comments": True,
    "reset_modules": ("matplotlib",),
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 60,
    "write_computation_times": False,
    "abort_on_example_error": True,
    "copyfile_regex": r"GALLERY_HEADER\.rst",
}
plot_rcparams = {"figure.dpi": 100, "savefig.bbox": "tight", "font.size": 10}
plot_formats = [("png", 144)]
plot_html_show_formats = False
plot_html_show_source_link = True
plot_basedir = "figures"

html_theme = "pydata_sphinx_theme"
html_math_renderer = "mathml"
html_title = "emrecon"
html_css_files = ["site.css"]
html_theme_options = {
    "show_nav_level": 1,
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "tango",
    "show_prev_next": True,
}
html_sidebars = {page: [] for page in ("index", "physicist", "engineer", "em", "search")}
html_show_sourcelink = False
