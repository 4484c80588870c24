"""What was measured and checked: lines of JSON while sections run, so that one that hangs or crashes takes nothing with
it; in the end one document and a table."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Optional

FORMAT_VERSION = 1


class Results:
    """Of one run. Each section is a process of its own: it reads the lines of those before it, and appends."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._records: list[dict[str, Any]] = []
        self._section = ""
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self._records = [json.loads(line) for line in file]

    def begin(self, section: str) -> None:
        self._section = section

    def machine(self, **facts: Any) -> None:
        self._add("machine", facts, "  " + "  ".join(f"{name}: {value}" for name, value in facts.items()))

    def check(self, what: str, passed: bool, detail: str = "") -> None:
        text = f"  {'ok   ' if passed else 'WRONG'} {what}{f': {detail}' if detail else ''}"
        self._add("check", {"what": what, "passed": passed, "detail": detail}, text)

    def row(
        self,
        what: str,
        value: float,
        unit: str,
        ceiling: Optional[str] = None,
        target: Optional[str] = None,
        note: str = "",
    ) -> None:
        """unit: "GB/s" (10⁹ bytes), "s", "ms", "B". ceiling: `what` of an earlier row; where that is absent, so is the
        ratio. target: of the ratio."""
        base = None if ceiling is None else self.value(ceiling)
        ratio = value / base if base else None
        row = {"what": what, "value": value, "unit": unit, "ceiling": ceiling, "ratio": ratio}
        self._add("row", {**row, "target": target, "note": note}, f"  {_row_text(row)}{f'  ({note})' if note else ''}")

    def skip(self, what: str, reason: str) -> None:
        self._add("skip", {"what": what, "reason": reason}, f"  skipped: {what}: {reason}")

    def fail(self, what: str, reason: str) -> None:
        self._add("failure", {"what": what, "reason": reason}, f"  FAILED: {what}: {reason}")

    def value(self, what: str) -> Optional[float]:
        return next((float(row["value"]) for row in self.all("row") if row["what"] == what), None)

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [record["fields"] for record in self._records if record["kind"] == kind]

    @property
    def are_good(self) -> bool:
        return all(check["passed"] for check in self.all("check")) and not self.all("failure")

    def document(self, started: float) -> dict[str, Any]:
        return {
            "formatVersion": FORMAT_VERSION,
            "kind": "gpu",
            "startedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            "durationSeconds": round(time.time() - started),
            "machine": {name: value for facts in self.all("machine") for name, value in facts.items()},
            "checks": self.all("check"),
            "rows": self.all("row"),
            "skipped": self.all("skip"),
            "failures": self.all("failure"),
        }

    def table(self) -> str:
        """Markdown, aligned so that it reads well in a terminal too."""
        head = ["what", "figure", "ceiling", "ratio", "target"]
        rows = self.all("row")
        body = [[row["what"], _figure(row), row["ceiling"] or "", _ratio(row), row["target"] or ""] for row in rows]
        widths = [max(len(line[column]) for line in [head, *body]) for column in range(len(head))]
        lines = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths)) for line in [head, *body]]
        rule = "|".join("-" * (width + 2) for width in widths)
        checks = self.all("check")
        wrong = [check for check in checks if not check["passed"]]
        return "\n".join(
            [
                *([f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:]), ""] if body else []),
                f"{len(checks) - len(wrong)} of {len(checks)} checks passed",
                *(f"- WRONG: {check['what']}: {check['detail']}" for check in wrong),
                *(f"- FAILED: {failure['what']}: {failure['reason']}" for failure in self.all("failure")),
                *(f"- skipped: {skip['what']}: {skip['reason']}" for skip in self.all("skip")),
            ]
        )

    def _add(self, kind: str, fields: dict[str, Any], text: str) -> None:
        print(text, flush=True)
        record = {"kind": kind, "fields": {"section": self._section, **fields} if kind != "machine" else fields}
        self._records.append(record)
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _row_text(row: dict[str, Any]) -> str:
    held = "" if row["ratio"] is None else f"  {_ratio(row)} × {row['ceiling']}"
    return f"{row['what']:<56} {_figure(row):>12}{held}"


def _figure(row: dict[str, Any]) -> str:
    value = row["value"]
    return f"{value:.0f} {row['unit']}" if value >= 1000 else f"{value:.3g} {row['unit']}"


def _ratio(row: dict[str, Any]) -> str:
    return "" if row["ratio"] is None else f"{row['ratio']:.2f}"
