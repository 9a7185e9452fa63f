"""Every error that the product can name. How the API answers with one is in `api/problems.py`.

    OnbrandError
    ├── SetupError                  a command cannot do its work: one plain line, then the exit code
    │   ├── ConfigError             a setting is wrong (78)
    │   ├── DataDirUnwritable  PortBusy  AlreadyRunning  DatabaseNotReady
    │   ├── ObjectStoreRefused  ObjectStoreUnreachable
    │   ├── DatabaseServerFailed  PageNotBuilt  BackupUnusable  RestoreRefused
    │   ├── WeightsMissing  NotEnoughMemory  PrecisionUnsupported  ModelRefused  ModelProcessDied
    │   ├── WeightsUnusable         a base or a brand pack is there, but it cannot be used as it is
    │   │   ├── FileDamaged         a file does not have the bytes that its manifest or its format says
    │   │   │   └── FileUnreadable  FileChanged  ChecksumMismatch  SafetensorsInvalid
    │   │   ├── ManifestInvalid  CodeInBase  ModelUnknown
    │   │   ├── NetworkConfigInvalid  TokenizerInvalid  TensorsMismatch
    │   │   ├── LoraInvalid  LoraManifestMismatch  LoraBaseMismatch  LoraWithoutEffect
    │   │   ├── PromptSuffixTooLong  ModelOutputInvalid  ProbeMismatch
    │   │   └── PreparedWeightsDamaged  StoredPackDamaged
    │   ├── DatasetRefused  DatasetChanged  TrainingRefused  TrainingDiverged  RunUnusable  RunChanged
    │   └── PackNotFound  PackUnfit  NotSignedOff  NotReproducible  OriginalsRefused
    ├── ProblemError                an HTTP request cannot be served: RFC 9457 problem+json
    │   ├── 401  TokenMissing  TokenInvalid  TokenExpired
    │   ├── 403  ClientNotAllowed  AppOnlyToken  ScopeMissing  AccessRevoked
    │   │        GuestRefused  GroupClaimMissing  GroupOverage  NotInGroup
    │   │        NotReviewer
    │   ├── 400  HttpInvalid  JsonInvalid  PreflightRefused
    │   ├── 404  NotFound  JobNotFound  ReviewNotFound
    │   ├── 405  MethodNotAllowed   408  HeadTooSlow  BodyTooSlow
    │   ├── 409  ImageNotReady  IdempotencyKeyReused  NotAsked  ReviewAnswered
    │   ├── 410  JobExpired
    │   ├── 413  BodyTooLarge   415  MediaTypeUnsupported   421  HostNotAllowed   431  HeadersTooLarge
    │   ├── 422  RequestInvalid  PromptBlank  PromptTooLong  PromptInvalid  IdempotencyKeyInvalid
    │   │        CommentTooLong  CommentInvalid
    │   ├── 429  TooManyQueued  TooManySubmitted  QueueFull  BudgetSpent  TooManyRequests
    │   ├── 500  InternalError  ImageCorrupt  CardDamaged  AsideDamaged
    │   └── 503  DatabaseUnavailable  ImageStoreUnavailable  KeysUnavailable  Overloaded
    └── JobFailure                  an attempt at a job failed: the job stores it as `error.code`
        ├── Cancelled  NoCapacity  DeadlinePassed  GenerationTimedOut  WorkerLost
        ├── ModelFailed  BadImage  GpuMemory
        └── ImagesNotStored

The texts are for the person who sees them: what happened, then what to do. No text repeats the input.
"""

from __future__ import annotations

from typing import ClassVar


class OnbrandError(Exception):
    """The base of every error that Onbrand raises on purpose."""

    detail: ClassVar[str] = ""

    def __init__(self, detail: str | None = None) -> None:
        self.message = detail or self.detail
        super().__init__(self.message)


# --- a command cannot do its work ------------------------------------------------------------------------------------


class SetupError(OnbrandError):
    """A command cannot do its work. The message is one line that says what to do."""

    exit_code: ClassVar[int] = 1


class ConfigError(SetupError):
    """Raised when a setting or an option is missing, malformed or not allowed in this environment."""

    exit_code = 78


class DataDirUnwritable(SetupError):
    """Raised when a file or a folder, such as `ONBRAND_DATA_DIR`, cannot be created or written by this user."""

    exit_code = 78


