"""The run folder: artefacts and records, written atomically, checked by hash.

    config.yaml      what was asked for, resolved; itself a config
    run.json         versions, seed, command, git commit and dirty state
    records/STAGE.json   what a stage depended on, wrote and found
    data/, models/, tflite/, ...     artefacts
    partial/         what unfinished stages wrote; safe to delete

A stage is finished when its record stands, and its record stands only after
its artefacts do. So a run may be killed at any moment.
"""

import contextlib
import hashlib
import json
import os
import shutil
import time

import filelock


class FolderInUse(RuntimeError):
    """Another run is at work in the same folder."""


class Workdir:
    """One run folder.

    Args:
        path: The folder; made when it is locked, if it does not exist.
    """

    def __init__(self, path):
        self.path = os.path.abspath(path)

    @contextlib.contextmanager
    def locked(self):
        """Keeps other runs out; the lock dies with the process.

        Raises:
            FolderInUse: if another run holds it.
        """
        os.makedirs(self.path, exist_ok=True)
        lock = filelock.FileLock(os.path.join(self.path, ".lock"))
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise FolderInUse(
                f"{self.path} is in use. Allowed: one run in a folder at a "
                "time; wait for it, or give --workdir. Received: a second run"
            ) from error
        with lock:
            yield

    def file(self, name):
        """Absolute path of an artefact."""
        return os.path.join(self.path, name)

    def write_text(self, name, text):
        """Writes a file so that it is there whole or not at all."""
        path = self.file(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        partial = f"{path}.partial"
        with open(partial, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)

    def partial(self, stage, key):
        """Folder for what a stage writes before it is finished.

        What an earlier attempt left there is kept if it had the same key.
        """
        folder = os.path.join(self.path, "partial", stage)
        wanted = os.path.join(folder, digest(key)[:16])
        if os.path.isdir(folder):
            for name in os.listdir(folder):
                if os.path.join(folder, name) != wanted:
                    shutil.rmtree(os.path.join(folder, name))
        os.makedirs(wanted, exist_ok=True)
        return wanted

    def finish(self, stage, key, artefacts, result, seconds):
        """Moves artefacts to their places, then writes the record.

        Args:
            stage: Name of the stage.
            key: What the stage depended on.
            artefacts: {name in the run folder: path where it was written}.
            result: What the stage found; JSON.
            seconds: How long it took.
        """
        # What an earlier config left must not pass for this one's.
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

    def record(self, stage):
        """The record of a finished stage, or None."""
        try:
            with open(self.file(_record_name(stage))) as file:
                record = json.load(file)
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return record if record.keys() >= {"key", "artefacts"} else None

    def why_not_valid(self, stage, key):
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


def outcome(record):
    """One hash for all that later stages can see of a stage."""
    return digest([record["artefacts"], record["result"]])


def digest(value):
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path):
    sha256 = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            sha256.update(chunk)
    return sha256.hexdigest()


def hash_folder(path):
    """Of the names, sizes and dates of all files; they are not read."""
    found = []
    for folder, _, files in os.walk(path, followlinks=True):
        for file in files:
            status = os.stat(os.path.join(folder, file))
            name = os.path.relpath(os.path.join(folder, file), path)
            found.append([name, status.st_size, status.st_mtime_ns])
    return digest(sorted(found))


def _record_name(stage):
    return os.path.join("records", f"{stage}.json")


def _first_change(old, new):
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            if name.startswith(("after ", "file ")):
                return f"{name.split(' ', 1)[1]} has changed"
            return f"{name} was {old.get(name)}, is {new.get(name)}"
    return None
