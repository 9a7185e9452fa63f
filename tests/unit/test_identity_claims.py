"""What the claims of a correctly signed token must say. The S numbers are the security notes' rows."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from onbrand.config import Directory
from onbrand.errors import (
    AccessRevoked,
    AppOnlyToken,
    ClientNotAllowed,
    GroupClaimMissing,
    GroupOverage,
    GuestRefused,
    NotInGroup,
    ProblemError,
    ScopeMissing,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
)
from onbrand.identity.tokens import MAX_LIFETIME_SECONDS, Identity, bearer_token, check_claims

NOW = 1_800_000_000
TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
ISSUER = f"https://login.microsoftonline.com/{TENANT}/v2.0"
GROUP = "b1f2c3d4-0000-4000-8000-abcdefabcdef"
OTHER_GROUP = "00000000-0000-4000-8000-00000000000a"
DIRECTORY = Directory(
    tenant_id=UUID(TENANT),
    api_client_id=UUID("6e74172b-be56-4843-9ff4-e66a39bb12e3"),
    spa_client_id=UUID("0c1307d4-29d6-4389-a11c-5cbe7f65d7fa"),
    group_id=UUID(GROUP),
    role=None,
    allow_guests=False,
    metadata_url=f"{ISSUER}/.well-known/openid-configuration",
)
MEMBER: dict[str, Any] = {
    "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
    "iss": ISSUER,
    "iat": NOW - 10,
    "nbf": NOW - 10,
    "exp": NOW + 3590,
    "azp": "0c1307d4-29d6-4389-a11c-5cbe7f65d7fa",
    "azpacr": "0",
    "groups": [OTHER_GROUP, GROUP],
    "name": "Studio member",
    "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
    "preferred_username": "member@studio.example",
    "scp": "access_as_user",
    "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
    "tid": TENANT,
    "ver": "2.0",
}
MISSING = object()


def check(directory: Directory = DIRECTORY, **changes: Any) -> Identity:
    claims = {name: value for name, value in (MEMBER | changes).items() if value is not MISSING}
    return check_claims(claims, directory, ISSUER, NOW)


def refused(directory: Directory = DIRECTORY, **changes: Any) -> type[ProblemError] | None:
    """The class of the reason to keep a person out who is otherwise genuine."""
    refusal = check(directory, **changes).refusal
    return type(refusal) if refusal else None


def test_a_member_is_admitted() -> None:
    identity = check()
    identity.require_member()
    assert identity.name == "Studio member"
    assert identity.username == "member@studio.example"


def test_s27_who_is_denied_is_refused_whatever_else_speaks_for_them() -> None:
    denied = replace(DIRECTORY, role="Illustrator", allow_guests=True, denied_users=frozenset({UUID(MEMBER["oid"])}))
    assert refused(denied) is AccessRevoked
    assert refused(denied, roles=["Illustrator"]) is AccessRevoked
    assert refused(denied, acct=1) is AccessRevoked
    assert refused(denied, oid="690222be-ff1a-4d56-abd1-000000000000") is None


def test_s28_a_person_is_the_tenant_and_the_object_id_whatever_they_are_called() -> None:
    renamed = check(preferred_username="somebody.else@studio.example", name="X", email="boss@studio.example")
    assert renamed.owner == check().owner
    namesake = check(oid="690222be-ff1a-4d56-abd1-000000000000")
    assert namesake.owner != check().owner
    assert str(check().owner.user_id) == MEMBER["oid"]


def test_a_person_without_a_name_is_still_that_person() -> None:
    identity = check(name=MISSING, preferred_username=MISSING)
    assert (identity.name, identity.username) == ("", "")
    identity.require_member()


def test_a_name_that_no_answer_could_encode_is_made_printable() -> None:
    assert check(name="a\ud800b").name == "a?b"


@pytest.mark.parametrize(
    "issuer",
    [
        f"https://sts.windows.net/{TENANT}/",  # the v1.0 issuer of the same tenant
        ISSUER + "/",
        ISSUER.upper(),
        ISSUER.replace("https", "http"),
        ISSUER.replace(TENANT, "99999999-9999-4999-8999-999999999999"),
        MISSING,
        [ISSUER],
    ],
)
def test_s8_only_the_exact_issuer_counts(issuer: object) -> None:
    with pytest.raises(TokenInvalid):
        check(iss=issuer)


@pytest.mark.parametrize("tenant", ["99999999-9999-4999-8999-999999999999", TENANT.upper(), f"{{{TENANT}}}", MISSING])
def test_s9_the_tenant_must_agree_with_the_issuer(tenant: object) -> None:
    with pytest.raises(TokenInvalid):
        check(tid=tenant)


@pytest.mark.parametrize(
    "audience",
    [
        "00000003-0000-0000-c000-000000000000",  # Microsoft Graph
        "api://6e74172b-be56-4843-9ff4-e66a39bb12e3",
        [MEMBER["aud"]],
        [MEMBER["aud"], "https://elsewhere.example"],
        MEMBER["aud"].upper(),
        MEMBER["aud"] + " ",
        MISSING,
    ],
)
def test_s10_only_the_apis_own_id_counts_as_audience(audience: object) -> None:
    with pytest.raises(TokenInvalid):
        check(aud=audience)


def test_s11_an_id_token_is_no_access_token() -> None:
    with pytest.raises(TokenInvalid):
        check(aud=MEMBER["azp"], azp=MISSING, scp=MISSING, nonce="n")


@pytest.mark.parametrize("version", ["1.0", "2", 2.0, 2, MISSING])
def test_s11_only_version_2_tokens_count(version: object) -> None:
    with pytest.raises(TokenInvalid):
        check(ver=version)


@pytest.mark.parametrize("client", [MEMBER["aud"], MEMBER["azp"].upper(), [MEMBER["azp"]], "", MISSING])
def test_s12_another_client_of_the_same_api_is_refused(client: object) -> None:
    with pytest.raises(ClientNotAllowed):
        check(azp=client)


@pytest.mark.parametrize(
    "changes",
    [
        {"idtyp": "app"},
        {"idtyp": "app", "scp": MISSING, "roles": ["Generate.All"]},
        {"scp": MISSING, "roles": ["Generate.All"]},
        {"idtyp": "device"},
    ],
)
def test_s13_an_application_is_no_person(changes: dict[str, Any]) -> None:
    with pytest.raises(AppOnlyToken):
        check(**changes)


def test_s13_a_token_marked_as_a_persons_is_admitted() -> None:
    assert refused(idtyp="user") is None


@pytest.mark.parametrize(
    "scope", [MISSING, "", "Generate.All", "access_as_user2", "xaccess_as_user", "ACCESS_AS_USER", ["access_as_user"]]
)
def test_s14_without_the_exact_scope_nobody_comes_in(scope: object) -> None:
    with pytest.raises(ScopeMissing):
        check(scp=scope)


def test_s14_the_scope_may_be_one_of_several() -> None:
    assert refused(scp="openid access_as_user profile") is None


def test_s15_an_expired_token_says_so() -> None:
    with pytest.raises(TokenExpired):
        check(iat=NOW - 3600, nbf=NOW - 3600, exp=NOW - 60)


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", [MISSING, None, "9999999999", 1e300, 1.8e9, float("nan"), -1, True, [NOW], {}])
def test_s16_times_are_whole_numbers(name: str, value: Any) -> None:
    with pytest.raises(TokenInvalid):
        check(**{name: value})


@pytest.mark.parametrize("lifetime", [0, -1, MAX_LIFETIME_SECONDS + 1, 10**400])
def test_s16_a_lifetime_is_positive_and_at_most_25_hours(lifetime: int) -> None:
    with pytest.raises(TokenInvalid):
        check(exp=MEMBER["iat"] + lifetime)


def test_s16_a_lifetime_of_25_hours_is_accepted() -> None:
    assert refused(exp=MEMBER["iat"] + MAX_LIFETIME_SECONDS) is None


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({"nbf": NOW + 60}, True),
        ({"nbf": NOW + 61}, False),
        ({"iat": NOW + 60}, True),
        ({"iat": NOW + 61}, False),
        ({"iat": NOW - 3600, "nbf": NOW - 3600, "exp": NOW - 59}, True),
        ({"iat": NOW - 3600, "nbf": NOW - 3600, "exp": NOW - 60}, False),
    ],
)
def test_s17_clocks_may_disagree_by_a_minute(changes: dict[str, Any], good: bool) -> None:
    if good:
        check(**changes).require_member()
    else:
        with pytest.raises((TokenInvalid, TokenExpired)):
            check(**changes)


def test_s23_a_token_that_says_nothing_about_groups_is_not_a_members() -> None:
    assert refused(groups=MISSING) is GroupClaimMissing


@pytest.mark.parametrize(
    "changes",
    [
        {"groups": MISSING, "_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://x"}}},
        {"groups": MISSING, "hasgroups": True},
        {"_claim_names": {"groups": "src1"}},  # beside a list of groups: incomplete, so not believed
    ],
)
def test_s24_too_many_groups_to_list_is_not_membership(changes: dict[str, Any]) -> None:
    assert refused(**changes) is GroupOverage


@pytest.mark.parametrize(
    "groups",
    [
        [],
        [OTHER_GROUP],
        [GROUP.upper()],
        [f" {GROUP}"],
        [f"{GROUP} "],
        [f"{{{GROUP}}}"],
        [GROUP.replace("-", "")],
        ["Product illustrators"],
        GROUP,
        {GROUP: True},
        [GROUP, 7],
        [[GROUP]],
        None,
    ],
)
def test_s25_only_the_exact_group_id_in_a_list_of_texts_counts(groups: object) -> None:
    assert refused(groups=groups) is NotInGroup


@pytest.mark.parametrize(
    "changes",
    [
        {"acct": 1},
        {"acct": "1"},
        {"acct": None},
        {"acct": True},
        {"idp": "https://sts.windows.net/99999999-9999-4999-8999-999999999999/"},
        {"idp": "live.com"},
        {"idp": None},
        {"acct": 0, "idp": "live.com"},
    ],
)
def test_s26_guests_are_kept_out_unless_the_directory_allows_them(changes: dict[str, Any]) -> None:
    assert refused(**changes) is GuestRefused
    assert refused(replace(DIRECTORY, allow_guests=True), **changes) is None


@pytest.mark.parametrize("changes", [{"acct": 0}, {"idp": ISSUER}])
def test_s26_a_member_may_be_marked_as_one(changes: dict[str, Any]) -> None:
    assert refused(**changes) is None


def test_s26_an_admitted_guest_still_needs_the_group() -> None:
    assert refused(replace(DIRECTORY, allow_guests=True), acct=1, groups=[OTHER_GROUP]) is NotInGroup


@pytest.mark.parametrize("object_id", [MISSING, "", "someone", MEMBER["oid"].upper(), "0" * 32, 7, [MEMBER["oid"]]])
def test_s30_a_person_needs_a_canonical_object_id(object_id: object) -> None:
    with pytest.raises(TokenInvalid):
        check(oid=object_id)


def test_an_app_role_admits_without_any_group() -> None:
    by_role = replace(DIRECTORY, group_id=None, role="Illustrator")
    assert refused(by_role, groups=MISSING, roles=["Reader", "Illustrator"]) is None
    assert refused(by_role, groups=MISSING, roles=["illustrator"]) is NotInGroup
    assert refused(by_role, groups=MISSING, roles="Illustrator") is NotInGroup
    assert refused(by_role, groups=MISSING) is NotInGroup


def test_an_app_role_cures_too_many_groups() -> None:
    either = replace(DIRECTORY, role="Illustrator")
    assert refused(either, groups=MISSING, hasgroups=True, roles=["Illustrator"]) is None


@pytest.mark.parametrize("role", [None, ""])
def test_with_neither_group_nor_role_configured_nobody_is_a_member(role: str | None) -> None:
    nobody = replace(DIRECTORY, group_id=None, role=role)
    assert refused(nobody) is NotInGroup
    assert refused(nobody, groups=[None, "", "None"], roles=["", None]) is NotInGroup
    assert refused(nobody, groups=["None"], roles=["", "None"]) is NotInGroup


def test_require_member_raises_the_refusal() -> None:
    with pytest.raises(NotInGroup):
        check(groups=[]).require_member()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=4,
)
_TIMES = ("exp", "iat", "nbf")
_GUARDED = ("aud", "iss", "tid", "ver", "azp", "scp", "oid", "groups", *_TIMES)


def _near_misses(good: Any) -> list[object]:
    """Values that a careless comparison takes for the good one."""
    near = [
        MISSING,
        [good],
        {"value": good},
        f"{good} ",
        f" {good}",
        f"{good}\u0000",
        f"{good}"[:-1],
        f"{good}".upper(),
    ]
    return near + ([str(good), float(good), good + 10**6, good - 10**6] if isinstance(good, int) else [])


def _is_as_good(name: str, value: Any) -> bool:
    """The rules in other words, for the values that may be drawn by chance."""
    if name in _TIMES:
        if type(value) is not int or value < 0:
            return False
        times = {time: MEMBER[time] for time in _TIMES} | {name: value}
        is_now = times["iat"] - 60 <= NOW and times["nbf"] - 60 <= NOW < times["exp"] + 60
        return bool(is_now and 0 < times["exp"] - times["iat"] <= 90_000)
    if name == "scp":
        return isinstance(value, str) and re.search(r"(^| )access_as_user( |$)", value) is not None
    good: Any = MEMBER[name]
    return type(value) is type(good) and bool(value == good)


@settings(deadline=None)  # a busy machine takes its time
@given(data=st.data(), name=st.sampled_from(_GUARDED))
def test_any_one_spoilt_claim_keeps_a_member_out(data: st.DataObject, name: str) -> None:
    values = st.sampled_from(_near_misses(MEMBER[name])) | _JSON
    spoilt: Any = data.draw(values.filter(lambda value: not _is_as_good(name, value)))
    with pytest.raises(ProblemError):
        check(**{name: spoilt}).require_member()


_HARMLESS: dict[str, list[Any]] = {"acct": [0, "0"], "idp": [ISSUER], "idtyp": ["user"]}


@given(name=st.sampled_from(sorted(_HARMLESS)), value=_JSON)
def test_a_mark_of_a_guest_or_an_application_is_never_overlooked(name: str, value: Any) -> None:
    assume(value not in _HARMLESS[name])
    with pytest.raises(ProblemError):
        check(**{name: value}).require_member()


@given(st.dictionaries(st.sampled_from([*MEMBER, "roles", "acct", "idp", "idtyp", "hasgroups", "_claim_names"]), _JSON))
def test_whatever_the_claims_say_they_are_refused_in_our_own_words(claims: dict[str, Any]) -> None:
    for directory in (DIRECTORY, replace(DIRECTORY, group_id=None, role="Illustrator", allow_guests=True)):
        for candidate in (claims, MEMBER | claims):
            with contextlib.suppress(ProblemError):  # and nothing else
                check_claims(candidate, directory, ISSUER, NOW)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["Bearer a.b.c", "Bearer a.b.c"],
        ["Basic dXNlcjpwYXNz"],
        ["Bearer"],
        ["Bearer "],
        ["a.b.c"],
        ["BearerX a.b.c"],
        ["Bearer " + "a" * 16_385],
    ],
)
def test_s1_anything_but_one_bearer_header_is_no_credential(headers: list[str]) -> None:
    with pytest.raises(TokenMissing):
        bearer_token(headers)


@pytest.mark.parametrize("header", ["Bearer a.b.c", "bearer a.b.c", "BEARER a.b.c"])
def test_s1_the_scheme_is_read_in_any_case(header: str) -> None:
    assert bearer_token([header]) == "a.b.c"


@pytest.mark.parametrize("confirmation", [{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}, {}, None, "x"])
def test_a_token_bound_to_a_key_is_no_bearer_token(confirmation: object) -> None:
    with pytest.raises(TokenInvalid):
        check(cnf=confirmation)