class PortBusy(SetupError):
    """Raised when another program listens on `ONBRAND_PORT`."""

    exit_code = 78


class AlreadyRunning(SetupError):
    """Raised when another `onbrand up` uses the same data directory."""


class DatabaseNotReady(SetupError):
    """Raised when the database cannot be reached or signed in to, or its schema is not the one this version needs."""


class DatabaseServerFailed(SetupError):
    """Raised when the embedded PostgreSQL did not start. The message contains the end of its log."""


class BackupUnusable(SetupError):
    """A backup cannot be written to this file, or the file is not a whole backup that this version can read."""


class RestoreRefused(SetupError):
    """A restore would meet what is there already: a data directory, a database or an image store that is in use."""


class ObjectStoreRefused(SetupError):
    """Raised when the object store refuses this configuration: no such container, a wrong key, no right to write."""

    exit_code = 78


class ObjectStoreUnreachable(SetupError):
    """Raised when the object store did not answer, or could not store anything at this moment."""


class WeightsMissing(SetupError):
    """Raised when a file of the model or of a brand pack is missing."""

    exit_code = 78


class NotEnoughMemory(SetupError):
    """Raised when the GPU or the machine has less free memory than the model needs."""


class PrecisionUnsupported(SetupError):
    """Raised when `ONBRAND_PRECISION` is one in which the configured model cannot be loaded."""


class ModelRefused(SetupError):
    """Raised when the worker's model process cannot load the model and says why; the message is the process's own."""

    exit_code = 78


class ModelProcessDied(SetupError):
    """Raised when the worker's model process ended each time it loaded the model, without saying why."""


class WeightsUnusable(SetupError):
    """A base or a brand pack is there, but it cannot be used as it is: starting again gives the same error.

    Never raised itself. `onbrand pack verify` and the benchmark catch all of its subclasses in the same way.
    """

    exit_code = 78


class FileDamaged(WeightsUnusable):
    """A file does not have the bytes that its manifest or its format says: it needs another copy.

    Never raised itself. Whoever has a second copy, or can prepare the file again, catches all of its subclasses.
    """


class FileUnreadable(FileDamaged):
    """Raised when the operating system cannot read a file, for example after a disk error or without permission."""


class FileChanged(FileDamaged):
    """Raised when an object in the object store became shorter while it was read."""


class ChecksumMismatch(FileDamaged):
    """Raised when a file's size or SHA-256 is not the one in the manifest."""


class SafetensorsInvalid(FileDamaged):
    """Raised when a file is named `.safetensors` and does not follow that format."""


class ManifestInvalid(WeightsUnusable):
    """Raised when `base.json` or `pack.json` is not a manifest that this version understands."""


class CodeInBase(WeightsUnusable):
    """Raised when the directory that is to become a base has a file that may hold code, such as a pickle."""


class ModelUnknown(WeightsUnusable):
    """Raised when a base is for a model that this version cannot load."""


class NetworkConfigInvalid(WeightsUnusable):
    """Raised when a component's `config.json` does not describe the network that the model needs."""


class TokenizerInvalid(WeightsUnusable):
    """Raised when the files of a tokenizer cannot be loaded."""


class TensorsMismatch(WeightsUnusable):
    """Raised when the tensors do not fit their network: one is missing, unknown, repeated or has another shape or type.

    Also raised when a tensor that is quantised has numbers that are not finite.
    """


class LoraInvalid(WeightsUnusable):
    """Raised when a file is not a plain LoRA: not safetensors, cut short, another kind of adapter, unknown tensors."""


class LoraManifestMismatch(WeightsUnusable):
    """Raised when a LoRA file has other modules, another rank or another alpha than the pack's manifest says."""


class LoraBaseMismatch(WeightsUnusable):
    """Raised when a LoRA adapts a module that the base does not have, or one that has another shape there."""


class LoraWithoutEffect(WeightsUnusable):
    """Raised when a LoRA changes nothing in a module that it adapts, or next to nothing in the model's output."""


class PromptSuffixTooLong(WeightsUnusable):
    """Raised when the `prompt_suffix` of a pack alone takes more tokens than the model reads."""


class ModelOutputInvalid(WeightsUnusable):
    """Raised when the output of a transformer that was just loaded is not finite, or is the same number everywhere."""


class ProbeMismatch(WeightsUnusable):
    """Raised when a loaded transformer's output differs from the one that the pack recorded when it was built."""


