"""Families of images, and the public parameters of Systems Manager that name the newest image of each.

A parameter is an image of the operator's by one of its names: this cloud's own for every family, and AWS's for the
families that are called like ``debian-12``, ``ubuntu-22.04``, ``al2023`` or ``Windows_Server-2022-English-Full-Base``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, literal, or_, select
from sqlalchemy.orm import aliased

from engine.seed import OPERATOR
from engine.state import FAMILY, Image
from translators.errors import Ec2Error
from translators.filters import matches
from translators.registry import Call

_RELEASE = r"[0-9][0-9.]*"
_EC2 = {"x86_64": "x86_64", "arm64": "arm64", "i386": "i386"}
_DEBIAN = {"x86_64": "amd64", "arm64": "arm64", "i386": "i386"}
_CODENAMES = {
    "debian": {"11": "bullseye", "12": "bookworm", "13": "trixie"},
    "ubuntu": {"18.04": "bionic", "20.04": "focal", "22.04": "jammy", "24.04": "noble"},
}


@dataclass(frozen=True)
class _Pattern:
    """Names of parameters and of the families that they are for; ``{release}`` and ``{arch}`` stand in both."""

    name: str
    family: str
    architectures: Mapping[str, str]
    """What an image's architecture is called in the name."""
    release: str = _RELEASE
    codenames: Mapping[str, str] = field(default_factory=dict)
    """Other names of releases."""

    @cached_property
    def _name(self) -> re.Pattern[str]:
        return _compiled(self.name, release="|".join((self.release, *self.codenames.values())))

    @cached_property
    def _family(self) -> re.Pattern[str]:
        return _compiled(self.family, release=self.release)

    def names(self, family: str, architecture: str) -> Iterator[str]:
        """Yield the names of a family's newest image."""
        found = self._family.fullmatch(family)
        if found is None or architecture not in self.architectures:
            return
        release = found.groupdict().get("release", "")
        for called in filter(None, dict.fromkeys((release or "-", self.codenames.get(release, "")))):
            yield self.name.replace("{release}", called).replace("{arch}", self.architectures[architecture])

    def meaning(self, name: str) -> tuple[str, str] | None:
        """Return the family and the architecture that a name means."""
        found = self._name.fullmatch(name)
        if found is None:
            return None
        parts = found.groupdict()
        numbers = {codename: number for number, codename in self.codenames.items()}
        release = numbers.get(parts.get("release", ""), parts.get("release", ""))
        known = {called: architecture for architecture, called in self.architectures.items()}
        architecture = known.get(parts.get("arch", next(iter(known))))
        return (self.family.replace("{release}", release), architecture) if architecture else None


def _compiled(template: str, release: str) -> re.Pattern[str]:
    text = re.escape(template).replace(r"\{release\}", f"(?P<release>{release})", 1)
    return re.compile(text.replace(r"\{arch\}", r"(?P<arch>\w+)", 1), re.ASCII)


_OWN = "/aws/service/groundfog/"
_AMAZON = "/aws/service/ami-amazon-linux-latest/"
_UBUNTU = "/aws/service/canonical/ubuntu/{kind}/{{release}}/stable/current/{{arch}}/hvm/ebs-{disk}/ami-id"
_PATTERNS = (
    _Pattern(_OWN + "{release}/latest/{arch}", "{release}", _EC2, FAMILY.pattern.replace("(/", "(?:/")),
    _Pattern(
        "/aws/service/debian/release/{release}/latest/{arch}", "debian-{release}", _DEBIAN,
        codenames=_CODENAMES["debian"],
    ),
    *(
        _Pattern(_UBUNTU.format(kind=kind, disk=disk), family, _DEBIAN, codenames=_CODENAMES["ubuntu"])
        for kind, family in (("server", "ubuntu-{release}"), ("server-minimal", "ubuntu-minimal-{release}"))
        for disk in ("gp2", "gp3")
    ),
    _Pattern(_AMAZON + "al2023-ami-kernel-default-{arch}", "al2023", _EC2),
    _Pattern(_AMAZON + "al2023-ami-kernel-{release}-{arch}", "al2023-kernel-{release}", _EC2),
    _Pattern(_AMAZON + "al2023-ami-minimal-kernel-default-{arch}", "al2023-minimal", _EC2),
    _Pattern(_AMAZON + "amzn2-ami-hvm-{arch}-gp2", "amzn2", _EC2),
    _Pattern(_AMAZON + "amzn2-ami-hvm-{arch}-ebs", "amzn2", _EC2),
    _Pattern(_AMAZON + "amzn2-ami-kernel-{release}-hvm-{arch}-gp2", "amzn2-kernel-{release}", _EC2),
    _Pattern(
        "/aws/service/ami-windows-latest/{release}", "{release}", {"x86_64": ""}, r"(?:TPM-)?Windows_Server-[\w-]+"
    ),
)  # fmt: skip
"""Source of AWS's names: "Calling AMI public parameters in Parameter Store" and the pages of those who make images."""


