"""One stage for one model, in a process of its own: what kills it, kills nothing else.

Run as a module with one argument, a JSON object: "stage" ("files" or "timing"), "settings", "folder", and for the
timing "report", "threads" and "repeats". It writes folder/answer.json: what the stage returned, or {"error": ...}.
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

from tools.errors import InputError
from tools.files import write_json
from tools.quiet import import_tensorflow_quietly

ANSWER = "answer.json"


def main(job: dict[str, Any]) -> None:
    """Does the work and writes the answer."""
    import_tensorflow_quietly()
    folder = pathlib.Path(job["folder"])
    name = job["settings"]["model"]

    def tell(line: str) -> None:
        print(f"{name}: {line}", file=sys.stderr, flush=True)

    try:
        if job["stage"] == "files":
            from apps.action_recognition.comparison.files import make

            answer = make(job["settings"], folder, tell)
        else:
            from apps.action_recognition.comparison.timing import measure

            answer = measure(
                job["settings"], job["report"], folder, threads=job["threads"], repeats=job["repeats"], tell=tell
            )
    except Exception as error:
        # Whatever it is, it is what the table says of this model.
        answer = {"error": _reason(error)}
    write_json(folder / ANSWER, answer)


def _reason(error: Exception) -> str:
    first = str(error).strip().partition("\n")[0]
    return first if isinstance(error, InputError | OSError) else f"{type(error).__name__}: {first}"


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except KeyboardInterrupt:
        # The command, interrupted at the same moment, says so.
        sys.exit(1)
