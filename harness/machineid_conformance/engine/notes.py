"""What a world saw of its processes, as events of the trace: output by the line, ends, files, datagrams, refused connects."""

from __future__ import annotations

import fnmatch
import re

from machineid_conformance.engine.director import RunDirector
from machineid_conformance.engine.instance import Instance
from machineid_conformance.isolation.api import (
    AllGone,
    ConnectRefused,
    DatagramSeen,
    FileTouched,
    MainExited,
    OutputChunk,
    WorldEvent,
)
from machineid_conformance.isolation.lines import LineSplitter
from machineid_conformance.trace.events import (
    Datagram,
    EffectAnswered,
    EffectStarted,
    Exited,
    FaultWithheld,
    Gone,
    Output,
)


class Notes:
    """Takes notes of one run."""

    def __init__(self, director: RunDirector) -> None:
        self._director = director

    def take(self, instance: Instance, event: WorldEvent) -> None:
        """Write one event of an instance's world into the trace."""
        director = self._director
        if isinstance(event, OutputChunk):
            self._output(instance, event)
        elif isinstance(event, MainExited):
            instance.exited, instance.left = True, event.left
            director.record(
                Exited(
                    instance=instance.number, start=event.start, code=event.code, signal=event.signal,
                    by="harness" if director.closing else "target", left=event.left,
                )
            )  # fmt: skip
            director.progress.ring(director.clock())
        elif isinstance(event, AllGone):
            instance.gone = True
            self.flush(instance)
            director.record(
                Gone(
                    instance=instance.number, start=event.start, by="harness" if instance.killed else "target",
                    killed=instance.killed,
                )
            )  # fmt: skip
            director.progress.bell.set()
        elif isinstance(event, FileTouched):
            self._file_effect(instance, event)
        elif isinstance(event, ConnectRefused):
            self._connect_refused(instance)
        elif isinstance(event, DatagramSeen):
            director.record(Datagram(instance=instance.number, host=event.host, port=event.port, size=event.size))

    def _connect_refused(self, instance: Instance) -> None:
        if instance.gate is None:
            self._director.connect_refused(instance.number)
        elif (also := instance.gate.refused()) is not None:
            self._director.connect_refused(instance.number, also=also)
        else:
            why = "a connect was refused, and Toxiproxy's proxy was not down"
            self._director.record(FaultWithheld(fault="refuse", variant=None, why=why))

    def _output(self, instance: Instance, chunk: OutputChunk) -> None:
        splitter = instance.splitters.setdefault((chunk.start, chunk.stream), LineSplitter())
        lines = list(splitter.feed(chunk.data))
        if chunk.last:
            lines += splitter.flush()
        for line in lines:
            self._line(instance, chunk.start, chunk.stream, line.text, continues=line.continues)

    def flush(self, instance: Instance) -> None:
        """Write what the instance printed since its last line's end."""
        for (start, stream), splitter in instance.splitters.items():
            for line in splitter.flush():
                self._line(instance, start, stream, line.text, continues=line.continues)

    def _line(self, instance: Instance, start: int, stream: str, text: str, *, continues: bool) -> None:
        self._director.record(
            Output(instance=instance.number, start=start, stream=stream, text=text, continues=continues)
        )
        for number, rule in enumerate(instance.target.effects):
            if rule.match.stdout is not None and stream == "stdout" and re.search(rule.match.stdout, text):
                self._silent_effect(instance, number, transport_output=True, path=None)
                return

    def _file_effect(self, instance: Instance, event: FileTouched) -> None:
        for number, rule in enumerate(instance.target.effects):
            pattern = rule.match.file
            if pattern is None or event.how == "removed" or not fnmatch.fnmatchcase(event.path, pattern):
                continue
            writes, file = self._director.writes, (instance.number, event.path)
            if event.how == "closed":
                writes.close(file)
            elif writes.begins(file):
                self._silent_effect(instance, number, transport_output=False, path=event.path)
            return

    def _silent_effect(self, instance: Instance, number: int, *, transport_output: bool, path: str | None) -> None:
        """An effect that cannot be held or answered: a declared output line, a file."""
        director, rule = self._director, instance.target.effects[number]
        effect = director.record(
            EffectStarted(
                effect=director.next_effect(), instance=instance.number, role=rule.role or "side-effect",
                label=rule.label or (f"write {path}" if path else "output line"),
                transport="output" if transport_output else "file",
                device=rule.device or instance.device or director.subject_device(), path=path, rule=number, group=rule.group,
            )
        )  # fmt: skip
        director.count_silent(effect)
        director.record(EffectAnswered(effect=effect.effect, status=None))
