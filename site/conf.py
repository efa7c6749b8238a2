"""Sphinx's settings for the site; `make site` copies them beside the pages that it gathers."""

import re

from docutils.nodes import Node, SkipNode
from docutils.utils.math import MathError, latex2mathml
from numpy.typing import ArrayLike
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.typing import stringify_annotation
from sphinx.writers.html5 import HTML5Translator

from radiogen_utils.course.authoring import REPOSITORY

project = "Deep radiogenomics"
author = "The authors of this course"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]

# Notebooks come executed, or are shown without outputs.
nb_execution_mode = "off"
nb_merge_streams = True
nb_output_stderr = "remove"
myst_enable_extensions = ["attrs_block", "colon_fence", "dollarmath", "amsmath"]
myst_heading_anchors = 4
copybutton_exclude = ".linenos, .gp, .go"

autodoc_default_options = {"members": True}
add_module_names = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "code"  # `name` in a docstring is code, as in Markdown
# Other projects' names: their indices would have to be downloaded.
nitpick_ignore_regex = [("py:.*", r"(?!radiogen_utils\.).*"), ("py:class", r".*\.T")]

html_theme = "sphinx_book_theme"
html_title = project
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"}), ("explorer.js", {"defer": "defer"})]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_use_index = html_domain_indices = False  # the search finds what they list, and their tables are wider than a phone
html_context = {"default_mode": "auto"}
html_favicon = "_static/icon.svg"
html_theme_options = {
    "show_navbar_depth": 1,
    "navbar_persistent": [],
    "use_download_button": False,
    "use_fullscreen_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "extra_footer": "For research and teaching only. Nothing here is for diagnosis.",
}
if REPOSITORY:
    html_theme_options |= {
        "repository_url": REPOSITORY,
        "use_repository_button": True,
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    }


_TEX = {r"[bB]igg?[lrm]?": "", "dots": r"\\ldots", r"([dt]?frac)(\d)(\d)": r"\\\1{\2}{\3}"}
"""What docutils does not know: commands, and fractions without braces; brackets grow by themselves in MathML."""


def _formula(node: Node, display: bool) -> str:
    """A formula as MathML, which browsers draw by themselves: no script, and nothing from the network."""
    tex = node.astext()
    for pattern, known in _TEX.items():
        tex = re.sub(rf"\\{pattern}(?![a-zA-Z])", known, tex)
    try:
        mathml = latex2mathml.tex2mathml(tex, as_block=display)
    except MathError as error:
        logging.getLogger(__name__).warning("formula %s: %s", tex, error, location=node)
        return ""
    return f'<div class="formula">{mathml}</div>' if display else mathml


def _inline(writer: HTML5Translator, node: Node) -> None:
    """A formula in a line."""
    writer.body.append(_formula(node, display=False))
    raise SkipNode


def _display(writer: HTML5Translator, node: Node) -> None:
    """A formula of its own."""
    writer.body.append(_formula(node, display=True))
    raise SkipNode


def _shorten(app: Sphinx, what: str, name: str, item: object, options: object, *texts: str | None) -> tuple:
    """Signatures with the name of an alias in the place of the long union that it stands for."""
    long = stringify_annotation(ArrayLike, "smart")
    return tuple(text and text.replace(long, "ArrayLike") for text in texts)


def _skip(app: Sphinx, what: str, name: str, item: object, skip: bool, options: object) -> bool | None:
    """Leave out the methods that scikit-learn gives every estimator for its metadata routing."""
    return True if re.fullmatch("set_.*_request", name) else None


def setup(app: Sphinx) -> None:
    """Formulas by docutils, readable signatures."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    app.connect("autodoc-process-signature", _shorten)
    app.connect("autodoc-skip-member", _skip)
