"""What the command line changes in a configuration that was read from a file."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from machineid_conformance.config.errors import ConfigurationError, did_you_mean, shown
from machineid_conformance.config.model import Configuration, Isolation, Profile, Target

COMMAND_LINE = "command line"


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """Each None leaves the file's value; ``strict`` can only be added."""

    profile: str | None = None
    isolation: str | None = None
    speed: str | None = None
    strict: bool = False

    def apply(self, configuration: Configuration) -> Configuration:
        """The configuration with these changes.

        Raises:
            ConfigurationError: a value is none of those that there are.
        """
        profile = self._choice("profile", self.profile, typing.get_args(Profile))
        isolation = self._choice("isolation", self.isolation, typing.get_args(Isolation))
        speed = self._speed()

        def changed(target: Target) -> Target:
            return dataclasses.replace(
                target,
                profile=typing.cast("Profile", profile or target.profile),
                isolation=typing.cast("Isolation", isolation or target.isolation),
                speed=target.speed if speed is None else speed,
                strict=target.strict or self.strict,
            )

        return dataclasses.replace(configuration, targets=tuple(map(changed, configuration.targets)))

    @staticmethod
    def _choice(name: str, value: str | None, among: Sequence[str]) -> str | None:
        if value is not None and value not in among:
            raise ConfigurationError(
                f"found {shown(value)}",
                file=COMMAND_LINE,
                key=name,
                expected="one of " + ", ".join(among),
                hint=did_you_mean(value, among),
            )
        return value

    def _speed(self) -> float | Literal["auto"] | None:
        if self.speed is None or self.speed == "auto":
            return typing.cast("Literal['auto'] | None", self.speed)
        try:
            speed = float(self.speed)
        except ValueError:
            speed = math.nan
        if not (math.isfinite(speed) and speed >= 1):
            raise ConfigurationError(
                f"found {shown(self.speed)}", file=COMMAND_LINE, key="speed", expected="auto, 1, or a factor above 1"
            )
        return speed
