# SPDX-License-Identifier: Apache-2.0
"""Makes OCI image layouts and docker archives out of nothing, honest ones and hostile ones.

An entry of a layer is (name, {attribute of tarfile.TarInfo: value}, data).
"""

import gzip
import hashlib
import io
import json
import tarfile

CONFIG = {"architecture": "amd64", "os": "linux"}


def layer(*entries, format=tarfile.PAX_FORMAT, pax=None):
    """The bytes of a tar archive; every name is written as it is."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, pax_headers=pax or {}) as archive:
        for name, attributes, data in entries:
            info = tarfile.TarInfo(name)
            info.mode = 0o644
            for key, value in attributes.items():
                setattr(info, key, value)
            if data is not None:
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data) if data is not None else None)
    return out.getvalue()


def directory(name, **more):
    return name, {"type": tarfile.DIRTYPE, "mode": 0o755, **more}, None


def link(name, target):
    return name, {"type": tarfile.SYMTYPE, "linkname": target, "mode": 0o777}, None


def hard_link(name, target):
    return name, {"type": tarfile.LNKTYPE, "linkname": target}, None


def file(name, data=b"", **more):
    return name, more, data


def _blob(path, data, media):
    digest = hashlib.sha256(data).hexdigest()
    (path / "blobs" / "sha256" / digest).write_bytes(data)
    return {"mediaType": media, "digest": "sha256:" + digest, "size": len(data)}


def layout(path, *layers, env=(), workdir="", tag="latest", compress=gzip.compress):
    """An OCI layout at path with one image, and `oci:PATH:TAG`."""
    (path / "blobs" / "sha256").mkdir(parents=True)
    stored = [_blob(path, compress(data) if compress else data,
                    "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if compress else ""))
              for data in layers]
    config = {**CONFIG, "config": {"Env": list(env), "WorkingDir": workdir},
              "rootfs": {"type": "layers", "diff_ids": [
                  "sha256:" + hashlib.sha256(data).hexdigest() for data in layers]}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": _blob(path, json.dumps(config).encode(),
                                "application/vnd.oci.image.config.v1+json"),
                "layers": stored}
    entry = _blob(path, json.dumps(manifest).encode(),
                  "application/vnd.oci.image.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return f"oci:{path}:{tag}"


def docker_archive(path, *layers, env=(), name="local/test:latest"):
    """What `docker save` writes, at path."""
    config = json.dumps({**CONFIG, "config": {"Env": list(env)}, "rootfs": {
        "type": "layers",
        "diff_ids": ["sha256:" + hashlib.sha256(data).hexdigest() for data in layers]}}).encode()
    names = [f"{i}/layer.tar" for i in range(len(layers))]
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name],
                            "Layers": names}]).encode()
    path.write_bytes(layer(file("manifest.json", manifest), file("config.json", config),
                           *[file(n, data) for n, data in zip(names, layers)]))
    return f"docker-archive:{path}"
