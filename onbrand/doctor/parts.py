"""Checks of what the product leans on besides the database: the brand pack, the identity provider, the image store."""

from __future__ import annotations

import asyncio
import http.client
import importlib.util
from collections.abc import Callable
from pathlib import Path

from onbrand.config import AzureContainer, Environment, Settings, SignIn
from onbrand.doctor.report import Verdict, ok, problem, skipped, warning
from onbrand.errors import SetupError, WeightsMissing
from onbrand.identity.jwks import fetch_keys
from onbrand.images.store import ImageStore
from onbrand.packs.base import configured_base
from onbrand.packs.manifest import verify_file
from onbrand.packs.store import PackStore

STORE_SECONDS = 8.0
WEIGHTS_SECONDS = 1800.0  # 33 GB from a slow disk
_LARGE_BYTES = 100 * 2**20  # what takes longer than a moment
_SKIPPED_WEIGHTS = "Left out with --skip-weights."


def model(settings: Settings, *, skip_weights: bool, tell: Callable[[str], None]) -> Verdict:
    """The base and the pack that ships with it. `tell` hears which file is being read: HiDream's have 60 GB."""
    if skip_weights:
        return skipped(_SKIPPED_WEIGHTS)
    try:
        base = configured_base(settings)
        files = base.manifest.files
        for number, file in enumerate(files, 1):
            if file.size > _LARGE_BYTES:
                tell(f"Reading the weights: file {number} of {len(files)}, {file.size / 2**20:.0f} MB")
            verify_file(base.folder, file)
        bundled = PackStore.open(settings).bundled
        if bundled is not None:
            bundled.verify()
    except WeightsMissing as error:
        if importlib.util.find_spec("torch") is None:
            return skipped("torch isn't installed: this machine draws nothing.")
        return problem(error.message)
    except SetupError as error:
        return problem(error.message)
    size = sum(file.size for file in files)
    with_pack = f", and so does the pack {bundled.manifest.name}, version {bundled.manifest.version}" if bundled else ""
    return ok(f"{base.manifest.model}: {len(files)} files with {size / 2**20:.0f} MB match their checksums{with_pack}.")


def sign_in(settings: Settings) -> Verdict:
    """Whether the identity provider says that it is the configured tenant's, and publishes usable keys."""
    try:
        keys = fetch_keys(settings.directory)
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        if settings.auth is SignIn.LOCAL:
            return skipped("The local sign-in is a part of the API, which doesn't answer here.")
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        return problem(
            f"The identity provider can't be used: {why}.",
            "Check ONBRAND_ENTRA_TENANT_ID (or ONBRAND_ENTRA_METADATA_URL) and the way out to it.",
        )
    who = "The local sign-in" if settings.auth is SignIn.LOCAL else "The identity provider"
    return ok(f"{who} answers as the configured tenant's, and its signing keys are usable ({len(keys)}).")


def members(settings: Settings) -> Verdict:
    """Who may generate. That somebody may is a matter of the settings, which refuse it otherwise."""
    if settings.auth is SignIn.LOCAL:
        return ok("Local sign-in: whoever can open the page on this machine may come in.")
    gates = ["the group"] if settings.entra_group_id else []
    gates += ["the role"] if settings.entra_role else []
    says = f"Members of {' or '.join(gates)} may generate"
    says += f"; {len(settings.denied_users)} people are refused." if settings.denied_users else "."
    if settings.entra_allow_guests and settings.env is Environment.PRODUCTION:
        return warning(f"{says} Guests of the tenant, too.", "Unset ONBRAND_ENTRA_ALLOW_GUESTS if that isn't meant.")
    return ok(says)


def origins(settings: Settings) -> Verdict:
    """Which pages elsewhere may call. In production the settings refuse `*` and what isn't https."""
    if "*" in settings.cors_origins:
        return warning("Any page anywhere may call the API.", "Name the origins in ONBRAND_CORS_ORIGINS.")
    if not settings.cors_origins:
        return ok("No page elsewhere may call; the one that is served here may.")
    return ok(f"{len(settings.cors_origins)} origins may call: {', '.join(settings.cors_origins)}.")


def images(settings: Settings) -> Verdict:
    """Whether the image store takes, returns and deletes an object. Blocking, with a loop of its own."""
    place = settings.storage
    if isinstance(place, Path) and not place.exists():
        if settings.storage_url is None:
            return ok("The images' folder is made at the first start.")
        return warning("The images' folder isn't there.", "If it should be, mount it; otherwise it will be made.")
    asyncio.run(ImageStore.open(settings).check())  # its errors say what to do
    if isinstance(place, Path):
        return ok(f"The folder {place.resolve()} takes, returns and deletes files.")
    return ok(f"The container {place.name} takes, returns and deletes objects.")


def soft_delete(settings: Settings) -> Verdict:
    """Whether deleted images are gone. Azure doesn't tell that to who may only read and write blobs."""
    place = settings.storage
    if not isinstance(place, AzureContainer):
        return ok("Images are files: deleted means deleted, but for backups of the folder.")
    return skipped(
        "Soft delete and versioning keep deleted images for longer; only the account's administrator sees them.",
        "Look with `az storage account blob-service-properties show --account-name"
        f' {place.account} --query "[deleteRetentionPolicy, isVersioningEnabled]"` and add the days to your promise,'
        " or switch both off.",
    )
