"""The run folder: artefacts and records, written atomically, checked by hash.

    config.yaml      the resolved config; itself a config
    run.json         versions, seed, command, git commit and dirty state
    records/STAGE.json   what a stage depended on, its artefacts, its result
    data/, models/, tflite/, ...     artefacts
    partial/         what unfinished stages wrote; safe to delete

A record is written only after all artefacts of its stage, so that a run may
be killed at any moment.
"""

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from typing import Any

import filelock

_KEYS = {"key", "artefacts", "result", "seconds"}  # of a record


class FolderInUseError(RuntimeError):
    """Another run is at work in the same folder."""


class Workdir:
    """One run folder.

    Args:
        path: The folder; made when it is locked, if it does not exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other runs out; the lock dies with the process.

        Raises:
            FolderInUseError: if another run holds it.
        """
        os.makedirs(self.path, exist_ok=True)
        lock = filelock.FileLock(os.path.join(self.path, ".lock"))
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise FolderInUseError(
                f"{self.path} is in use by another run. Wait for it, or give "
                "--workdir. Received: a second run"
            ) from error
        with lock:
            yield

    def file(self, name: str) -> str:
        """Absolute path of an artefact."""
        return os.path.join(self.path, name)

    def write_text(self, name: str, text: str) -> None:
        """Writes a file so that it is there whole or not at all."""
        path = self.file(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        partial = f"{path}.partial"
        with open(partial, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)

    def partial(self, stage: str, key: Mapping[str, Any]) -> str:
        """Folder for what a stage writes before it is finished.

        The files of an earlier attempt are kept if it had the same key.
        """
        folder = os.path.join(self.path, "partial", stage)
        wanted = os.path.join(folder, digest(key)[:16])
        if os.path.isdir(folder):
            for name in os.listdir(folder):
                if os.path.join(folder, name) != wanted:
                    shutil.rmtree(os.path.join(folder, name))
        os.makedirs(wanted, exist_ok=True)
        return wanted

    def finish(
        self,
        stage: str,
        key: Mapping[str, Any],
        artefacts: Mapping[str, str],
        result: Any,
        seconds: float,
    ) -> dict[str, Any]:
        """Moves artefacts to their places, then writes the record.

        Args:
            stage: Name of the stage.
            key: What the stage depended on.
            artefacts: {name in the run folder: path where it was written}.
            result: Record of the stage, as JSON has it.
            seconds: How long it took.
        """
        # Artefacts of an earlier config must not pass for this one's.
        before = (self.record(stage) or {}).get("artefacts", {})
        for name in before.keys() - artefacts.keys():
            with contextlib.suppress(FileNotFoundError):
                os.remove(self.file(name))
        hashes = {}
        for name, path in artefacts.items():
            hashes[name] = hash_file(path)
            os.makedirs(os.path.dirname(self.file(name)), exist_ok=True)
            os.replace(path, self.file(name))
        record = {
            "stage": stage,
            "key": key,
            "artefacts": hashes,
            "result": result,
            "seconds": round(seconds, 2),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        self.write_text(_record_name(stage), json.dumps(record, indent=1))
        # What cannot be removed now is removed before the stage runs again.
        partial = os.path.join(self.path, "partial", stage)
        shutil.rmtree(partial, ignore_errors=True)
        return record

    def record(self, stage: str) -> dict[str, Any] | None:
        """The record of a finished stage, or None."""
        try:
            path = self.file(_record_name(stage))
            with open(path, encoding="utf-8") as file:
                record = json.load(file)
        except (FileNotFoundError, ValueError):
            return None
        is_whole = isinstance(record, dict) and record.keys() >= _KEYS
        return record if is_whole else None

    def finished(self, stage: str) -> dict[str, Any]:
        """The record of a stage that is known to be finished.

        Raises:
            KeyError: if it is not.
        """
        record = self.record(stage)
        if record is None:
            raise KeyError(f"stage '{stage}' is not finished")
        return record

    def reason_to_run(self, stage: str, key: Mapping[str, Any]) -> str | None:
        """Why a stage must run (again), or None if it need not."""
        record = self.record(stage)
        if record is None:
            return "not done yet"
        change = _first_change(record["key"], key)
        if change:
            return change
        for name, expected in record["artefacts"].items():
            if not os.path.isfile(self.file(name)):
                return f"{name} is missing"
            if hash_file(self.file(name)) != expected:
                return f"{name} is corrupted"
        return None


def outcome(record: Mapping[str, Any]) -> str:
    """One hash for all that later stages can see of a stage."""
    return digest([record["artefacts"], record["result"]])


def digest(value: Any) -> str:
    """Hash of JSON, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: str) -> str:
    """SHA-256 of a file's content."""
    sha256 = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            sha256.update(chunk)
    return sha256.hexdigest()


def hash_folder(path: str) -> str:
    """Hash of the names, sizes and dates of all files; they are not read."""
    entries = []
    for folder, _, files in os.walk(path, followlinks=True):
        for file in files:
            status = os.stat(os.path.join(folder, file))
            name = os.path.relpath(os.path.join(folder, file), path)
            entries.append([name, status.st_size, status.st_mtime_ns])
    return digest(sorted(entries))


def _record_name(stage: str) -> str:
    return os.path.join("records", f"{stage}.json")


def _first_change(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            if name.startswith(("after ", "file ", "code ")):
                return f"{name.split(' ', 1)[1]} has changed"
            return f"{name} was {old.get(name)}, is {new.get(name)}"
    return None
