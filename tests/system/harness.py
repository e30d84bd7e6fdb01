# SPDX-License-Identifier: MIT
"""
Boots VMs through the real command-line tools and talks to them the way an operator does.

Every test file is run as `FILE BACKEND CPUS [checked]`; BACKEND is kvm, tcg or libvirt; `checked`
boots the checked edition of the cells. The build directory comes in THESEUS_BUILD. Every VM has a name of its own, so tests do not meet.
"""
import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile

BUILD = pathlib.Path(os.environ["THESEUS_BUILD"])
CTL = BUILD / "ctl" / "theseusctl"
CELLS = BUILD / "cells"
GUEST = BUILD / "guest" / "theseus.elf"
LIMIT = int(os.environ.get("THESEUS_TEST_LIMIT", "120"))  # seconds for one command
SKIP = 77
CHECKED = "checked" in sys.argv[3:]


class Refused(AssertionError):
    """A command ended otherwise than the test expects."""


def bundle(name):
    """The bundle `name` in the edition under test."""
    return CELLS / f"{name}{'-checked' if CHECKED else ''}.cells"


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIP)


def kvm_usable():
    """Does KVM_CREATE_VM work here? Then KVM tests must run."""
    import fcntl
    try:
        fd = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return False, f"/dev/kvm: {error.strerror}"
    try:
        vm = fcntl.ioctl(fd, 0xAE01, 0)  # KVM_CREATE_VM
        os.close(vm)
        return True, ""
    except OSError as error:
        return False, f"KVM_CREATE_VM: {error.strerror}"
    finally:
        os.close(fd)


class Result:
    def __init__(self, process, out, err):
        self.args = process.args
        self.pid = process.pid
        self.status = process.returncode
        self.out = out
        self.err = err

    @property
    def json(self):
        return json.loads(self.out)

    def __str__(self):
        return f"{' '.join(map(str, self.args))} -> {self.status}\n  stdout: {self.out[-2000:]}\n  stderr: {self.err[-2000:]}"