class PreparedWeightsDamaged(WeightsUnusable):
    """Raised when prepared weights are damaged or belong to another pack; they can be deleted or prepared again."""


class StoredPackDamaged(WeightsUnusable):
    """Raised when a file of a pack in the object store is missing or differs from the pack's manifest."""


class DatasetRefused(SetupError):
    """Raised when a folder of illustrations cannot be used: a file of it has an error, or it is no such folder."""


class DatasetChanged(SetupError):
    """Raised when a picture of a data set has other pixels than when the data set was read."""


class TrainingRefused(SetupError):
    """Raised when a training cannot begin: its folder is in use, or the model or the illustrations do not allow it."""

    exit_code = 78


class TrainingDiverged(SetupError):
    """Raised when the loss of a training is no longer a number."""


class RunUnusable(SetupError):
    """Raised when a folder is not a training run, or a file of the run is missing or damaged."""

    exit_code = 78


class RunChanged(SetupError):
    """Raised when a run would go on with other illustrations, another base or other settings than it began with."""

    exit_code = 78


class PackNotFound(SetupError):
    """Raised when no brand pack has this id, several ids begin with it, or the alias points to no pack."""

    exit_code = 78


class PackUnfit(SetupError):
    """Raised when a brand pack was made for another model, or for other weights of it, than the configured ones."""

    exit_code = 78


class NotSignedOff(SetupError):
    """Raised when a brand pack would become production and no designer has approved it."""


class NotReproducible(SetupError):
    """Raised when a file is not a complete picture of ours that says how it was drawn, or its prompt is not known."""


class OriginalsRefused(SetupError):
    """Raised when a folder doesn't have what a review needs of the brand's own pictures."""


class PageNotBuilt(SetupError):
    """Raised when the web page was not built, so there is nothing to serve."""

    exit_code = 78


# --- an HTTP request cannot be served --------------------------------------------------------------------------------


