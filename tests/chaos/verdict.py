"""The checks after a chaos run: database, files, logs and processes are compared with the people's ledger.

The only code under test that is called here is `png.check`: whether a PNG may be published.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from onbrand.errors import BadImage
from onbrand.images.png import check
from tests.chaos.deployment import Deployment
from tests.chaos.people import CANARY, Fate, Ledger, Wish

MAX_ATTEMPTS = 10
_KEY = re.compile(r"jobs/([0-9a-f-]{36})/([0-9]+)/([1-4])(?:\.png|-512\.webp)")
_RETRYABLE = {"timeout", "worker_lost", "model_failed", "bad_image", "gpu_memory", "storage_unavailable"}
# How the last line of a process begins that cannot start; the supervisor starts it again.
_SETUP_ERROR = "onbrand: "


@dataclass
class Verdict:
    """The result of the checks. `breaches` is empty if every promise was kept."""

    breaches: list[str] = field(default_factory=list)
    jobs: Counter[str] = field(default_factory=Counter)  # by how they ended
    images: int = 0
    lost: int = 0  # accepted jobs that are gone or have not ended
    doubled: int = 0  # two jobs for one key, two results for one job, images of two attempts
    torn: int = 0  # missing, cut or altered images of complete jobs
    given_up: int = 0  # good jobs that failed because a fault hit each of their tries
    attempts: int = 0

    def say(self, breach: str) -> None:
        self.breaches.append(breach)


def judge(deployment: Deployment, ledger: Ledger, files: dict[str, bytes], exit_codes: dict[str, int]) -> Verdict:
    """Do all checks. The APIs and workers have stopped, images of no result are deleted, the database still runs.

    `files` are the files in the image store, by key.
    """
    verdict = Verdict(breaches=list(ledger.breaches))
    jobs = {str(row["id"]): row for row in deployment.query("select * from job")}
    images = defaultdict(list)
    for row in deployment.query("select * from image order by job_id, n"):
        images[str(row["job_id"])].append(row)
    _judge_keys(verdict, ledger, jobs)
    for wish in ledger.wishes:
        job = jobs.get(wish.job_id)
        if job is None or job["status"] not in ("complete", "failed"):
            verdict.lost += 1
            verdict.say(
                f"{wish.key} was acknowledged as job {wish.job_id or '(never)'}, which is {job and job['status']}"
            )
            continue
        _judge_end(verdict, wish, job)
        _judge_images(verdict, wish, job, images[wish.job_id], files)
    _judge_leftovers(verdict, deployment, jobs, images, files)
    _judge_logs(verdict, deployment)
    for name, code in exit_codes.items():
        if code != 0:
            verdict.say(f"{name} was told to stop and ended with {code}")
    for pid in deployment.left_running():
        verdict.say(f"process {pid} is left")
    return verdict


def _judge_keys(verdict: Verdict, ledger: Ledger, jobs: dict[str, Any]) -> None:
    by_key = Counter(row["idempotency_key"] for row in jobs.values())
    for wish in ledger.wishes:
        if len(wish.job_ids) > 1 or by_key[wish.key] > 1:
            verdict.doubled += 1
            verdict.say(f"{wish.key} made {by_key[wish.key]} jobs: {wish.job_ids}")
    if unknown := set(by_key) - {wish.key for wish in ledger.wishes}:
        verdict.say(f"nobody asked for the jobs of {unknown}")


def _judge_end(verdict: Verdict, wish: Wish, job: dict[str, Any]) -> None:
    status, code = job["status"], job["error_code"] or ""
    verdict.jobs[f"failed: {code}" if code else status] += 1
    verdict.attempts += job["attempt"]
    if wish.endings != {(status, code)}:
        verdict.say(f"job {wish.job_id} is {status} {code}, but was said to be {wish.endings}")
    used_up = code in _RETRYABLE and job["tries"] == MAX_ATTEMPTS
    match wish.fate:
        case Fate.FAILS:
            if not used_up:
                verdict.say(f"{wish.prompt!r} ended as {status} {code} after {job['tries']} tries")
        case Fate.CANCELLED if code == "cancelled":
            pass
        case _ if status == "failed":
            verdict.given_up += used_up
            if not used_up:
                verdict.say(f"the good job {wish.job_id} failed with {code} after {job['tries']} tries")


def _judge_images(
    verdict: Verdict, wish: Wish, job: dict[str, Any], rows: list[dict[str, Any]], files: dict[str, bytes]
) -> None:
    numbers = [row["n"] for row in rows]
    if numbers != ([1, 2, 3, 4] if job["status"] == "complete" else []):
        verdict.doubled += len(numbers) > 4
        verdict.torn += len(numbers) < 4
        verdict.say(f"the {job['status']} job {wish.job_id} has the images {numbers}")
    for row in rows:
        png = files.get(f"jobs/{wish.job_id}/{job['result_attempt']}/{row['n']}.png", b"")
        digest = hashlib.sha256(png).hexdigest()
        if (digest, len(png)) != (row["sha256"], row["size"]) or not _is_whole(png):
            verdict.torn += 1
            verdict.say(f"image {row['n']} of {wish.job_id} is not what its row says")
        webp = files.get(f"jobs/{wish.job_id}/{job['result_attempt']}/{row['n']}-512.webp", b"")
        if (hashlib.sha256(webp).hexdigest(), len(webp)) != (row["rendition_sha256"], row["rendition_size"]):
            verdict.torn += 1
            verdict.say(f"the rendition of image {row['n']} of {wish.job_id} is not what its row says")
        if wish.sha256.get(row["n"]) not in (None, digest):
            verdict.torn += 1
            verdict.say(f"image {row['n']} of {wish.job_id} is not what was downloaded")
        verdict.images += 1


def _is_whole(png: bytes) -> bool:
    try:
        check(png)
    except BadImage:
        return False
    return True


def _judge_leftovers(
    verdict: Verdict, deployment: Deployment, jobs: dict[str, Any], images: dict[str, Any], files: dict[str, bytes]
) -> None:
    for key in files:
        parts = _KEY.fullmatch(key)
        if key.startswith("checks/"):
            continue  # the probe of a killed process, too new to be deleted
        if parts is None:
            verdict.say(f"{key} is in the store")
        elif (job := jobs.get(parts[1])) is None or job["result_attempt"] != int(parts[2]):
            kind = "no job" if job is None else f"job {parts[1]}, {job['status']} with attempt {job['result_attempt']}"
            verdict.doubled += bool(job and job["status"] == "complete")
            verdict.say(f"{key} belongs to {kind}")
    if unknown := set(images) - set(jobs):
        verdict.say(f"images of no job: {unknown}")
    for row in deployment.query("select status, count(*) as number from procrastinate_jobs group by status"):
        verdict.say(f"{row['number']} deliveries are left, {row['status']}")


def _judge_logs(verdict: Verdict, deployment: Deployment) -> None:
    published: Counter[str] = Counter()
    for part in deployment.parts:
        for number, text in enumerate(part.log_path.read_text(errors="replace").splitlines(), start=1):
            if CANARY in text:
                verdict.say(f"{part.log_path.name}, line {number} has a prompt in it")
            if text.startswith(_SETUP_ERROR):
                continue
            line = _parse(text)
            if line is None:
                verdict.say(f"{part.log_path.name}, line {number} is no JSON object: {text[:300]}")
            elif "traceback" in line:
                verdict.say(f"{part.log_path.name}, line {number}: {line['message']}\n{line['traceback']}")
            elif line.get("action") == "publish_job":
                published[line["job_id"]] += 1
    for job_id, times in published.items():
        if times > 1:
            verdict.doubled += 1
            verdict.say(f"job {job_id} was published {times} times")


def _parse(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None
