# SPDX-License-Identifier: MIT
"""A libvirt domain made from examples/libvirt/theseus.xml, with daemons of our own if none run."""
import grp
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ET

import harness

URI = "qemu:///system"
XML = harness.BUILD / "examples" / "libvirt" / "theseus.xml"


def virsh(*args, check=True, limit=60):
    return subprocess.run(["virsh", "-q", "-c", URI, *args], capture_output=True, text=True,
                          timeout=limit, check=check)


def start_libvirtd():
    """
    libvirt probes QEMU anew at every look, which takes minutes, while root may open /dev/kvm but the
    user that QEMU runs as may not. The daemon of the tests then runs QEMU as root: the configuration
    is laid over the host's in a mount namespace of that daemon alone.
    """
    try:
        node = os.stat("/dev/kvm")
        usable = node.st_mode & 0o006 == 0o006 or (node.st_mode & 0o060 == 0o060
                                                    and node.st_gid == grp.getgrnam("kvm").gr_gid)
    except (OSError, KeyError):
        usable = True
    command = ["libvirtd", "-d"]
    if not usable:
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
            conf.write('user = "root"\ngroup = "root"\n')
            conf.flush()
            command = ["unshare", "-m", "sh", "-c",
                       'mount --bind "$1" /etc/libvirt/qemu.conf && exec libvirtd -d', "sh", conf.name]
            subprocess.run(command, check=False, capture_output=True)
        return
    subprocess.run(command, check=False, capture_output=True)


def require():
    """Skips with the reason where libvirt cannot run; starts its daemons where it can."""
    if os.getuid() != 0:
        harness.skip("qemu:///system needs root here")
    for tool in ("virsh", "virtlogd", "libvirtd"):
        if not shutil.which(tool):
            harness.skip(f"{tool} is not installed")
    if virsh("uri", check=False).returncode == 0:
        return
    # Another test may be starting them too: a second daemon sees the first one's lock and ends.
    subprocess.run(["virtlogd", "-d"], check=False, capture_output=True)
    start_libvirtd()
    end = time.monotonic() + 60
    while virsh("uri", check=False).returncode != 0:  # each try blocks in connect
        if time.monotonic() > end:
            raise RuntimeError("libvirtd did not come up")


class Domain:
    def __init__(self, sandbox, name, cpus, mem):
        self.uri = URI
        self.name = f"theseus-{name}"
        tree = ET.parse(XML)
        root = tree.getroot()
        root.find("name").text = self.name
        for old in root.findall("uuid"):
            root.remove(old)
        root.find("vcpu").text = str(cpus)
        memory = root.find("memory")
        memory.set("unit", "MiB")
        memory.text = str(mem)
        current = root.find("currentMemory")
        if current is not None:
            root.remove(current)
        cmdline = root.find("os/cmdline")
        words = [w for w in (cmdline.text or "").split() if not w.startswith("cpus=")]
        cmdline.text = " ".join([*words, f"cpus={cpus}"])
        # QEMU runs as another user: the images must be readable for it.
        images = pathlib.Path("/var/tmp") / self.name
        images.mkdir(mode=0o755)
        self.images = images
        for tag, source in (("kernel", harness.GUEST), ("initrd", harness.CELLS / "boot.cells")):
            shutil.copy(source, images / source.name)
            os.chmod(images / source.name, 0o644)
            root.find(f"os/{tag}").text = str(images / source.name)
        for log in root.iter("log"):
            log.set("file", f"/var/log/libvirt/qemu/{self.name}-serial.log")
        path = sandbox.root / "domain.xml"
        tree.write(path)
        created = virsh("create", str(path), check=False, limit=240)
        if created.returncode:
            raise RuntimeError(f"virsh create: {created.stderr}")
        self.wait_ready(sandbox)

    def wait_ready(self, sandbox):
        end = time.monotonic() + harness.LIMIT
        while True:
            result = sandbox.ctl("--domain", self.name, "--connect", URI, "status", "--json", status=None)
            if result.status == 0:
                return
            if time.monotonic() > end:
                raise RuntimeError(f"the domain's guest did not answer: {result}")

    def suspend(self):
        virsh("suspend", self.name)

    def resume(self):
        virsh("resume", self.name)

    def stop(self):
        virsh("destroy", self.name, check=False)
        shutil.rmtree(self.images, ignore_errors=True)

    def __del__(self):
        if getattr(self, "images", None) and self.images.exists():
            self.stop()
