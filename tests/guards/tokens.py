"""Guards of the door: what a token must be and say, and who of those who have one comes in."""

from __future__ import annotations

from tests.guards.guard import Cut, Guard

_CLAIMS = "tests/unit/test_identity_claims.py"
_TOKENS = "tests/integration/identity/test_tokens.py"

GUARDS = (
    # --- the token ---------------------------------------------------------------------------------------------------
    Guard(
        "a token's signature is checked",
        "TokenVerifier.verify",
        '_signatures.decode(token, key.public, algorithms=["RS256"])',
        'jwt.decode(token, options={"verify_signature": False})',
        (f"{_TOKENS}::test_s7_another_key_under_the_same_id_is_refused",),
    ),
    Guard(
        "a token is signed with RS256",
        "_key_id",
        'header.get("alg") != "RS256" or "',
        '"',
        (f"{_TOKENS}::test_s4_only_rs256_is_accepted_even_from_the_right_issuer",),
        (
            Cut(
                "TokenVerifier.verify",
                '_signatures.decode(token, key.public, algorithms=["RS256"])',
                'jwt.PyJWS().decode(token, key.public, algorithms=["RS256", "RS384", "PS256"])',
            ),
        ),
    ),
    Guard(
        "an extension we don't know is refused",
        "_key_id",
        '"crit" in header or "b64" in header',
        "False",
        (f"{_TOKENS}::test_s6_an_extension_we_do_not_know_is_refused",),
    ),
    Guard(
        "an impossible key id costs no fetch",
        "_key_id",
        'not is_key_id(header.get("kid"))',
        '"kid" not in header',
        (f"{_TOKENS}::test_s18_an_impossible_key_id_is_refused_without_a_fetch",),
    ),
    Guard(
        "a token is for this API",
        "_check_for_us",
        '"aud": str(directory.api_client_id), "',
        '"',
        (f"{_CLAIMS}::test_s10_only_the_apis_own_id_counts_as_audience",),
    ),
    Guard(
        "a token is of this tenant",
        "_check_for_us",
        '"tid": str(directory.tenant_id), "',
        '"',
        (f"{_CLAIMS}::test_s9_the_tenant_must_agree_with_the_issuer",),
    ),
    Guard(
        "a token is of version 2",
        "_check_for_us",
        ', "ver": "2.0"',
        "",
        (f"{_CLAIMS}::test_s11_only_version_2_tokens_count",),
    ),
    Guard(
        "a token is by this issuer",
        "check_claims",
        ') if claims.get("iss") != issuer: raise TokenInvalid _check_person_at_our_page(',
        """)
    _check_person_at_our_page(""",
        (f"{_CLAIMS}::test_s8_only_the_exact_issuer_counts",),
    ),
    Guard(
        "a token expires",
        "_check_for_us",
        "if expires_at <= now - LEEWAY_SECONDS: raise TokenExpired",
        "",
        (f"{_CLAIMS}::test_s15_an_expired_token_says_so",),
    ),
    Guard(
        "a token is not from the future",
        "_check_for_us",
        "max(issued_at, not_before)",
        "issued_at",
        (f"{_CLAIMS}::test_s17_clocks_may_disagree_by_a_minute",),
    ),
    Guard(
        "a token was issued in the past",
        "_check_for_us",
        "max(issued_at, not_before)",
        "not_before",
        (f"{_CLAIMS}::test_s17_clocks_may_disagree_by_a_minute",),
    ),
    Guard(
        "a token lives for a day at most",
        "_check_for_us",
        "issued_at <= MAX_LIFETIME_SECONDS",
        "issued_at",
        (f"{_CLAIMS}::test_s16_a_lifetime_is_positive_and_at_most_25_hours",),
    ),
    Guard(
        "a token's times are whole numbers",
        "_seconds",
        "type(value) is not int or value < 0:",
        "not isinstance(value, int | float) or value < 0:",
        (f"{_CLAIMS}::test_s16_times_are_whole_numbers",),
    ),
    Guard(
        "a person has a canonical object id",
        "_is_canonical_uuid",
        "str(UUID(value)) == value",
        "bool(UUID(value))",
        (f"{_CLAIMS}::test_s30_a_person_needs_a_canonical_object_id",),
    ),
    Guard(
        "a person is known by tenant and object id",
        "check_claims",
        'claims["oid"',
        'bytes=claims["preferred_username"].encode()[:16',
        (f"{_CLAIMS}::test_s28_a_person_is_the_tenant_and_the_object_id_whatever_they_are_called",),
    ),
    Guard(
        "only our page's tokens count",
        "_check_person_at_our_page",
        'AppOnlyToken if claims.get("azp") != str(directory.spa_client_id): raise ClientNotAllowed scopes',
        """AppOnlyToken
    scopes""",
        (f"{_CLAIMS}::test_s12_another_client_of_the_same_api_is_refused",),
    ),
    Guard(
        "an application is no person",
        "_check_person_at_our_page",
        'or ("scp" not in claims and "roles" in claims)',
        "",
        (f"{_CLAIMS}::test_s13_an_application_is_no_person",),
    ),
    Guard(
        "a token has our scope",
        "_check_person_at_our_page",
        ') or SCOPE not in scopes.split(" ")',
        ")",
        (f"{_CLAIMS}::test_s14_without_the_exact_scope_nobody_comes_in",),
    ),
    Guard(
        "a scope that only begins like ours is another",
        "_check_person_at_our_page",
        '.split(" ")',
        "",
        (f"{_CLAIMS}::test_s14_without_the_exact_scope_nobody_comes_in",),
    ),
    Guard(
        "a long token is not decoded",
        "tokens._parse",
        "len(token) > MAX_TOKEN_BYTES or not",
        "not",
        (f"{_TOKENS}::test_s29_even_a_genuine_token_may_not_be_longer_than_16_kb",),
    ),
    Guard(
        "a long header is not taken for a token",
        "bearer_token",
        "0 < len(token) <= MAX_TOKEN_BYTES",
        "token",
        (f"{_CLAIMS}::test_s1_anything_but_one_bearer_header_is_no_credential",),
    ),
    Guard(
        "two tokens are none",
        "bearer_token",
        "len(authorization_headers) != 1",
        "not authorization_headers",
        (f"{_CLAIMS}::test_s1_anything_but_one_bearer_header_is_no_credential",),
    ),
    Guard(
        "a claim occurs once",
        "strict_json._object",
        "len(fields) != len(pairs)",
        "False",
        (f"{_TOKENS}::test_s29_a_claim_that_occurs_twice_is_refused_whichever_comes_last",),
    ),
    Guard(
        "a token that can't be good costs no fetch",
        "TokenVerifier.verify",
        "_check_for_us(claims, self._directory, self._now()) key",
        "key",
        (f"{_TOKENS}::test_a_token_that_cannot_be_good_costs_no_network_call",),
    ),
    # --- the group ---------------------------------------------------------------------------------------------------
    Guard(
        "only the group's members come in",
        "tokens._refusal",
        'None if str(directory.group_id) in _strings(claims["groups"]) else NotInGroup()',
        "None",
        (f"{_CLAIMS}::test_s25_only_the_exact_group_id_in_a_list_of_texts_counts",),
    ),
    Guard(
        "a group is one of a list, not a part of a text",
        "tokens._refusal",
        '_strings(claims["groups"])',
        'claims["groups"]',
        (f"{_CLAIMS}::test_s25_only_the_exact_group_id_in_a_list_of_texts_counts",),
    ),
    Guard(
        "guests stay out",
        "tokens._refusal",
        "issuer if is_guest and not directory.allow_guests: return GuestRefused() if",
        """issuer
    if""",
        (f"{_CLAIMS}::test_s26_guests_are_kept_out_unless_the_directory_allows_them",),
    ),
    Guard(
        "a guest is known by the identity provider, too",
        "tokens._refusal",
        ') or claims.get("idp", issuer) != issuer',
        ")",
        (f"{_CLAIMS}::test_s26_guests_are_kept_out_unless_the_directory_allows_them",),
    ),
    Guard(
        "too many groups to list is not membership",
        "tokens._refusal",
        "GroupOverage()",
        "None",
        (f"{_CLAIMS}::test_s24_too_many_groups_to_list_is_not_membership",),
    ),
    Guard(
        "a token that says nothing of groups is not a member's",
        "tokens._refusal",
        "GroupClaimMissing()",
        "None",
        (f"{_CLAIMS}::test_s23_a_token_that_says_nothing_about_groups_is_not_a_members",),
    ),
    Guard(
        "with neither group nor role nobody comes in",
        "tokens._refusal",
        "return NotInGroup()",
        "return None",
        (f"{_CLAIMS}::test_with_neither_group_nor_role_configured_nobody_is_a_member",),
    ),
    Guard(
        "an empty role admits nobody",
        "tokens._refusal",
        'directory.role and directory.role in _strings(claims.get("roles"))',
        '(directory.role or "") in {"", *_strings(claims.get("roles"))}',
        (f"{_CLAIMS}::test_with_neither_group_nor_role_configured_nobody_is_a_member",),
    ),
    Guard(
        "who is denied is refused at once",
        "tokens._refusal",
        'UUID(claims["oid"]) in directory.denied_users',
        "False",
        (f"{_CLAIMS}::test_s27_who_is_denied_is_refused_whatever_else_speaks_for_them",),
    ),
    Guard(
        "who is signed in but no member may not generate",
        "member",
        '"" identity.require_member() return',
        '""\n    return',
        ("tests/integration/api/test_sign_in.py",),
    ),
    Guard(
        "a token bound to a key is not taken from whoever shows it",
        "_check_for_us",
        '"cnf" in claims',
        "False",
        ("tests/unit/test_identity_claims.py::test_a_token_bound_to_a_key_is_no_bearer_token",),
    ),
)
