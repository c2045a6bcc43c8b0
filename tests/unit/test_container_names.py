"""The names that container engines give to control groups."""

from __future__ import annotations

import pytest

from gdbleak.survey.containers import find_container

ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("path", "container"),
    [
        (f"/docker/{ID}", ID[:12]),
        (f"/docker/{ID}/worker", ID[:12]),
        (f"/system.slice/docker-{ID}.scope", ID[:12]),
        (f"/machine.slice/libpod-{ID}.scope/container", ID[:12]),
        (f"/kubepods/burstable/pod5d1c2a34-8b1e-4c7e-9d5e-1f2a3b4c5d6e/{ID}", ID[:12]),
        (f"/kubepods.slice/kubepods-pod5d1c.slice/cri-containerd-{ID}.scope", ID[:12]),
        (f"/kubepods.slice/kubepods-pod5d1c.slice:cri-containerd:{ID}", ID[:12]),
        (f"/docker/{'f' * 64}/docker/{ID}", ID[:12]),
        ("/lxc/web", "web"),
        ("/lxc.payload.web-1/system.slice/nginx.service", "web-1"),
        (r"/machine.slice/machine-web\x2d1.scope/payload", "web-1"),
        ("/", None),
        ("/system.slice/docker.service", None),
        ("/user.slice/user-1000.slice/session-3.scope", None),
        (f"/jobs/{ID}0", None),
    ],
)
@pytest.mark.parametrize("head", ["0::", "12:pids:/\n4:memory:"])
def test_find_container(head, path, container):
    assert find_container(f"{head}{path}\n") == container
