"""A copy of a client certificate that expired yesterday, signed by the same CA."""

import os
import shutil

from support import proc

CONFIG = """[ca]
default_ca = own
[own]
database = {out}/index
serial = {out}/serial
new_certs_dir = {out}
certificate = {ca}/ca.crt
private_key = {ca}/ca.key
default_md = sha256
policy = any
copy_extensions = copy
x509_extensions = client
[any]
organizationName = optional
commonName = supplied
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectAltName = {san}
"""


def expired_copy(certs, ca, out):
    """Fills out with tls.crt (expired), tls.key and ca.crt made from the folder certs."""
    os.makedirs(out)
    for name in ("tls.key", "ca.crt"):
        shutil.copy(os.path.join(certs, name), out)
    old = os.path.join(certs, "tls.crt")
    names = proc.run(["openssl", "x509", "-in", old, "-noout", "-ext", "subjectAltName"]).stdout
    subject = proc.run(["openssl", "x509", "-in", old, "-noout", "-subject", "-nameopt",
                        "compat"]).stdout.split("subject=")[1].strip()
    san = names.strip().splitlines()[-1].strip()
    for name, text in (("index", ""), ("serial", "7f01\n"),
                       ("ca.conf", CONFIG.format(out=out, ca=ca, san=san))):
        with open(os.path.join(out, name), "w", encoding="utf-8") as file:
            file.write(text)
    proc.run(["openssl", "req", "-new", "-key", f"{out}/tls.key", "-subj", subject, "-out",
              f"{out}/request"])
    proc.run(["openssl", "ca", "-batch", "-notext", "-config", f"{out}/ca.conf", "-in",
              f"{out}/request", "-out", f"{out}/tls.crt", "-startdate", "20200101000000Z",
              "-enddate", "20200201000000Z"])
