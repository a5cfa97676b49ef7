"""How far a session is: one line that changes on a terminal, one line a tenth of each target in a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TextIO

from machineid_conformance.engine.stream import Message
from machineid_conformance.report.style import Style

ERASE = "\r\x1b[2K"


@dataclass
class Share:
    """How far one target is. ``planned`` may grow once its baselines are known."""

    planned: int = 0
    judged: int = 0
    failing: int = 0
    told: int = 0  # tenths that a log has seen
    running: str = ""

    @property
    def tenths(self) -> int:
        """Whole tenths done."""
        return min(10, self.judged * 10 // self.planned) if self.planned else 0

    @property
    def over(self) -> bool:
        """Whether every planned run was judged."""
        return bool(self.planned) and self.judged >= self.planned


class Progress:
    """Shows the stream's progress on ``stream``. ``live``: rewrite one line, as a terminal can."""

    def __init__(self, stream: TextIO, style: Style, *, live: bool) -> None:
        self._stream = stream
        self._style = style
        self._live = live
        self._shares: dict[str, Share] = {}
        self._shown = False

    def show(self, message: Message) -> None:
        """Take a message in, and show what it changes."""
        payload = message.payload
        if message.kind == "notice":
            self.line(*self._style.labelled("note", str(payload.get("text", "")), indent=0, column=6))
            return
        target = payload.get("target")
        if not isinstance(target, str):
            return
        share = self._shares.setdefault(target, Share())
        if message.kind == "planned":
            first, share.planned = not share.planned, int(payload.get("runs", 0))
            self._plan(target, share, first=first, isolation=payload.get("isolation"), seconds=payload.get("seconds"))
        elif message.kind == "run-started":
            boundary = payload.get("boundary")
            share.running = str(payload["scenario"]) + (f" {boundary}" if boundary is not None else "")
            self._redraw()
        elif message.kind == "run-judged":
            share.judged += 1
            share.failing += any(row.get("outcome") == "fail" for row in payload.get("rules", {}).values())
            self._advance(target, share)

    def _plan(self, target: str, share: Share, *, first: bool, isolation: str | None, seconds: float | None) -> None:
        about = f", about {seconds:.0f} s" if seconds else ""
        where = f", isolation {isolation}" if isolation and first else ""
        word = "run" if share.planned == 1 else "runs"
        self.line(f"{target}: {share.planned} {word}{about}{where}{'' if first else ' now that its baseline is known'}")

    def _advance(self, target: str, share: Share) -> None:
        if self._live:
            self._redraw()
        elif share.tenths > share.told:
            share.told = share.tenths
            done = f"{share.judged} of {share.planned} runs, {share.failing} with violations"
            self.line(f"{target}: {share.tenths * 10:>3} % ({done})")

    def _redraw(self) -> None:
        if not self._live:
            return
        parts = []
        for target, share in self._shares.items():
            if not share.over:
                failing = f", {share.failing} with violations" if share.failing else ""
                parts.append(f"{target} {share.judged}/{share.planned or '?'}{failing}")
        running = next((share.running for share in self._shares.values() if not share.over), "")
        text = "  ".join(parts) + (f"  {self._style.symbol('arrow')} {running}" if running else "")
        self._stream.write(ERASE + self._style.cut(text, self._style.width - 1))
        self._stream.flush()
        self._shown = True

    def line(self, *lines: str) -> None:
        """Write whole lines, above the changing one."""
        self.clear()
        for text in lines:
            self._stream.write(text + "\n")
        self._stream.flush()

    def clear(self) -> None:
        """Take the changing line away."""
        if self._shown:
            self._stream.write(ERASE)
            self._stream.flush()
            self._shown = False
