"""The sample accounts of the local sign-in: four who may generate, and one for each way to be refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from onbrand.config import LOCAL_GROUP_ID, LOCAL_REVIEWER_ROLE, LOCAL_TENANT_ID

_OTHER_GROUP_ID = UUID("55555555-5555-4555-8555-555555555555")
_GUEST_HOME_TENANT_ID = UUID("99999999-9999-4999-8999-999999999999")


@dataclass(frozen=True)
class Person:
    """A sample account. `key` names it in commands and cookies. `shows` is its text on the sign-in page."""

    key: str
    object_id: UUID
    name: str
    username: str
    shows: str
    membership: dict[str, Any]  # the claims that Entra would write for such a person


def _person(key: str, number: int, name: str, shows: str, membership: dict[str, Any]) -> Person:
    return Person(key, UUID(f"aaaaaaaa-0000-4000-8000-{number:012}"), name, f"{key}@studio.example", shows, membership)


_MEMBER = {"groups": [str(LOCAL_GROUP_ID)]}
_OVERAGE = {
    "_claim_names": {"groups": "src1"},
    "_claim_sources": {"src1": {"endpoint": f"https://graph.windows.net/{LOCAL_TENANT_ID}/users/me/getMemberObjects"}},
}
_GUEST = {
    "groups": [str(LOCAL_GROUP_ID)],
    "acct": 1,
    "idp": f"https://sts.windows.net/{_GUEST_HOME_TENANT_ID}/",
}

PEOPLE = {
    person.key: person
    for person in (
        _person(
            "member",
            1,
            "Studio member",
            "Is in the studio's group and can generate.",
            {"groups": [str(LOCAL_GROUP_ID), str(_OTHER_GROUP_ID)]},
        ),
        _person("second", 5, "Second member", "Is in the group, too: people take turns.", _MEMBER),
        _person("third", 6, "Third member", "Is in the group, too.", _MEMBER),
        _person(
            "designer",
            7,
            "Designer",
            "Is in the group, and may review styles.",
            _MEMBER | {"roles": [LOCAL_REVIEWER_ROLE]},
        ),
        _person(
            "outsider",
            2,
            "Outside the group",
            "Works here, but isn't in the group: is told whom to ask.",
            {"groups": [str(_OTHER_GROUP_ID)]},
        ),
        _person("guest", 3, "Guest", "Invited from another company: guests aren't admitted.", _GUEST),
        _person(
            "overage",
            4,
            "Many groups",
            "Is in more groups than a sign-in can list: the administrator must act.",
            _OVERAGE,
        ),
    )
}
