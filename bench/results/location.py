"""Where a store is: a file, or a database of a PostgreSQL server. No text of a location shows a password."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from bench.registry.errors import RegistryError
from bench.registry.project import project

SCHEMES = ("postgresql", "postgres")
SECRETS = ("password", "sslpassword")
"""Settings in the query of a URL that nobody may see."""


class LocationError(RegistryError):
    """A URL that names no database of a PostgreSQL server; the text leaves its password out."""


@dataclass(frozen=True)
class Server:
    """A database of a PostgreSQL server. As text it is the URL without password and settings."""

    url: str = field(repr=False)

    def __str__(self) -> str:
        parts = self._parts()
        user = parts.netloc.rpartition("@")[0].partition(":")[0]
        host = parts.netloc.rpartition("@")[2]
        return f"postgresql://{user}{'@' if user else ''}{host}{parts.path}"

    def _parts(self) -> SplitResult:
        return urlsplit(self.url)

    def without_secrets(self, text: object) -> str:
        """A text, with three stars in place of every password of the URL."""
        for secret in self._secrets():
            text = str(text).replace(secret, "***")
        return str(text)

    def _secrets(self) -> list[str]:
        parts = self._parts()
        password = parts.netloc.rpartition("@")[0].partition(":")[2]
        settings = parse_qs(parts.query)
        written = [password, *(each for name in SECRETS for each in settings.get(name, ()))]
        forms = {form for each in written if each for form in (each, unquote(each), quote(unquote(each), safe=""))}
        return sorted(forms, key=len, reverse=True)


Location = Path | Server


def is_url(text: object) -> bool:
    """Whether a text names a server, and no file."""
    return str(text).partition(":")[0].partition("+")[0].lower() in SCHEMES and ":/" in str(text)


def location_of(text: str | Location) -> Location:
    """The place that a text names: `postgresql://USER@HOST/DATABASE`, or a file. Raises LocationError."""
    if isinstance(text, Server):
        return text
    if not is_url(text):
        return Path(text)
    if isinstance(text, Path):
        raise LocationError(f"a store on a server is named by text, not by a path; write '{Server(str(text))}' as str")
    server = Server(text)
    try:
        complete = bool(server._parts().path.strip("/")) and (server._parts().port or 1) > 0
    except ValueError:
        complete = False
    if not complete:
        raise LocationError(f"{server}: is no database of a server; write postgresql://USER@HOST/DATABASE")
    return server


def local_file(location: Location) -> Path:
    """The file of a store; for a server the one in whose folder weights and results that wait lie on this machine."""
    if isinstance(location, Path):
        return location
    name = re.sub(r"[^\w.-]+", "-", str(location).removeprefix("postgresql://")).strip("-")
    return project().place("results", f"postgresql-{name}")


def resolved(location: Location) -> Location:
    """The location for a process that works in another folder."""
    return location.resolve() if isinstance(location, Path) else location


def absolute(location: Location) -> str:
    """A file's absolute path; of a server its URL, without password."""
    return os.path.abspath(location) if isinstance(location, Path) else str(location)
