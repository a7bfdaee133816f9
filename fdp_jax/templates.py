"""How pages are filled in: every text is escaped, and a name that is not there is an error."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def environment_of(folder: Path) -> "jinja2.Environment | None":
    """Jinja's environment for the templates in a folder; None where jinja2 is not installed."""
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
