"""The prompts of a project as versions: listed, compared, tagged."""

import difflib
from typing import TYPE_CHECKING

from bakeoff.core.errors import NotFoundError
from bakeoff.core.records import RegisteredChange, Version
from bakeoff.registry.lineage import NUMBER, label
from bakeoff.registry.register import all_versions

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["ProjectPrompts"]


class ProjectPrompts:
    """The prompts of a project, as `project.prompts`; a run registers each file that a candidate asks with.

    One is named by its file (the newest version), `FILE/NUMBER` or `FILE/TAG`.
    """

    def __init__(self, project: "Project") -> None:
        self._project = project

    def __repr__(self) -> str:
        return f"ProjectPrompts({len(self.list())})"

    def list(self) -> list[Version]:
        """All versions, newest first.

        Example:
            >>> project.prompts.list()
            []
        """
        name = self._project.config.project.name
        every = all_versions(self._project.records.versions, "prompt")
        return [each for each in every if each.name.startswith(f"{name}/")]

    def get(self, which: str) -> Version:
        """The version of a name.

        Raises:
            NotFoundError: there is none.
        """
        own = f"{self._project.config.project.name}/"
        file, _, tail = which.rpartition("/")
        for version in self.list():
            known = version.name.removeprefix(own)
            if known == which or (
                known == file and (tail in version.aliases or (NUMBER.match(tail) and version.number == int(tail)))
            ):
                return version
        names = (
            ", ".join(label(each).removeprefix(own) for each in self.list()[:5]) or "none: no candidate has a prompt"
        )
        raise NotFoundError(
            f"expected the file of a prompt, FILE/NUMBER or FILE/TAG, received {which!r}; known: {names}"
        )

    def text(self, which: str) -> str:
        """The text of a prompt."""
        return str(self.get(which).lineage["text"])

    def difference(self, first: str, second: str) -> str:
        """What differs of two, as a unified diff; empty when nothing does."""
        lines = [self.text(each).splitlines(keepends=True) for each in (first, second)]
        return "".join(difflib.unified_diff(lines[0], lines[1], first, second))

    def tag(self, which: str, *tags: str) -> Version:
        """Give a version aliases; one that another has moves."""
        version, versions = self.get(which), self._project.records.versions
        aliases: dict[str, int | None] = dict.fromkeys(tags, version.number)
        versions.apply([RegisteredChange(kind="prompt", name=version.name, aliases=aliases)])
        return versions.get("prompt", version.name, version.number)
