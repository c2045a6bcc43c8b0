"""The sites of an image, as a recording knows them. Pure."""

from __future__ import annotations

from gdbleak.architectures import X86_64
from gdbleak.inline.model import Image, InlinePlan, Site
from gdbleak.recording.phases import Phase
from gdbleak.recording.probes import Probe, Role
