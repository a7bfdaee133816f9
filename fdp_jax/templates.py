"""Jinja templates: every text is escaped, and an undefined name is an error."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def environment_of(folder: Path) -> "jinja2.Environment | None":
    """Returns the environment for a folder of templates; None if jinja2 is not installed."""
    try:
        import jinja2
    except ModuleNotFoundError:
        return None
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