class ProblemError(OnbrandError):
    """An error that the API answers as an RFC 9457 problem. Each subclass sets status, title, code and detail."""

    status: ClassVar[int]
    title: ClassVar[str]
    code: ClassVar[str]

    def __init__(self, detail: str | None = None, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class TokenMissing(ProblemError):
    """No `Authorization: Bearer …` header, more than one, or another scheme."""

    status, code, title = 401, "token_missing", "Sign-in needed"
    detail = "Send exactly one Authorization header with a bearer token."


class TokenInvalid(ProblemError):
    """The token is malformed, badly signed, from another issuer or for another audience."""

    status, code, title = 401, "token_invalid", "Sign-in not accepted"
    detail = "This token isn't one we can accept. Sign in again."


class TokenExpired(ProblemError):
    """The token was valid, and its lifetime is over."""

    status, code, title = 401, "token_expired", "Sign-in expired"
    detail = "Your sign-in has expired. Sign in again."


class ClientNotAllowed(ProblemError):
    """The token was issued to an application (`azp`) that is not the studio's page."""

    status, code, title = 403, "client_not_allowed", "Application not allowed"
    detail = "This application may not call Onbrand. Use the studio's own page."


class AppOnlyToken(ProblemError):
    """The token belongs to an application, not to a person."""

    status, code, title = 403, "app_only_token", "A person must sign in"
    detail = "Onbrand serves people, not applications. Sign in as a member of the studio."


class ScopeMissing(ProblemError):
    """The token lacks the `access_as_user` scope."""

    status, code, title = 403, "scope_missing", "Permission missing"
    detail = "The sign-in didn't grant access to Onbrand. Sign in again and accept the permission."


class AccessRevoked(ProblemError):
    """The person's object id is in `ONBRAND_DENIED_USERS`. The groups in the token do not matter."""

    status, code, title = 403, "access_revoked", "Access removed"
    detail = "Your access to Onbrand was removed. Ask the studio if this is a mistake."


class GuestRefused(ProblemError):
    """The person is a guest of the tenant (`acct` = 1, or another identity provider)."""

    status, code, title = 403, "guest_refused", "Guests can't use Onbrand"
    detail = "Guest accounts aren't admitted. Ask the studio for a member account."


class GroupClaimMissing(ProblemError):
    """The token has neither groups nor roles: the app registration does not emit them."""

    status, code, title = 403, "group_claim_missing", "Group membership unknown"
    detail = "Your sign-in doesn't say which groups you're in. Ask your administrator for access."


class GroupOverage(ProblemError):
    """The person is in so many groups that Entra left the list out of the token (`_claim_names`)."""

    status, code, title = 403, "group_overage", "Too many groups to list"
    detail = "You're in too many groups for your sign-in to list them. Ask your administrator for access."


class NotInGroup(ProblemError):
    """The person is a member of the tenant, but has neither the studio's group nor its role."""

    status, code, title = 403, "not_in_group", "Not in the studio's group"
    detail = "You're signed in, but you aren't in the group that may use Onbrand. Ask the studio to add you."


class NotReviewer(ProblemError):
    """The person may generate, but does not hold the role that reviews styles (`ONBRAND_ENTRA_REVIEWER_ROLE`)."""

    status, code, title = 403, "not_reviewer", "Only for reviewers"
    detail = "You aren't one of the people who review the studio's styles. Ask the administrator for the reviewer role."


class HttpInvalid(ProblemError):
    """The bytes are not one HTTP request that every reader understands in the same way."""

    status, code, title = 400, "http_invalid", "Not valid HTTP"
    detail = "Send a well-formed HTTP/1.1 request, its body with either a Content-Length or chunked."


class JsonInvalid(ProblemError):
    """The body is not one JSON document in UTF-8."""

    status, code, title = 400, "json_invalid", "Not valid JSON"
    detail = "Send one JSON object in UTF-8, without a byte order mark or repeated keys."


class PreflightRefused(ProblemError):
    """A browser asked whether a page of another origin may call the API (a CORS preflight), and it may not."""

    status, code, title = 400, "preflight_refused", "Not allowed from that page"
    detail = "That page may not make this request. Ask the administrator to add its origin to ONBRAND_CORS_ORIGINS."


class NotFound(ProblemError):
    """The API has no such route."""

    status, code, title = 404, "not_found", "Nothing here"
    detail = "There is nothing at this address."


class JobNotFound(ProblemError):
    """The job does not exist, or belongs to another person. The answer is the same for both."""

    status, code, title = 404, "job_not_found", "No such job"
    detail = "There is no job with this id among yours."


class ReviewNotFound(ProblemError):
    """There is no review with this id."""

    status, code, title = 404, "review_not_found", "No such review"
    detail = "There is no review at this address. Ask for the link again."


class MethodNotAllowed(ProblemError):
    """The route exists, but not for this method."""

    status, code, title = 405, "method_not_allowed", "Method not allowed"
    detail = "This address doesn't take that method."


class HeadTooSlow(ProblemError):
    """The address and the headers of a request were not complete within ten seconds after its first byte."""

    status, code, title = 408, "head_too_slow", "Request too slow"
    detail = "The request's headers took too long to arrive. Try again on a better connection."


class BodyTooSlow(ProblemError):
    """The body was announced, and did not arrive completely within ten seconds."""

    status, code, title = 408, "body_too_slow", "Request too slow"
    detail = "The request's body took too long to arrive. Try again on a better connection."


class ImageNotReady(ProblemError):
    """The job has no images: it is waiting, being drawn, or failed."""

    status, code, title = 409, "image_not_ready", "Image not ready"
    detail = "This job has no image to show at the moment. Look at the job's status."


class IdempotencyKeyReused(ProblemError):
    """The same person sent the same Idempotency-Key with another prompt before."""

    status, code, title = 409, "idempotency_key_reused", "Key already used"
    detail = "This Idempotency-Key was used for another request. Use a new key for a new prompt."


class NotAsked(ProblemError):
    """Somebody answered "Was this useful?" for a job about which the page never asked."""

    status, code, title = 409, "not_asked", "Nothing was asked"
    detail = "Nobody asked whether this generation was useful, so there is nothing to answer."


class ReviewAnswered(ProblemError):
    """The person sent another verdict about a review that they have answered. Answers are stored once."""

    status, code, title = 409, "review_answered", "Already answered"
    detail = "You have answered this review before, and answers stay as they are. Ask for another review."


class JobExpired(ProblemError):
    """The retention time is over: images and prompt are deleted."""

    status, code, title = 410, "job_expired", "Deleted after the retention time"
    detail = "This generation was kept for its full time and is deleted. Generate it again."


class BodyTooLarge(ProblemError):
    """The body is larger than any valid request."""

    status, code, title = 413, "body_too_large", "Request too large"
    detail = "A request may have at most 8,192 bytes."


class MediaTypeUnsupported(ProblemError):
    """The body is not declared as application/json in UTF-8."""

    status, code, title = 415, "media_type_unsupported", "JSON only"
    detail = "Send the body as application/json in UTF-8."


class HostNotAllowed(ProblemError):
    """The `Host` header of a request to the local sign-in names another host than this machine (DNS rebinding)."""

    status, code, title = 421, "host_not_allowed", "Not this machine's name"
    detail = "The local sign-in answers to http://localhost and http://127.0.0.1 only. Use one of these addresses."


class HeadersTooLarge(ProblemError):
    """The request's address and headers are larger than 16 kB."""

    status, code, title = 431, "headers_too_large", "Headers too large"
    detail = "The request's address and headers may have at most 16,384 bytes."


class RequestInvalid(ProblemError):
    """The body or a parameter has the wrong shape: a missing, an unknown or a wrongly typed field."""

    status, code, title = 422, "request_invalid", "Request not understood"
    detail = "Send exactly the fields that this address takes, each with a value of its type."


class PromptBlank(ProblemError):
    """The prompt has no visible character after normalisation."""

    status, code, title = 422, "prompt_blank", "The prompt is empty"
    detail = "Describe the illustration in a few words."


class PromptTooLong(ProblemError):
    """The prompt has more than 500 Unicode code points after normalisation."""

    status, code, title = 422, "prompt_too_long", "The prompt is too long"
    detail = "A prompt may have at most 500 characters. Shorten it and try again."


class PromptInvalid(ProblemError):
    """The prompt has control characters, lone surrogates or too many combining marks on one letter."""

    status, code, title = 422, "prompt_invalid", "The prompt has characters we can't use"
    detail = "Remove control characters and unusual accent characters from the prompt."


class CommentTooLong(ProblemError):
    """The comment has more than 200 Unicode code points after normalisation."""

    status, code, title = 422, "comment_too_long", "The comment is too long"
    detail = "A comment may have at most 200 characters. Shorten it and send it again."


class CommentInvalid(ProblemError):
    """The comment has control characters, lone surrogates or too many combining marks on one letter."""

    status, code, title = 422, "comment_invalid", "The comment has characters we can't use"
    detail = "Remove control characters and unusual accent characters from the comment."


class IdempotencyKeyInvalid(ProblemError):
    """The Idempotency-Key is not 1–128 visible ASCII characters."""

    status, code, title = 422, "idempotency_key_invalid", "Idempotency-Key not usable"
    detail = "An Idempotency-Key has 1 to 128 visible ASCII characters."


class TooManyQueued(ProblemError):
    """The person already has `ONBRAND_MAX_QUEUED_PER_USER` unfinished jobs."""

    status, code, title = 429, "too_many_queued", "Too many waiting"
    detail = "You've reached your limit of waiting generations. Wait for one to finish."


class TooManySubmitted(ProblemError):
    """The person has submitted `ONBRAND_MAX_SUBMITTED_PER_MINUTE` jobs within the last minute."""

    status, code, title = 429, "too_many_submitted", "Too many in a minute"
    detail = "You've reached your limit of generations per minute. Wait a moment and try again."


class QueueFull(ProblemError):
    """`ONBRAND_MAX_QUEUED` jobs are waiting, of all people together."""

    status, code, title = 429, "queue_full", "The queue is full"
    detail = "Too many generations are waiting in the whole studio. Try again in a minute; your prompt isn't lost."


class BudgetSpent(ProblemError):
    """The month's budget for GPUs has no room for another job (`ONBRAND_MONTHLY_BUDGET_USD`)."""

    status, code, title = 429, "budget_spent", "The budget is spent"
    detail = "The studio's budget for this month is spent. Your prompt isn't lost."


class TooManyRequests(ProblemError):
    """A person, or an address without a valid token, makes too many: `ONBRAND_MAX_REQUESTS_PER_SECOND`."""

    status, code, title = 429, "too_many_requests", "Too many requests"
    detail = "More requests came from you than one person may make. Wait a moment and try again."


class InternalError(ProblemError):
    """An error that we did not expect. The log has the request id and the traceback."""

    status, code, title = 500, "internal_error", "Something went wrong on our side"
    detail = "Try again. If it happens again, tell the administrator the request id."


class ImageCorrupt(ProblemError):
    """A stored image is missing or does not match its checksum. It is never sent."""

    status, code, title = 500, "image_corrupt", "The stored image is damaged"
    detail = "This image was damaged in storage and isn't shown. Generate it again."


class CardDamaged(ProblemError):
    """A picture of a review is missing or does not match its checksum. It is not shown, and no verdict is accepted."""

    status, code, title = 500, "card_damaged", "A picture of this review is damaged"
    detail = "A picture of this review was changed in storage, so nothing can be decided. Ask for another review."


class AsideDamaged(ProblemError):
    """A picture that is only shown for comparison, after the verdict, is missing or does not match its checksum."""

    status, code, title = 500, "aside_damaged", "A picture for comparison is damaged"
    detail = "This picture was changed in storage, so it is not shown. The verdict stays as it is."


class DatabaseUnavailable(ProblemError):
    """PostgreSQL did not answer in time, or could not write."""

    status, code, title = 503, "database_unavailable", "Temporarily unavailable"
    detail = "The database does not answer. Nothing was lost. Try again in a few seconds."


class ImageStoreUnavailable(ProblemError):
    """The object store did not answer in time."""

    status, code, title = 503, "store_unavailable", "Images temporarily unavailable"
    detail = "The image store does not answer. Your images are safe. Try again in a few seconds."


class KeysUnavailable(ProblemError):
    """The identity provider's signing keys could not be loaded even once, or not for 24 hours."""

    status, code, title = 503, "keys_unavailable", "Sign-in can't be checked"
    detail = "The sign-in service can't be reached. Try again in a minute."


class Overloaded(ProblemError):
    """This process serves as many connections as it can at a time."""

    status, code, title = 503, "overloaded", "Too many visitors at once"
    detail = "Onbrand is very busy. Try again in a few seconds."


# --- an attempt at a job failed --------------------------------------------------------------------------------------


class JobFailure(OnbrandError):
    """Why a job has no images. `retryable` says whether the worker tries again."""

    title: ClassVar[str]
    code: ClassVar[str]
    retryable: ClassVar[bool]


class Cancelled(JobFailure):
    """The person cancelled the job."""

    code, title, retryable = "cancelled", "Cancelled", False
    detail = "You stopped this generation. Nothing more will be drawn for it."


class NoCapacity(JobFailure):
    """No worker took the job for `ONBRAND_MAX_WAITING_SECONDS`."""

    code, title, retryable = "no_capacity", "No GPU was free", False
    detail = "No GPU became free for a long time, so this generation was stopped. Try again later."


class DeadlinePassed(JobFailure):
    """The job had no images `ONBRAND_JOB_DEADLINE_SECONDS` after its first attempt began."""

    code, title, retryable = "deadline_passed", "It took too long", False
    detail = "This generation took far longer than it should and was stopped. Try again."


class GenerationTimedOut(JobFailure):
    """The model made no progress for longer than the lease."""

    code, title, retryable = "timeout", "The drawing got stuck", True
    detail = "The image model stopped making progress. Try again."


class WorkerLost(JobFailure):
    """The worker or its model process ended while it drew."""

    code, title, retryable = "worker_lost", "The drawing was interrupted", True
    detail = "The machine that drew this stopped several times. Try again; if it fails again, change the prompt."


class ModelFailed(JobFailure):
    """The model raised an error that is not one of the others."""

    code, title, retryable = "model_failed", "The image model failed", True
    detail = "The image model reported an error. Try again; the administrator finds the reason in the log."


class BadImage(JobFailure):
    """The model returned something that is not four finite, non-constant 1024×1024 RGB images."""

    code, title, retryable = "bad_image", "The image model drew nothing usable", True
    detail = "The image model returned unusable pictures. Try again or change the prompt."


class GpuMemory(JobFailure):
    """The GPU ran out of memory."""

    code, title, retryable = "gpu_memory", "Not enough GPU memory", True
    detail = "The GPU ran out of memory while drawing. Try again in a moment."


class ImagesNotStored(JobFailure):
    """The finished images could not be written to the object store."""

    code, title, retryable = "storage_unavailable", "The images couldn't be stored", True
    detail = "The pictures were drawn but couldn't be stored. Try again in a few minutes."


def job_failure(code: str) -> type[JobFailure]:
    """The failure with this code. A code that this version does not know, from a newer version, gives ModelFailed."""
    return next((failure for failure in JobFailure.__subclasses__() if failure.code == code), ModelFailed)
