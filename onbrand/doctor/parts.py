"""Checks of what Onbrand needs besides the database: the model, the identity provider and the image store."""

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
from onbrand.local.signing_key import KEY_PATH, load_or_create_key
from onbrand.packs.base import configured_base, require_files
from onbrand.packs.manifest import verify_file
from onbrand.packs.store import bundled_pack

STORE_SECONDS = 8.0
WEIGHTS_SECONDS = 1800.0  # 33 GB from a slow disk
_LARGE_BYTES = 100 * 2**20  # of a file whose reading is worth telling
_SKIPPED_WEIGHTS = "Left out with --skip-weights."


def model(settings: Settings, *, skip_weights: bool, tell: Callable[[str], None]) -> Verdict:
    """The base and its bundled pack. `tell` gets the number of each large file: HiDream's have 60 GB together."""
    if skip_weights:
        return skipped(_SKIPPED_WEIGHTS)
    try:
        base = configured_base(settings)
        require_files(base)  # a missing file is told at once, not after minutes of reading
        files = base.manifest.files
        for number, file in enumerate(files, 1):
            if file.size > _LARGE_BYTES:
                tell(f"Reading the weights: file {number} of {len(files)}, {file.size / 2**20:.0f} MB")
            verify_file(base.folder, file)
        bundled = bundled_pack(settings)
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
    """Whether the identity provider belongs to the configured tenant and publishes keys that we can use."""
    try:
        keys = fetch_keys(settings.directory)
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        if settings.auth is SignIn.LOCAL:
            if (key := settings.data_dir / KEY_PATH).exists():
                load_or_create_key(key)  # `onbrand up` needs it; its error says what to do
            return skipped("The local sign-in is a part of the API, and no API answers here.")
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        return problem(
            f"The identity provider can't be used: {why}.",
            "Check ONBRAND_ENTRA_TENANT_ID (or ONBRAND_ENTRA_METADATA_URL) and the network between.",
        )
    who = "The local sign-in" if settings.auth is SignIn.LOCAL else "The identity provider"
    return ok(f"{who} answers as the configured tenant's, and its signing keys are usable ({len(keys)}).")


def members(settings: Settings) -> Verdict:
    """Who may generate. The settings are refused if nobody may, so this is never a problem."""
    if settings.auth is SignIn.LOCAL:
        return ok("Local sign-in: everybody who can open the page on this machine may use it.")
    gates = ["the group"] if settings.entra_group_id else []
    gates += ["the role"] if settings.entra_role else []
    says = f"Members of {' or '.join(gates)} may generate"
    says += f"; {len(settings.denied_users)} people are refused." if settings.denied_users else "."
    if settings.entra_allow_guests and settings.env is Environment.PRODUCTION:
        return warning(
            f"{says} Guests of the tenant may, too.", "If you don't want that, unset ONBRAND_ENTRA_ALLOW_GUESTS."
        )
    return ok(says)


def origins(settings: Settings) -> Verdict:
    """Which pages of other origins may call the API. In production the settings refuse `*` and http."""
    if "*" in settings.cors_origins:
        return warning("Pages of every origin may call the API.", "Name the allowed origins in ONBRAND_CORS_ORIGINS.")
    if not settings.cors_origins:
        return ok("No page of another origin may call the API. The page that the API serves may.")
    return ok(f"{len(settings.cors_origins)} origins may call the API: {', '.join(settings.cors_origins)}.")


def images(settings: Settings) -> Verdict:
    """Whether the image store stores, returns and deletes an object. Blocking, with an event loop of its own."""
    place = settings.storage
    if isinstance(place, Path) and not place.exists():
        if settings.storage_url is None:
            return ok("The first start creates the images' folder.")
        return warning(
            "The images' folder doesn't exist.", "If it should exist, mount it. Otherwise it will be created."
        )
    asyncio.run(ImageStore.open(settings).check())  # raises errors that say what to do
    if isinstance(place, Path):
        return ok(f"The folder {place.resolve()} stores, returns and deletes files.")
    return ok(f"The container {place.name} stores, returns and deletes objects.")


def soft_delete(settings: Settings) -> Verdict:
    """Whether deleted images are really gone. Azure does not tell this to a role that may only read and write blobs."""
    place = settings.storage
    if not isinstance(place, AzureContainer):
        return ok("Images are files: deleted images are gone, except from backups of the folder.")
    return skipped(
        "Soft delete and versioning can keep deleted images for longer. Only the account's administrator sees them.",
        "Run `az storage account blob-service-properties show --account-name"
        f' {place.account} --query "[deleteRetentionPolicy, isVersioningEnabled]"` and add these days to the'
        " retention that you promise, or switch both off.",
    )