class Sandbox:
    """A scratch folder and the names of this test's VMs; ends and removes what is left of them."""

    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="theseus-test-"))
        self.env = dict(os.environ, THESEUS_VMM=str(BUILD / "vmm" / "theseus-vmm"), THESEUS_GUEST=str(GUEST),
                        THESEUS_BUNDLE=str(bundle("boot")))
        self.env.pop("THESEUS_VM", None)
        # What a sanitizer has to say of a detached theseus-vmm must not get lost.
        self.env["ASAN_OPTIONS"] = f"detect_leaks=1:exitcode=99:log_path={self.root}/sanitizer"
        self.env["UBSAN_OPTIONS"] = f"print_stacktrace=1:halt_on_error=1:log_path={self.root}/sanitizer"
        if os.geteuid() == 0:
            self.runtime, self.state = pathlib.Path("/run/theseus"), pathlib.Path("/var/lib/theseus")
        else:
            for variable in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
                place = self.root / variable
                place.mkdir(mode=0o700)
                self.env[variable] = str(place)
            self.runtime = self.root / "XDG_RUNTIME_DIR" / "theseus"
            self.state = self.root / "XDG_STATE_HOME" / "theseus"
        self.names = []

    def name(self, word):
        """A VM name that no other test has."""
        self.names.append(f"test-{os.getpid()}-{word}")
        return self.names[-1]

    def ctl(self, *args, status=0, limit=LIMIT, input=None):
        """Runs theseusctl; `status` is the expected exit status (None = any)."""
        argv = [str(CTL), *map(str, args)]
        with subprocess.Popen(argv, env=self.env, text=True, stdin=None if input is None else subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                result = Result(process, *process.communicate(input, limit))
            except BaseException:
                process.kill()
                raise
        if status is not None and result.status != status:
            raise Refused(f"expected exit status {status}: {result}")
        return result

    def sanitizer_reports(self):
        return "\n".join(path.read_text(errors="replace") for path in self.root.glob("sanitizer*"))

    def close(self, failed=False):
        for name in self.names:
            with contextlib.suppress(ValueError, IndexError, ProcessLookupError, FileNotFoundError):
                os.kill(int((self.runtime / name / "pid").read_text().split()[0]), 9)
            if failed:
                for log in sorted((self.state / name).glob("*.log")):
                    print(f"--- {log} (last lines) ---")
                    print("\n".join(log.read_text(errors="replace").splitlines()[-60:]))
            shutil.rmtree(self.runtime / name, ignore_errors=True)
            shutil.rmtree(self.state / name, ignore_errors=True)
        shutil.rmtree(self.root, ignore_errors=True)


class Vm:
    """A running guest. `ctl` speaks to it; `target` are the options that select it."""

    def __init__(self, backend, cpus, sandbox, mem=128, word="vm"):
        self.backend, self.cpus, self.sandbox, self.name = backend, cpus, sandbox, sandbox.name(word)
        self.calling = False
        if backend == "libvirt":
            import libvirt_domain
            self.domain = libvirt_domain.Domain(sandbox, self.name, cpus, mem)
            self.target = ["--domain", self.domain.name, "--connect", self.domain.uri]
            self.started = None
        else:
            self.domain = None
            self.target = ["-n", self.name]
            self.started = sandbox.ctl("-n", self.name, "run", "--accel", backend, "--cpus", cpus,
                                       "--mem", mem, "--detach", "--json").json

    def ctl(self, *args, **kwargs):
        return self.sandbox.ctl(*self.target, *args, **kwargs)

    def json(self, *args, **kwargs):
        return self.ctl("--json", *args, **kwargs).json

    def exec(self, *command):
        return self.json("exec", *command)["output"]

    def error(self, *args, status):
        """Runs a command that must fail with `status`; its JSON error."""
        result = self.ctl("--json", *args, status=status)
        error = json.loads((result.out or result.err).strip().splitlines()[-1])
        if error.get("schema") != "theseus.error/1" or not error.get("code") or not error.get("message"):
            raise Refused(f"not an error object: {result}")
        return error

    @contextlib.contextmanager
    def standing_still(self):
        """Neither the guest nor what speaks for it does anything meanwhile."""
        if self.domain:
            self.domain.suspend()
        else:
            os.kill(self.started["pid"], signal.SIGSTOP)
        try:
            yield
        finally:
            if self.domain:
                self.domain.resume()
            else:
                os.kill(self.started["pid"], signal.SIGCONT)

    def memory_used(self):
        """
        Bytes in use. `status` first gives back what the heap of the agent's CPU keeps for speed;
        the least of several readings is without the other CPUs' too.
        """
        return min(self.json("status")["memory_used_bytes"] for _ in range(8 * self.cpus))

    def held(self):
        """What must be the same again: bytes and blocks that live in the heap, frames of all else."""
        least = None
        for _ in range(8 * self.cpus):
            free = dict(line.split("=") for line in self.exec("free").splitlines() if "=" in line)
            now = (int(free["heap_bytes"]), int(free["heap_objects"]), int(free["frames_used"]) - int(free["heap_pages"]))
            least = min(least or now, now)
        return least

    def counts(self):
        """The caller cells' counts: {'wrong': 0, 'lost': 0, 'total': n, 'versions': {...}}."""
        counts = {"versions": {}}
        for line in self.exec("caller-counts").splitlines():
            words = dict(word.split("=", 1) for word in line.split() if "=" in word)
            if "version" in words:
                counts["versions"][words["version"]] = int(words["calls"])
            else:
                counts.update({key: int(value) for key, value in words.items()})
        return counts

    def callers(self, run):
        """Has every CPU call the greeter from now on, or no more."""
        self.exec("callers", "run" if run else "rest")
        self.calling = run

    def still_serving(self):
        """The running cells go on: callers advance and no answer was wrong or missed."""
        calling = self.calling
        self.callers(True)
        before = self.counts()
        after = self.counts()
        while after["total"] == before["total"]:
            after = self.counts()
        for key in ("wrong", "lost"):
            if after[key]:
                raise Refused(f"caller says {key}={after[key]}")
        self.callers(calling)
        return after

    def stop(self):
        if self.domain:
            self.domain.stop()
        else:
            # Its leaks are reported as it exits, after the answer to `stop`.
            ended = os.pidfd_open(self.started["pid"])
            self.ctl("stop")
            expect(select.select([ended], [], [], LIMIT)[0], "theseus-vmm did not exit")
            os.close(ended)


def expect(condition, what):
    if not condition:
        raise Refused(what)


def main(test, mem=128):
    """Runs test(vm, sandbox) for the backend and CPU count of the command line."""
    backend, cpus = sys.argv[1], int(sys.argv[2])
    if backend == "kvm":
        usable, reason = kvm_usable()
        if not usable:
            skip(f"KVM cannot be used here: {reason}")
    if backend == "libvirt":
        import libvirt_domain
        libvirt_domain.require()
    sandbox = Sandbox()
    failed = True
    try:
        vm = Vm(backend, cpus, sandbox, mem)
        test(vm, sandbox)
        vm.stop()
        reports = sandbox.sanitizer_reports()
        expect(not reports, f"a sanitizer reports:\n{reports}")
        failed = False
    finally:
        sandbox.close(failed)