@dataclass(frozen=True)
class Parameter:
    """A name for the newest image of a family."""

    name: str
    image_id: str
    created: str


def _offered(image: Any) -> ColumnElement[bool]:
    """Match the operator's images that everybody may launch now."""
    return and_(image.account == OPERATOR, image.public.is_(True), image.state == "available")


def _newest(call: Call, *where: ColumnElement[bool]) -> dict[tuple[str, str], Any]:
    rows = select(Image.id, Image.family, Image.architecture, Image.created).where(
        Image.region == call.region, _offered(Image), *where
    )
    return {(row.family, row.architecture): row for row in call.db.execute(rows.order_by(Image.created, Image.id))}


def find_parameter(call: Call, name: str) -> Parameter | None:
    """Return the parameter of that name, if an image serves it."""
    for family, architecture in _meanings(name):
        where = (Image.family == family, Image.architecture == architecture)
        for row in _newest(call, *where).values():
            return Parameter(name, row.id, row.created)
    return None


def parameters_under(call: Call, path: str) -> list[Parameter]:
    """Return the parameters whose names begin with a path, in the order of their names."""
    found = [
        Parameter(name, row.id, row.created)
        for (family, architecture), row in _newest(call).items()
        for pattern in _PATTERNS
        for name in pattern.names(family, architecture)
        if name.startswith(path)
    ]
    return sorted(found, key=lambda parameter: parameter.name)


def _meanings(name: str) -> list[tuple[str, str]]:
    return [found for pattern in _PATTERNS if (found := pattern.meaning(name))]


_PREFIX = "resolve:ssm:"


def resolve(call: Call, image_id: str) -> str:
    """Return the id of an image that may be named as ``resolve:ssm:`` and the name of a parameter."""
    if not image_id.startswith(_PREFIX):
        return image_id
    name = image_id.removeprefix(_PREFIX)
    parameter = find_parameter(call, name)
    if parameter is None:
        raise Ec2Error("SsmInvalidParameter", f"The Systems Manager parameter '{name}' was not found.")
    return parameter.image_id


# -- what DescribeImages says of parameters ----------------------------------

_name = literal(_OWN) + Image.family + literal("/latest/") + Image.architecture


def parameter_name() -> ColumnElement[str]:
    """Return the column that holds the name of this cloud's own that means an image, or nothing."""
    newer = aliased(Image)
    replaced = exists().where(
        newer.region == Image.region, newer.family == Image.family, newer.architecture == Image.architecture,
        _offered(newer), or_(newer.created > Image.created, and_(newer.created == Image.created, newer.id > Image.id)),
    )  # fmt: skip
    return case((and_(_offered(Image), ~replaced), _name), else_="")


def named_by(names: Sequence[str]) -> ColumnElement[bool]:
    """Match the images that any of these names has ever meant."""
    meant = [pair for name in names for pair in _meanings(name)]
    families = (and_(Image.family == family, Image.architecture == kind) for family, kind in meant)
    return and_(Image.account == OPERATOR, Image.public.is_(True), or_(matches(_name, names), *families))
