"""One container: a process that is started, watched, probed, restarted after a pause, and stopped in two steps."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol
from uuid import uuid4

from midwatch_contracts.clock import Clock
from midwatch_lab.kubelet.commands import (
    ContainerConfigError,
    ImageMissingError,
    ProcessCommand,
    context_of,
    environment_of,
    process_environment,
)
from midwatch_lab.kubelet.ended import Ended, last_run
from midwatch_lab.kubelet.logs import ContainerLog
from midwatch_lab.kubelet.probes import Threshold, probe_once
from midwatch_lab.objects import Object, dig, name_of, namespace_of, uid_of
from midwatch_lab.registry.registry import Registry

BACKOFF_START_S: Final = 10.0
BACKOFF_MAX_S: Final = 300.0
_BACKOFF_RESET_S: Final = 600.0
_CONFIG_RETRY_S: Final = 10.0
_CHUNK: Final = 64 * 1024
_LAST_OUTPUT_S: Final = 1.0


class Surroundings(Protocol):
    """What a container needs of its kubelet."""

    registry: Registry
    clock: Clock
    process_command: ProcessCommand
    backoff_start_s: float

    def say(self, pod: Object, kind: str, reason: str, message: str, container: str = "") -> None:
        """Record an event about a pod."""
        ...


class Container:
    """One container of a pod, over all its runs. `changed` is called whenever its status is another."""

    def __init__(self, around: Surroundings, pod: Object, spec: Object, ip: str, changed: Callable[[], None]) -> None:
        self.around = around
        self.pod = pod
        self.spec = spec
        self.ip = ip
        self.changed = changed
        self.name = str(spec["name"])
        self.state: Object = {"waiting": {"reason": "ContainerCreating"}}
        self.last: Ended | None = None
        self.restarts = 0
        self.ready = False
        self.started = False
        self.done = False
        """Whether it has ended for good."""
        self.container_id = ""
        self.log: ContainerLog | None = None
        self.previous_log: ContainerLog | None = None
        self.environment: dict[str, str] = {}
        """The variables of its newest process."""
        self._process: asyncio.subprocess.Process | None = None
        self._over = asyncio.Event()
        self._stopping = asyncio.Event()
        self._backoff = 0.0

    @property
    def status(self) -> Object:
        """The container status of the pod."""
        return {
            "name": self.name,
            "image": self.spec.get("image", ""),
            "imageID": f"midwatch-lab://{self.spec.get('image', '')}",
            "containerID": self.container_id,
            "ready": self.ready,
            "started": self.started,
            "restartCount": self.restarts,
            "state": self.state,
            "lastState": self.last.state if self.last is not None else {},
        }

    def take_over(self, status: Object) -> None:
        """Go on from the status of an earlier life of the lab, with which the container's process ended."""
        self.restarts = int(status.get("restartCount", 0))
        last = dig(status, "lastState", "terminated")
        self.last = Ended.of(last) if last is not None else None
        run = last_run(status, self.around.registry.now_text())
        if run is None:
            return
        self.container_id = run.container_id
        if self._restarts_after(run.code):
            self.last = run
            self.restarts += 1
        else:
            self.state, self.done = run.state, True

    @property
    def process_id(self) -> int | None:
        """The process that leads the container, while it runs."""
        return self._process.pid if self._process is not None else None

    async def write(self, data: bytes) -> None:
        """Send to the standard input of the process."""
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(ConnectionError):
                process.stdin.write(data)
                await process.stdin.drain()

    def end_input(self) -> None:
        """End the standard input of the process."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    async def ended(self) -> None:
        """Return once the run that is under way has ended."""
        await self._over.wait()

    async def run(self) -> None:
        """Run and run again, as the restart policy says, until stopped or done."""
        while not self._stopping.is_set() and not self.done:
            ended = await self._run_once()
            if ended is None:
                await self._pause(_CONFIG_RETRY_S)
                continue
            self.ready = self.started = False
            self.state = ended.state
            self.done = self._stopping.is_set() or not self._restarts_after(ended.code)
            self.changed()
            if self.done:
                return
            await self._back_off(ended)
        self.done = True

    def _restarts_after(self, code: int) -> bool:
        policy = dig(self.pod, "spec", "restartPolicy", default="Always")
        return policy == "Always" or (policy == "OnFailure" and code != 0)

    async def _run_once(self) -> Ended | None:
        try:
            given = environment_of(self.around.registry, self.pod, self.spec, self.ip)
        except ContainerConfigError as error:
            self._wait("CreateContainerConfigError", str(error))
            self.around.say(self.pod, "Warning", "Failed", f"Error: {error}", self.name)
            return None
        self.environment = process_environment(self.spec, given)
        self.environment = {"HOSTNAME": name_of(self.pod), "MIDWATCH_POD_IP": self.ip, **self.environment}
        try:
            command = self.around.process_command(context_of(self.pod, self.spec, self.ip, given))
        except ImageMissingError as error:
            self._wait("ImagePullBackOff", f'Back-off pulling image "{error}": not found')
            self.around.say(self.pod, "Warning", "Failed", f'Failed to pull image "{error}": not found', self.name)
            return None
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=self.environment,
                cwd="/",
                process_group=0,
            )
        except OSError as error:
            self._wait("CreateContainerError", str(error))
            self.around.say(self.pod, "Warning", "Failed", f"Error: {error}", self.name)
            return None
        return await self._watch(process)

    async def _watch(self, process: asyncio.subprocess.Process) -> Ended:
        self._process = process
        self._over.clear()
        started = self.around.registry.now_text()
        self.container_id = f"midwatch-lab://{uuid4().hex}"
        self.previous_log, self.log = self.log, ContainerLog()
        self.state = {"running": {"startedAt": started}}
        self.started = "startupProbe" not in self.spec
        self.ready = self.started and "readinessProbe" not in self.spec
        self.around.say(self.pod, "Normal", "Created", f"Container created: {self.name}", self.name)
        self.around.say(self.pod, "Normal", "Started", f"Container started (process {process.pid})", self.name)
        self.changed()
        reading = asyncio.create_task(self._read(process, self.log))
        probing = asyncio.create_task(self._probe(process))
        if self._stopping.is_set():
            _signal(process, signal.SIGTERM)
        try:
            code = await process.wait()
        finally:
            probing.cancel()
            _signal(process, signal.SIGKILL)
            # Also where this was cancelled: a process that nobody has waited for would outlive the loop.
            gone = asyncio.create_task(process.wait())
            await asyncio.wait((reading, probing, gone), timeout=_LAST_OUTPUT_S)
            reading.cancel()
            self.log.close()
            self._process = None
            self._over.set()
        code = code if code >= 0 else 128 - code
        return Ended(code, started, self.around.registry.now_text(), self.container_id)

    async def _read(self, process: asyncio.subprocess.Process, log: ContainerLog) -> None:
        if process.stdout is None:
            return
        rest = b""
        while chunk := await process.stdout.read(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _CHUNK:
                lines, rest = [*lines, rest], b""
            for line in lines:
                log.append(self.around.clock.now(), line.decode(errors="replace"))
        if rest:
            log.append(self.around.clock.now(), rest.decode(errors="replace"))

    async def _probe(self, process: asyncio.subprocess.Process) -> None:
        if "startupProbe" in self.spec and not await self._start_up(process):
            return
        kinds = [self._readiness() if "readinessProbe" in self.spec else None]
        kinds.append(self._liveness(process) if "livenessProbe" in self.spec else None)
        await asyncio.gather(*(kind for kind in kinds if kind is not None))

    async def _start_up(self, process: asyncio.subprocess.Process) -> bool:
        probe: Object = self.spec["startupProbe"]
        threshold = Threshold.of(probe, initial=True)
        await self.around.clock.sleep(float(probe.get("initialDelaySeconds", 0)))
        while not await self._probed("Startup", probe):
            if not threshold.add(ok=False):
                self._kill_unhealthy(process, "startup")
                return False
            await self.around.clock.sleep(float(probe["periodSeconds"]))
        self.started = True
        self.ready = "readinessProbe" not in self.spec
        self.changed()
        return True

    async def _readiness(self) -> None:
        probe: Object = self.spec["readinessProbe"]
        threshold = Threshold.of(probe, initial=False)
        await self.around.clock.sleep(float(probe.get("initialDelaySeconds", 0)))
        while True:
            verdict = threshold.add(ok=await self._probed("Readiness", probe))
            if verdict != self.ready:
                self.ready = verdict
                self.changed()
            await self.around.clock.sleep(float(probe["periodSeconds"]))

    async def _liveness(self, process: asyncio.subprocess.Process) -> None:
        probe: Object = self.spec["livenessProbe"]
        threshold = Threshold.of(probe, initial=True)
        await self.around.clock.sleep(float(probe.get("initialDelaySeconds", 0)))
        while threshold.add(ok=await self._probed("Liveness", probe)):
            await self.around.clock.sleep(float(probe["periodSeconds"]))
        self._kill_unhealthy(process, "liveness")

    async def _probed(self, kind: str, probe: Object) -> bool:
        outcome = await probe_once(probe, self.spec, self.ip)
        if not outcome.ok and not self._stopping.is_set():
            self.around.say(self.pod, "Warning", "Unhealthy", f"{kind} probe failed: {outcome.why}", self.name)
        return outcome.ok

    def _kill_unhealthy(self, process: asyncio.subprocess.Process, kind: str) -> None:
        text = f"Container {self.name} failed {kind} probe, will be restarted"
        self.around.say(self.pod, "Normal", "Killing", text, self.name)
        grace = float(dig(self.pod, "spec", "terminationGracePeriodSeconds", default=30))
        _signal(process, signal.SIGTERM)
        asyncio.get_running_loop().call_later(grace, _signal, process, signal.SIGKILL)

    async def _back_off(self, ended: Ended) -> None:
        self.last = ended
        if self._backoff:
            where = f"{name_of(self.pod)}_{namespace_of(self.pod)}({uid_of(self.pod)})"
            text = f"back-off {self._backoff:g}s restarting failed container={self.name} pod={where}"
            self._wait("CrashLoopBackOff", text)
            event = f"Back-off restarting failed container {self.name} in pod {where}"
            self.around.say(self.pod, "Warning", "BackOff", event, self.name)
            await self._pause(self._backoff)
        self._backoff = min(BACKOFF_MAX_S, self._backoff * 2 or self.around.backoff_start_s)
        self.restarts += 1

    def _wait(self, reason: str, message: str) -> None:
        self.state = {"waiting": {"reason": reason, "message": message}}
        self.changed()

    async def _pause(self, seconds: float) -> None:
        sleeping = asyncio.ensure_future(self.around.clock.sleep(seconds))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((sleeping, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            stopping.cancel()

    def ask_to_stop(self) -> None:
        """Send SIGTERM, and start no further run."""
        self._stopping.set()
        if self._process is not None:
            _signal(self._process, signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the process and all that it started."""
        self._stopping.set()
        if self._process is not None:
            _signal(self._process, signal.SIGKILL)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signal a process that leads a group; SIGKILL goes to the whole group, so that nothing is left behind."""
    with suppress(ProcessLookupError):
        if number is signal.SIGKILL:
            os.killpg(process.pid, number)
        elif process.returncode is None:
            process.send_signal(number)
